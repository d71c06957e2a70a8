"""The connections of Unix sockets, as the kernel tells them."""

from __future__ import annotations

import os
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
    pids, path = [os.getpid()], tmp_path / "wsgi.1.0.1.sock"
    with listener(path) as server:
        assert sockets.connections(pids, "wsgi.") == (0, 0)
        clients = [client(path) for _ in range(3)]
        assert sockets.connections(pids, "wsgi.") == (0, 3)
        accepted = server.accept()[0]
        assert sockets.connections(pids, "wsgi.") == (1, 2)
        accepted.close()
        assert sockets.connections(pids, "wsgi.") == (0, 2)
        for each in clients:
            each.close()


def test_only_the_own_sockets_count(tmp_path: Path) -> None:
    """A process may have others, and other pools have theirs."""
    paths = [tmp_path / name for name in ("own.sock", "wsgi.1.0.1.sock")]
    with listener(paths[0]), listener(paths[1]), client(paths[0]), client(paths[1]):
        assert sockets.connections([os.getpid()], "wsgi.") == (0, 1)
        assert sockets.connections([], "wsgi.") is None
        assert sockets.connections([2**30], "wsgi.") is None
    assert sockets.connections([os.getpid()], "wsgi.") is None
