"""Two hosts with an app whose answers name their release.

`test_deploys_under_load.py` is the first: it expects a fresh app. What measures time runs alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hosts.releases.shared import DECLARED, DISTRIBUTIONS
from tests.support.fixtures import host_starter
from tests.support.playbooks import apply_role
from tests.support.releases import Deployed, make_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.hosts import Host


start_host = host_starter("package")


@pytest.fixture(scope="package")
def apps(start_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Deployed]:
    """Return the app, deployed by the role, on a host of each distribution."""
    hosts = [start_host(distribution) for distribution in DISTRIBUTIONS]
    source = make_source(tmp_path_factory.mktemp("first") / "source", "m00")
    apply_role(hosts, {**DECLARED, "flask_apache_source": str(source)})
    return {host.distribution: Deployed(host, "marked") for host in hosts}
