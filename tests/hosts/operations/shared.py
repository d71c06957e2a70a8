"""The app that an operator works with, and ways to look at it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.load import Client
from tests.support.releases import Deployed, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
ONE, TWO = "marked-with-a-long-name-one", "marked-with-a-long-name-two"  # the first 20 characters are the same
NAME, OTHER_NAME = "one.example.com", "two.example.com"
DECLARED = {
    "flask_apache_app": ONE,
    "flask_apache_wsgi": "marked:app",
    "flask_apache_server_name": NAME,
    "flask_apache_health_path": "/healthz",
}
QUICK = 0.2  # seconds that the app's import takes
SHORT_CLIENTS = (Client("kept", 4, 0.1, keep_alive=True), Client("single", 4, 0.1))


def marks(app: Deployed, times: int, **headers: str) -> list[str]:
    """Send requests as a new visitor each, and return the marks of the releases that answered."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [app.host.http("/", NAME, headers=named).json()["marks"][0] for _ in range(times)]


@contextmanager
def without_apache(app: Deployed) -> Iterator[None]:
    """Stop Apache for a while."""
    app.host.run("systemctl stop apache2")
    try:
        yield
    finally:
        app.host.run("systemctl start apache2")
        assert wait_until(lambda: app.host.http("/healthz", NAME).status == 200, 20)
