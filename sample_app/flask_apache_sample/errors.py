"""Error pages in the style of the site, or JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from flask import Flask, Response


def handle_http_error(error: HTTPException) -> Response:
    """Answer with any HTTP error; an unexpected exception arrives here as a 500."""
    if request.blueprint in ("api", "slow") or request.path.startswith("/api/"):
        body = jsonify(status=error.code, error=error.name, message=error.description)
    else:
        body = make_response(render_template("error.html", error=error))
    response = make_response(body, error.code)
    response.headers.extend((name, value) for name, value in error.get_headers() if name != "Content-Type")
    return response


def init_app(app: Flask) -> None:
    """Use these pages for every HTTP error."""
    app.register_error_handler(HTTPException, handle_http_error)
