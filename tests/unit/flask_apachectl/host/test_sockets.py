"""The connections of Unix sockets, as the kernel tells them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from flask_apachectl.host import sockets

if TYPE_CHECKING:
    from pathlib import Path


def listener(path: Path) -> socket.socket:
    """Return a listening Unix socket at a path."""
    found = socket.socket(socket.AF_UNIX)
    found.bind(str(path))
    found.listen(10)
    return found


def client(path: Path) -> socket.socket:
    """Return a connection to it."""
    found = socket.socket(socket.AF_UNIX)
    found.connect(str(path))
    return found


def test_open_and_waiting_connections_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a socket"
    with listener(path) as server:
        assert sockets.connections()[str(path)] == (0, 0)
        clients = [client(path) for _ in range(3)]
        assert sockets.connections()[str(path)] == (0, 3)
        accepted = server.accept()[0]
        assert sockets.connections()[str(path)] == (1, 2)
        accepted.close()
        assert sockets.connections()[str(path)] == (0, 2)
        for each in clients:
            each.close()
    assert str(path) not in sockets.connections()


def test_each_listener_has_its_own(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one", "two")]
    with listener(paths[0]), listener(paths[1]), client(paths[0]), client(paths[1]), client(paths[1]):
        assert [sockets.connections()[str(path)] for path in paths] == [(0, 1), (0, 2)]
