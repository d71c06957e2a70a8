"""The app whose releases are deployed, and what an answer tells about its release."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.releases import Deployed

DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
NAME = "marked.example.com"
DECLARED = {
    "flask_apache_app": "marked",
    "flask_apache_wsgi": "marked:app",
    "flask_apache_server_name": NAME,
    "flask_apache_health_path": "/healthz",
    "flask_apache_keep_releases": 5,
}
DEFAULT_DEPENDENCY, OTHER_DEPENDENCY, UNUSED_DEPENDENCY = "8.5.1", "8.1.8", "8.1.7"  # versions of click


def inputs(app: Deployed) -> tuple[str, set[str], str, str]:
    """Return release, marks, setting and dependency of a visitor's answer."""
    body = app.host.http("/", NAME).json()
    return body["release"], set(body["marks"]), body["setting"], body["dependency"]
