"""What the tests of this directory share: two apps on a host of each Debian release, asked from outside."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.parallel import each
from tests.support.steps import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.hosts import Host

NAME, ADMIN = "shop.example.com", "admin.example.com"
ADMIN_PORT, TLS_PORT = 8080, 8443
COMMON = {"wsgi": "app:app", "requirements": []}
APPS: dict[str, Mapping[str, Any]] = {
    "shop": {"server_name": NAME, "static": [{"url": "/static", "path": "static"}]},
    "admin": {"server_name": ADMIN, "port": ADMIN_PORT},
    "vault": {"server_name": ADMIN, "port": 8081, "tls": "self_signed", "https_port": TLS_PORT},
}


@dataclass(frozen=True)
class Place:
    """A host, and the source of its apps."""

    host: Host
    source: Path

    def __repr__(self) -> str:
        """Return the host's name, for messages."""
        return self.host.name

    def deploy(self, app: str, **changes: object) -> Run:
        """Make a run for an app."""
        own = {"app": app, "source": str(self.source), **COMMON, **APPS[app], **changes}
        run = Run(self.host, own)
        run.deploy()
        return run

    def raw(self, request: bytes, port: int = 80) -> bytes:
        """Send bytes, and return all that comes back until the host closes the connection."""
        with socket.create_connection((self.host.ip, port), timeout=20) as connection:
            connection.sendall(request)
            found = b""
            try:
                while chunk := connection.recv(65536):
                    found += chunk
            except ConnectionResetError:
                pass
            return found

    def status(self, request: bytes, port: int = 80) -> int:
        """Return the status of the answer to bytes; 0 if there is none."""
        first = self.raw(request, port).split(b" ", 2)
        return int(first[1]) if first[0].startswith(b"HTTP/") else 0


def write_source(directory: Path) -> Path:
    """Write the apps' source, with a static file. Returns the directory."""
    (directory / "static").mkdir(parents=True)
    (directory / "static/page.css").write_text("a { color: red }\n" * 100)
    for path in (".htaccess", ".htpasswd", ".git/config", ".svn/entries"):
        (directory / "static" / path).parent.mkdir(exist_ok=True)
        (directory / "static" / path).write_text("secret")
    (directory / "static/large.bin").write_bytes(b"x" * 2**20)
    shutil.copy(Path(__file__).with_name("app.py"), directory)
    return directory


def start(start_host: Callable[[str], Host], source: Path) -> list[Place]:
    """Start a host of each Debian release, and deploy the apps."""

    def begin(name: str) -> Place:
        place = Place(start_host(name), source)
        place.host.run("mkdir -m 1777 /srv/open; mkdir -m 755 /home/somebody")
        for app in APPS:
            place.deploy(app)
        return place

    return each(["debian-12-hot", "debian-13-hot"], begin)
