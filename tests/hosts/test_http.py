"""What Apache does itself around an app: static files, compression, limits; and apps of several makes behind it."""

from __future__ import annotations

import contextlib
import gzip
import re
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.parallel import each
from tests.support.playbooks import apply_role
from tests.support.releases import Deployed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

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


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the app."""
    directory = tmp_path_factory.mktemp("http")
    for name, text in FILES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    static = directory / "shop/static"
    (static / "prepared.css.gz").write_bytes(gzip.compress(b"as gzip"))
    (static / "prepared.css.br").write_bytes(b"as br")
    (static / "outside.txt").symlink_to("../../app.py")
    return directory


@pytest.fixture(scope="module")
def variables(source: Path) -> dict[str, Any]:
    """Return the role's variables for the app, which is small enough to be kept busy."""
    return {
        "flask_apache_app": "web",
        "flask_apache_source": str(source),
        "flask_apache_wsgi": "app:create_app('web')",
        "flask_apache_server_name": NAME,
        "flask_apache_mount": "/shop",
        "flask_apache_static": STATIC,
        "flask_apache_request_body_limit": LIMIT,
        "flask_apache_daemon_processes": 1,
        "flask_apache_daemon_threads": THREADS,
    }


@pytest.fixture(scope="module")
def pair(start_host: Callable[..., Host], variables: dict[str, Any]) -> list[Host]:
    """Return a host of each distribution with the app."""
    hosts = each(DISTRIBUTIONS, start_host)
    apply_role(hosts, variables)
    return hosts


def ask(host: Host, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:  # noqa: ANN401
    """Ask for a path below the mount."""
    return host.http(f"/shop{path}", NAME, headers=headers, **more)


def is_apaches(answer: Response) -> bool:
    """Say whether the app had nothing to do with an answer."""
    return "X-From" not in answer.headers


def test_static_files_are_apaches_own(pair: list[Host]) -> None:
    def look(host: Host) -> None:
        for path, kind, cached in (
            ("/static/style.css", "text/css; charset=utf-8", "public, max-age=60"),
            ("/static/app.0a1b2c3d.js", "text/javascript; charset=utf-8", FOR_EVER),
            ("/static/datetime-20240131.js", "text/javascript; charset=utf-8", "public, max-age=60"),
            ("/static/deep/module.mjs", "text/javascript; charset=utf-8", "public, max-age=60"),
            ("/static/picture.png", "image/png", "public, max-age=60"),
            ("/static/Gr%C3%BC%C3%9Fe%201.txt", "text/plain; charset=utf-8", "public, max-age=60"),
            ("/static/flask/README.md", "text/markdown", "public, max-age=60"),
            ("/media/index-DiwrgTda.js", "text/javascript; charset=utf-8", FOR_EVER),
            ("/favicon.ico", "image/vnd.microsoft.icon", "public, max-age=60"),
        ):
            answer = ask(host, path)
            assert answer.status == 200, path
            assert is_apaches(answer), path
            assert answer.headers["Content-Type"] == kind
            assert answer.headers["Cache-Control"] == cached
            assert "Accept-Encoding" in answer.headers["Vary"]
        head = ask(host, "/static/style.css", method="HEAD")
        assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(STYLE)), b"")
        part = ask(host, "/static/style.css", {"Range": "bytes=5-9"})
        assert (part.status, part.text) == (206, STYLE[5:10])
        assert ask(host, "/static/style.css", {"Range": "bytes=99999-"}).status == 416
        assert ask(host, "/static/style.css", method="POST").status == 405

    each(pair, look)


def test_a_browser_asks_once(pair: list[Host]) -> None:
    def look(host: Host) -> None:
        for encoding in ("identity", "gzip", "br"):
            for path in ("/static/style.css", "/static/prepared.css"):
                accepted = {"Accept-Encoding": encoding}
                tag = ask(host, path, accepted).headers["ETag"]
                again = ask(host, path, accepted | {"If-None-Match": tag})
                assert (again.status, again.body) == (304, b""), (encoding, path, tag)
                assert again.headers["Cache-Control"] == "public, max-age=60"
        modified = ask(host, "/static/style.css").headers["Last-Modified"]
        assert ask(host, "/static/style.css", {"If-Modified-Since": modified}).status == 304

    each(pair, look)


def test_what_is_no_static_file_goes_to_the_app(pair: list[Host]) -> None:
    def look(host: Host) -> None:
        for name in (".env", "views.py", "outside.txt", "none.css", "deep", "deep/", "flask/app.py", "prepared.css/x"):
            answer = ask(host, f"/static/{name}")
            assert (answer.status, answer.text) == (404, f"the app has no {name}")
        for path in ("/static/", "/media/", "/media", "/favicon.icon"):
            assert not is_apaches(ask(host, path)), "no listing"
        for path in ("/static/../../app.py", "/static/%2e%2e/app.py", "/static/..%2f..%2fenv", "/../blue/env"):
            assert ask(host, path).status == 404, path

    each(pair, look)


def test_only_apache_may_read_the_copies(pair: list[Host]) -> None:
    for host in pair:
        release = f"/srv/flask-apache/web/releases/{Deployed(host, 'web').live()}"
        file = f"{release}/public/plain/static/style.css"
        assert host.run(["stat", "--format=%U:%G %a", file]).stdout == "root:www-data 640\n"
        host.run(["cat", file], user="www-data")
        for user in ("nobody", "web"):
            assert host.run(["cat", file], user=user, check=False).returncode
        for path in (
            f"{release}/env",
            f"{release}/release.json",
            f"{release}/app/app.py",
            "/srv/flask-apache/web/lock",
        ):
            host.run(["test", "-e", path])
            for user in ("nobody", "www-data"):
                assert host.run(["cat", path], user=user, check=False).returncode, f"{user} reads {path}"
        assert host.run(
            "ls /srv/flask-apache/web /srv/flask-apache/web/releases", user="www-data", check=False
        ).returncode


def test_text_is_compressed_once(pair: list[Host]) -> None:
    def look(host: Host) -> None:
        for path in ("/static/style.css", "/text"):
            plain = ask(host, path)
            assert "Content-Encoding" not in plain.headers
            packed = ask(host, path, {"Accept-Encoding": "gzip"})
            assert packed.headers.get_all("Content-Encoding") == ["gzip"]
            assert gzip.decompress(packed.body) == plain.body
            packed = ask(host, path, BOTH)
            assert packed.headers.get_all("Content-Encoding") == ["br"]
            assert len(packed.body) < len(plain.body) / 10
            assert "Accept-Encoding" in packed.headers["Vary"]
        for accepted, encoding, body in (
            ("gzip, deflate, br", "br", b"as br"),
            ("br;q=0, gzip;q=0.5", "gzip", gzip.compress(b"as gzip")),
            ("br;q=0.000,gzip;q=0", None, STYLE.encode()),
            ("brotli", None, STYLE.encode()),
        ):
            answer = ask(host, "/static/prepared.css", {"Accept-Encoding": accepted})
            assert answer.headers.get("Content-Encoding") == encoding
            assert answer.body[10:] == body[10:]
            assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
        assert "Content-Encoding" not in ask(host, "/static/picture.png", BOTH).headers
        own = ask(host, "/encoded", BOTH)
        assert (own.headers.get_all("Content-Encoding"), own.body) == (["gzip"], b"an app's own")

    each(pair, look)


@contextlib.contextmanager
def connected(host: Host, request: str) -> Iterator[socket.socket]:
    """Send the lines of a request to the app, and yield the connection."""
    with socket.create_connection((host.ip, 80), timeout=20) as connection:
        lines = [request.partition("\n")[0], f"Host: {NAME}", "Connection: close", *request.split("\n")[1:], "", ""]
        connection.sendall("\r\n".join(lines).encode())
        yield connection


@pytest.mark.parametrize("kind", ["text/event-stream", "text/plain"])
def test_a_stream_arrives_piece_by_piece(pair: list[Host], kind: str) -> None:
    def read(host: Host) -> None:
        for encoding in ("identity", "gzip", "br"):
            began = time.monotonic()
            path = f"/shop/stream?seconds=2&type={kind}"
            with connected(host, f"GET {path} HTTP/1.1\nAccept-Encoding: {encoding}") as connection:
                received = b""
                while len(received.partition(b"\r\n\r\n")[2]) < 10:  # beyond the length of the first chunk
                    received += connection.recv(65536)
            assert time.monotonic() - began < 1.5, "it came with the second one"
            compressed = encoding != "identity" and kind == "text/plain"
            assert (f"Content-Encoding: {encoding}".encode() in received) == compressed

    each(pair, read)


def test_what_an_app_cannot_take_is_refused_clearly(pair: list[Host]) -> None:
    def refuse(host: Host) -> None:
        began = time.monotonic()
        body = b"x" * (5 * LIMIT)
        large = ask(host, "/length", method="POST", body=body)
        assert (large.status, large.text.count("<h1>Too large</h1>")) == (413, 1)
        with connected(host, f"POST /shop/length HTTP/1.1\nContent-Length: {5 * LIMIT}\nExpect: 100-continue") as asked:
            answer = asked.recv(65536)
        assert answer.startswith(b"HTTP/1.1 413 "), "before anything was sent"
        with connected(host, "POST /shop/length HTTP/1.1\nContent-Length: 3\nExpect: 100-continue") as asked:
            assert asked.recv(65536).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
            asked.sendall(b"abc")
            assert asked.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert ask(host, "/length", method="POST", body=b"x" * LIMIT).text == str(LIMIT)
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        refused = ask(host, "/", upgrade)
        assert (refused.status, "not the websocket protocol" in refused.text) == (501, True)
        assert time.monotonic() - began < 10

    each(pair, refuse)


def test_where_no_app_is_there_is_nothing(pair: list[Host]) -> None:
    for host in pair:
        host.write("/var/www/html/index.html", "somebody else's")
        for path in ("/", "/index.html", "/shop2", "/.flask-apache/"):
            assert host.http(path, NAME).status in ((404, 403) if "." in path[:2] else (404,)), path
        assert host.http("/", "other.example.com").body == b"somebody else's"


def test_static_files_need_no_pool(pair: list[Host]) -> None:
    def hang(host: Host) -> None:
        with contextlib.ExitStack() as stack:
            for _ in range(THREADS):
                slow = "GET /shop/stream?seconds=10&type=text/plain HTTP/1.1"
                stack.enter_context(connected(host, slow)).recv(1)
            with pytest.raises(TimeoutError):
                ask(host, "/", timeout=1)
            assert ask(host, "/static/style.css", timeout=1).status == 200
        Deployed(host, "web").ctl("maintenance", "on")
        assert ask(host, "/").status == 503
        assert ask(host, "/static/style.css").status == 200
        assert ask(host, "/static/none.css").status == 503
        Deployed(host, "web").ctl("maintenance", "off")

    each(pair, hang)


def test_a_page_of_the_old_release_finds_its_files(pair: list[Host], source: Path) -> None:
    static = source / "shop/static"

    def tag(host: Host) -> str:
        return str(ask(host, "/static/prepared.css").headers["ETag"])

    def release(host: Host, *, live: bool = True) -> str:
        made = Deployed(host, "web").ship(source)
        if live:
            Deployed(host, "web").ctl("activate", made)
        return made

    before = each(pair, tag)
    (static / "one.0a0a0a0a.js").write_text("one")
    each(pair, release)
    assert each(pair, tag) == before, "the same file"
    (static / "one.0a0a0a0a.js").rename(static / "two.0b0b0b0b.js")
    (static / "style.css").write_text(STYLE.replace("red", "tan"))
    made = each(pair, lambda host: release(host, live=False))

    def canary(host: Host) -> None:
        app = Deployed(host, "web")
        app.ctl("canary", "50", made[pair.index(host)])
        for _ in range(5):
            for name in ("one.0a0a0a0a.js", "two.0b0b0b0b.js"):
                answer = ask(host, f"/static/{name}")
                assert (answer.status, answer.headers["Set-Cookie"]) == (200, None), "caches share it"
        for number, color in (("1", "tan"), ("0", "red")):
            cookie = f"flask_apache_web={made[pair.index(host)] if number == '1' else app.live()}"
            assert color in ask(host, "/static/style.css", {"Cookie": cookie}).text
        app.ctl("promote")
        assert "tan" in ask(host, "/static/style.css").text
        assert ask(host, "/static/one.0a0a0a0a.js").text == "one"
        app.ctl("rollback")
        assert "red" in ask(host, "/static/style.css").text
        assert ask(host, "/static/two.0b0b0b0b.js").text == "one"
        app.declare(idle_pool="cold")
        app.ctl("rollback", made[pair.index(host)])
        assert ask(host, "/static/one.0a0a0a0a.js").text == "one", "its pool runs nothing now"

    each(pair, canary)


@pytest.mark.parametrize(
    ("wsgi", "path", "expected"),
    [
        ("plain:application", "/a/b", r"plain /shop /a/b"),
        ("plain:Application('hello')", "/", r"hello"),
        ("app:app", "/parts/where", r'"file":"/shop/parts/static/x","script_name":"/shop","url":"/shop/parts/where"'),
        ("app:create_app('web', shout=True)", "/", r"release"),
        ("asgi:application", "/", r"asgi /shop"),
    ],
)
def test_whatever_is_a_wsgi_callable_is_served(pair: list[Host], wsgi: str, path: str, expected: str) -> None:
    def serve(host: Host) -> None:
        app = Deployed(host, "web")
        app.declare(wsgi=wsgi)
        app.ctl("deploy")
        answer = ask(host, path)
        assert (answer.status, re.search(expected, answer.text) is not None) == (200, True), answer.text
        if "shout" in wsgi:
            assert answer.headers["X-From"] == "WEB"

    each(pair, serve)


def test_missing_static_files_stop_a_release(pair: list[Host], variables: dict[str, Any]) -> None:
    before = [Deployed(host, "web").live() for host in pair]
    missing = {**variables, "flask_apache_static": [{"url": "/static", "path": "dist"}]}
    refused = apply_role(pair, missing, check=False)
    assert "flask_apache_static: dist is not in release" in " ".join(refused.stdout.split())
    assert [Deployed(host, "web").live() for host in pair] == before
    assert [ask(host, "/static/style.css").status for host in pair] == [200, 200]
