"""An app with static files, and ways to ask for them."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.hosts import Host, Response

DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
NAME = "http.example.com"
LIMIT = 1_000_000
THREADS = 8
APP = """
import os
import time

from flask import Blueprint, Flask, Response, jsonify, request, url_for

shop = Blueprint("shop", __name__, url_prefix="/parts", static_folder="shop/static")


@shop.get("/where")
def where():
    file = url_for("shop.static", filename="x")
    return jsonify(script_name=request.script_root, url=url_for("shop.where"), file=file)


def create_app(name="nobody", *, shout=False):
    app = Flask(__name__, static_folder=None)
    app.register_blueprint(shop)

    @app.after_request
    def mark(response):
        response.headers["X-From"] = name.upper() if shout else name
        return response

    @app.get("/")
    def front():
        return jsonify(release=os.environ["FLASK_APACHE_RELEASE"])

    @app.get("/static/<path:path>")
    def missing(path):
        return f"the app has no {path}", 404

    @app.get("/text")
    def text():
        return "text " * 2000

    @app.get("/encoded")
    def encoded():
        return Response(b"an app's own", mimetype="text/plain", headers={"Content-Encoding": "gzip"})

    @app.get("/stream")
    def stream():
        seconds = float(request.args["seconds"])

        def pieces():
            for number in range(2):
                yield f"data: piece {number}\\n\\n"
                time.sleep(seconds)

        return Response(pieces(), mimetype=request.args["type"])

    @app.post("/length")
    def length():
        return str(len(request.get_data()))

    return app


app = create_app()
"""
PLAIN = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"plain {environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]


class Application:
    def __init__(self, greeting):
        self.greeting = greeting

    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [self.greeting.encode()]
"""
ASGI = """
from a2wsgi import ASGIMiddleware


async def app(scope, receive, send):
    if scope["type"] == "http":
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": f"asgi {scope['root_path']}".encode()})


application = ASGIMiddleware(app)
"""
STYLE = "body { color: red }\n" * 500
FILES = {
    "app.py": APP,
    "plain.py": PLAIN,
    "asgi.py": ASGI,
    "requirements.txt": "flask==3.1.3\na2wsgi==1.10.10\n",
    "favicon.ico": "icon",
    "shop/static/style.css": STYLE,
    "shop/static/app.0a1b2c3d.js": "var a = 1;\n" * 500,
    "shop/static/datetime-20240131.js": "",
    "shop/static/Grüße 1.txt": "hello",
    "shop/static/deep/module.mjs": "export {}",
    "shop/static/picture.png": "\x01" * 5000,
    "shop/static/prepared.css": STYLE,
    "shop/static/.env": "secret",
    "shop/static/views.py": "secret",
    "media/index-DiwrgTda.js": "",
}
STATIC = [
    {"url": "/static", "path": "shop/static"},
    {"url": "/media", "path": "media", "immutable": True},
    {"url": "/favicon.ico", "path": "favicon.ico"},
    {"url": "/static/flask", "path": "site-packages/flask/sansio"},
]
FOR_EVER = "public, max-age=31536000, immutable"
BOTH = {"Accept-Encoding": "gzip, br"}


def ask(host: Host, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:  # noqa: ANN401
    """Request a path below the mount."""
    return host.http(f"/shop{path}", NAME, headers=headers, **more)


def is_apaches(answer: Response) -> bool:
    """Return whether Apache answered without the app."""
    return "X-From" not in answer.headers


@contextlib.contextmanager
def connected(host: Host, request: str) -> Iterator[socket.socket]:
    """Send the lines of a request to the app, and yield the connection."""
    with socket.create_connection((host.ip, 80), timeout=20) as connection:
        lines = [request.partition("\n")[0], f"Host: {NAME}", "Connection: close", *request.split("\n")[1:], "", ""]
        connection.sendall("\r\n".join(lines).encode())
        yield connection
