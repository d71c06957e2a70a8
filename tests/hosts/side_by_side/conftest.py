"""Two hosts with three apps: two share a server name, one has its own name and port.

The files run in alphabetical order: at the end of `test_several_apps.py` one of the apps has moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hosts.side_by_side.shared import DISTRIBUTIONS, ENVIRONMENT, NAME, PORT, SHARED, Variables, roles, write_app
from tests.support.commands import ROOT
from tests.support.fixtures import host_starter
from tests.support.parallel import each

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host


start_host = host_starter("package")


@pytest.fixture(scope="package")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the single-file app."""
    directory = tmp_path_factory.mktemp("own")
    write_app(directory, "1")
    return directory


@pytest.fixture(scope="package")
def sample() -> Variables:
    """Return the variables of the sample app."""
    return {
        "flask_apache_app": "flask-apache",
        "flask_apache_source": str(ROOT / "sample_app"),
        "flask_apache_wsgi": "flask_apache_sample:create_app()",
        "flask_apache_mount": "/flask-apache",
        "flask_apache_server_name": SHARED,
        "flask_apache_health_path": "/healthz",
    }


@pytest.fixture(scope="package")
def shop(source: Path) -> Variables:
    """Return the variables of an app at a nested mount, under the sample app's server name."""
    return {
        "flask_apache_app": "shop",
        "flask_apache_source": str(source),
        "flask_apache_mount": "/shop/eu",
        "flask_apache_server_name": SHARED,
    }


@pytest.fixture(scope="package")
def own(source: Path) -> Variables:
    """Return the variables of an app at the root of another server name and port."""
    return {
        "flask_apache_app": "own",
        "flask_apache_source": str(source),
        "flask_apache_server_name": NAME,
        "flask_apache_port": PORT,
        "flask_apache_environment": ENVIRONMENT,
        "flask_apache_request_body_limit": 1000,
    }


@pytest.fixture(scope="package")
def pair(start_host: Callable[..., Host], sample: Variables, shop: Variables, own: Variables) -> list[Host]:
    """Return a host of each distribution with the three apps."""
    hosts = each(DISTRIBUTIONS, start_host)
    roles(hosts, sample, shop, own)
    return hosts
