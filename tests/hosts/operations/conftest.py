"""Two hosts with an app for an operator to work with, and another app beside it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from tests.hosts.operations.shared import DECLARED, DISTRIBUTIONS, ONE, OTHER_NAME, QUICK, TWO
from tests.support.fixtures import host_starter
from tests.support.parallel import each
from tests.support.playbooks import apply_role
from tests.support.releases import Deployed, make_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.hosts import Host


start_host = host_starter("package")


@pytest.fixture(scope="package")
def apps(start_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Deployed]:
    """Return the app on a host of each distribution, deployed by the role with another app beside it."""
    hosts = [start_host(distribution) for distribution in DISTRIBUTIONS]
    source = make_source(tmp_path_factory.mktemp("first") / "source", "o00", import_seconds=QUICK)
    declared = {**DECLARED, "flask_apache_source": str(source)}
    other = {**declared, "flask_apache_app": TWO, "flask_apache_server_name": OTHER_NAME}
    each([declared, other], functools.partial(apply_role, hosts))
    return {host.distribution: Deployed(host, ONE) for host in hosts}
