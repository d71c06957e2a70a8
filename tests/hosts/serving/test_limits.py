"""Requests that an app cannot take: too large, or a protocol other than HTTP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.hosts.serving.shared import LIMIT, ask, connected
from tests.support.parallel import each

if TYPE_CHECKING:
    from tests.support.hosts import Host


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
        assert (refused.status, "not the WebSocket protocol" in refused.text) == (501, True)
        assert time.monotonic() - began < 10

    each(pair, refuse)
