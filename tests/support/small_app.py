"""A WSGI app without dependencies, written by each test as it needs it: it starts in no time, and no index is asked."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CODE = """\
import json
import os
from pathlib import Path

MARK = {mark!r}
ADDRESSES = {addresses!r}


def app(environ, start_response):
    path, host = environ["PATH_INFO"], environ["HTTP_HOST"]
    status, text = ADDRESSES.get(host + path) or ADDRESSES.get(path) or (404, "nothing")
    if path.startswith("/echo"):
        status, text = 200, path + "?" + environ["QUERY_STRING"]
    if Path(os.environ["FLASK_APACHE_DATA"], "unhealthy").exists():
        status, text = 500, "unhealthy"
    length = int(environ.get("CONTENT_LENGTH") or 0)
    environ["wsgi.input"].read(length)
    answer = {{"mark": MARK, "text": text, "run": os.environ.get("RUN", ""), "here": sorted(os.listdir("."))}}
    start_response("%d Answer" % status, [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""


def write(directory: Path, mark: str, addresses: Mapping[str, tuple[int, str]] | None = None) -> Path:
    """Write the app's source. ``addresses``: what it answers at paths, also of one host name; elsewhere 404.

    Below /echo it answers every address, with the path and the query that it got. Returns ``directory``.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    answers = {"/": (200, mark)} if addresses is None else dict(addresses)
    (directory / "app.py").write_text(CODE.format(mark=mark, addresses=answers))
    return directory
