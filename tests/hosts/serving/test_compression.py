"""Apache compresses text once, and does not hold back streams."""

from __future__ import annotations

import gzip
import time
from typing import TYPE_CHECKING

import pytest

from tests.hosts.serving.shared import BOTH, STYLE, ask, connected
from tests.support.parallel import each

if TYPE_CHECKING:
    from tests.support.hosts import Host


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
