"""Slow requests, for watching a deployment. Enabled by SAMPLE_SLOW=1."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, jsonify, request

from . import facts

if TYPE_CHECKING:
    from collections.abc import Iterator

bp = Blueprint("slow", __name__)

MAX_SECONDS = 30
MAX_CHUNKS = 100
PAUSE = 0.1


@bp.get("/slow")
def slow() -> Response:
    """Answer after the given number of seconds."""
    try:
        seconds = float(request.args.get("seconds", "1"))
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= MAX_SECONDS:  # this refuses "nan", too
        abort(400, f"seconds must be a number from 0 to {MAX_SECONDS}.")
    time.sleep(seconds)
    answering = facts.collect()
    return jsonify(seconds=seconds, release=answering.release, pool=answering.pool, pid=answering.pid)


@bp.get("/stream")
def stream() -> Response:
    """Send the given number of lines, one after the other."""
    try:
        chunks = int(request.args.get("chunks", "10"))
    except ValueError:
        chunks = 0
    if not 1 <= chunks <= MAX_CHUNKS:
        abort(400, f"chunks must be a whole number from 1 to {MAX_CHUNKS}.")
    answering = facts.collect()

    def lines() -> Iterator[str]:
        for number in range(1, chunks + 1):
            if number > 1:
                time.sleep(PAUSE)
            yield f"{number}/{chunks} release {answering.release} pid {answering.pid}\n"

    return Response(lines(), mimetype="text/plain")
