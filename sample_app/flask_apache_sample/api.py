"""The endpoints for programs: the health check, the facts as JSON, and an echo of request bodies."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING

from flask import Blueprint, jsonify, request

from . import facts

if TYPE_CHECKING:
    from flask import Response

bp = Blueprint("api", __name__)

BLOCK = 64 * 1024


@bp.get("/healthz")
def healthz() -> Response:
    """Tell a load balancer or a deployment that this process answers, and from which release."""
    return jsonify(status="ok", release=facts.collect().release)


@bp.get("/api/info")
def info() -> Response:
    """Return the facts that the front page shows."""
    return jsonify(asdict(facts.collect()))


@bp.post("/echo")
def echo() -> Response:
    """Return the length and the hash of the request body, without holding all of it in memory.

    A chunked body has no Content-Length. Werkzeug reads it to its end because mod_wsgi sets
    ``wsgi.input_terminated``.
    """
    length, digest = 0, hashlib.sha256()
    while block := request.stream.read(BLOCK):
        length += len(block)
        digest.update(block)
    return jsonify(
        length=length,
        sha256=digest.hexdigest(),
        transfer_encoding=request.headers.get("Transfer-Encoding"),
    )
