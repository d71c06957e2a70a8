"""Any WSGI callable is served below its mount, and nothing is served elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.hosts.serving.shared import NAME, ask
from tests.support.parallel import each
from tests.support.releases import Deployed

if TYPE_CHECKING:
    from tests.support.hosts import Host


def test_where_no_app_is_there_is_nothing(pair: list[Host]) -> None:
    for host in pair:
        host.write("/var/www/html/index.html", "somebody else's")
        for path in ("/", "/index.html", "/shop2", "/.flask-apache/web/503.html", "/server-status", "/icons/"):
            answer = host.http(path, NAME)
            assert (answer.status, "<h1>Not found</h1>" in answer.text) == (404, True), path
        assert host.http("/", "other.example.com").body == b"somebody else's"


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
