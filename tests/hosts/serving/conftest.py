"""Two hosts that serve an app with static files below a mount.

The files run in alphabetical order: the WSGI callables replace the app that the other files expect.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from tests.hosts.serving.shared import DISTRIBUTIONS, FILES, LIMIT, NAME, STATIC, THREADS
from tests.support.fixtures import host_starter
from tests.support.parallel import each
from tests.support.playbooks import apply_role

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host


start_host = host_starter("package")


@pytest.fixture(scope="package")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the app."""
    directory = tmp_path_factory.mktemp("http")
    for name, text in FILES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    static = directory / "shop/static"
    (static / "prepared.css.gz").write_bytes(gzip.compress(b"as gzip"))
    (static / "prepared.css.br").write_bytes(b"as br")
    (static / "outside.txt").symlink_to("../../app.py")
    return directory


@pytest.fixture(scope="package")
def variables(source: Path) -> dict[str, Any]:
    """Return the role's variables for the app, whose one small pool is easy to keep busy."""
    return {
        "flask_apache_app": "web",
        "flask_apache_source": str(source),
        "flask_apache_wsgi": "app:create_app('web')",
        "flask_apache_server_name": NAME,
        "flask_apache_mount": "/shop",
        "flask_apache_static": STATIC,
        "flask_apache_request_body_limit": LIMIT,
        "flask_apache_daemon_processes": 1,
        "flask_apache_daemon_threads": THREADS,
    }


@pytest.fixture(scope="package")
def pair(start_host: Callable[..., Host], variables: dict[str, Any]) -> list[Host]:
    """Return a host of each distribution with the app."""
    hosts = each(DISTRIBUTIONS, start_host)
    apply_role(hosts, variables)
    return hosts
