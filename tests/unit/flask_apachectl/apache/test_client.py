"""What the engine's client sends: also at a port that speaks the PROXY protocol."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.apache import client

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Server:
    """Answers one connection after the other; ``heard`` is what each began with, and ``peers`` whose they were."""

    def __init__(self, family: socket.AddressFamily, address: str) -> None:
        self.listener = socket.socket(family)
        self.listener.bind((address, 0))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        self.heard: list[bytes] = []
        self.peers: list[int] = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        """Answer until the listener is closed."""
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            with connection:
                text = b""
                while b"\r\n\r\n" not in text and not text.startswith(b"PROXY") and text[:1] != b"\x16":
                    text += connection.recv(4096)
                while text.startswith(b"PROXY") and len(text.partition(b"\r\n")[2]) < 5:
                    text += connection.recv(4096)
                self.heard.append(text)
                self.peers.append(peer[1])
                connection.sendall(ANSWER)


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1", b"TCP4"), (socket.AF_INET6, "::1", b"TCP6")], ids=["4", "6"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Server, str, bytes]]:
    """Return a server, its address, and how the protocol names its family."""
    family, address, name = request.param
    found = Server(family, address)
    yield found, address, name
    found.listener.close()


def begin(found: Server, address: str, name: bytes) -> bytes:
    """Return the header of the last connection, which tells the truth."""
    return b"PROXY %s %s %s %d %d\r\n" % (name, address.encode(), address.encode(), found.peers[-1], found.port)


def test_a_port_that_speaks_the_proxy_protocol(server: tuple[Server, str, bytes]) -> None:
    found, address, name = server
    reply = client.get(address, found.port, "/a", {"Host": "b"}, 5, speaks_proxy=True)
    assert reply.status == 204
    assert found.heard[-1].startswith(begin(found, address, name))
    with pytest.raises(OSError, match=r"."):
        client.get(address, found.port, "/a", {"Host": "b"}, 5, speaks_proxy=True, is_secure=True)
    assert found.heard[-1].startswith(begin(found, address, name) + b"\x16\x03")  # TLS comes behind it
    with pytest.raises(OSError, match=r"."):
        client.certificate(address, found.port, "b", 5, speaks_proxy=True)
    assert found.heard[-1].startswith(begin(found, address, name) + b"\x16\x03")


def test_other_ports(server: tuple[Server, str, bytes]) -> None:
    found, address, _ = server
    assert client.get(address, found.port, "/a", {"Host": "b"}, 5).status == 204
    with pytest.raises(OSError, match=r"."):
        client.certificate(address, found.port, "b", 5)
    assert found.heard[0].startswith(b"GET /a HTTP/1.1\r\n")
    assert found.heard[1].startswith(b"\x16\x03")
