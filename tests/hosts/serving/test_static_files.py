"""Apache serves an app's static files itself."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.hosts.serving.shared import FOR_EVER, STYLE, THREADS, ask, connected, is_apaches
from tests.support.parallel import each
from tests.support.releases import Deployed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.hosts import Host


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
