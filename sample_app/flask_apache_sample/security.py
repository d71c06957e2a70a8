"""The secret key, the session cookie, the token against forged forms, and the security headers."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from flask import abort, request, session
from flask.sessions import SecureCookieSessionInterface

if TYPE_CHECKING:
    from flask import Flask, Response

DEVELOPMENT_KEY = "development only: anybody can read this key"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class MountedSessionInterface(SecureCookieSessionInterface):
    """Keeps the session cookie to the path where the application is mounted, and to HTTPS if that is used."""

    def get_cookie_path(self, app: Flask) -> str:  # noqa: ARG002
        """Return the mount, so that other applications on this host do not see the cookie."""
        return f"{request.script_root}/"

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002
        """Tell whether to withhold the cookie from unencrypted requests."""
        return request.is_secure


def csrf_token() -> str:
    """Return the token of this visitor's session, which every form sends back."""
    if "csrf_token" not in session:
        session["csrf_token"] = secrets.token_urlsafe()
    token: str = session["csrf_token"]
    return token


def check_csrf_token() -> None:
    """Refuse a form that does not come from one of our own pages."""
    expected: str = session.get("csrf_token", "")
    given = request.form.get("csrf_token", "")
    if not expected or not secrets.compare_digest(given.encode(), expected.encode()):
        abort(400, "The form has expired. Go back, reload the page and send it again.")


def init_app(app: Flask) -> None:
    """Check the secret key and set up sessions, forms and headers."""
    if not app.config["SECRET_KEY"]:
        if app.config["FLASK_APACHE_APP"]:
            raise RuntimeError(
                "SECRET_KEY is not set. In production the application needs this environment variable, "
                "a long random text. To make one: "
                'python3 -c "import secrets; print(secrets.token_hex())"'
            )
        app.logger.warning("SECRET_KEY is not set: using the development key.")
        app.config["SECRET_KEY"] = DEVELOPMENT_KEY

    app.session_interface = MountedSessionInterface()
    app.add_template_global(csrf_token)

    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        if request.endpoint != "static":
            response.headers["Cache-Control"] = "no-store"
        return response
