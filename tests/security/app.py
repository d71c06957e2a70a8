"""A WSGI app that does what an attacker might make an app do, and what browsers are to be protected from."""

from __future__ import annotations

import ctypes
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OWN = [
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'"),
]
FRAMES = [("Content-Security-Policy", "frame-ancestors https://portal.example.com")]
CHUNK = b"x" * 16384


def tried(action: Callable[[], object]) -> str:
    """Return what comes of an action, or its error."""
    try:
        return str(action())
    except OSError as error:
        return type(error).__name__ if error.errno is None else os.strerror(error.errno)


def write(path: str) -> str:
    """Write a file, and remove it again."""
    Path(path).write_text("x", encoding="ascii")
    Path(path).unlink()
    return "written"


def surroundings() -> dict[str, str]:
    """Return what the app's process can do on its host."""
    return {
        "user": str(os.getuid()),
        "data": tried(lambda: write(os.environ["FLASK_APACHE_DATA"] + "/x")),
        "tmp": tried(lambda: write("/tmp/x")),
        "shared memory": tried(lambda: write("/dev/shm/x")),
        "open": tried(lambda: write("/srv/open/x")),
        "home": tried(lambda: list(Path("/home/somebody").iterdir())),
        "netlink": tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close()),
        "unix": tried(lambda: socket.socket(socket.AF_UNIX).close()),
        "tcp": tried(lambda: socket.create_connection(("127.0.0.1", 80)).close()),
    }


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer what a path asks for."""
    path, status, body = environ["PATH_INFO"], "200 OK", "visitor"
    headers = {"/own": OWN, "/frames": FRAMES}.get(path, [])
    if path == "/large":
        start_response(status, [("Content-Type", "application/octet-stream")])
        return [CHUNK] * 4  # 64 kB: what the buffers between the app and its clients surely hold
    if path == "/read":
        body = str(len(environ["wsgi.input"].read()))
    elif path == "/complain":
        print("a complaint", file=environ["wsgi.errors"])
    elif path == "/host":
        body = json.dumps(surroundings())
    elif path == "/hang":
        ctypes.PyDLL(None).sleep(3600)  # without giving up Python's lock
    elif path == "/method":
        body = environ["REQUEST_METHOD"]
    elif path not in ("/", "/own", "/frames"):
        status = "404 Not Found"
    start_response(status, [("Content-Type", "text/html"), *headers])
    return [body.encode()]
