"""Two hosts with an app that has workers and timers, and another app beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hosts.background.shared import APP, BESIDE, DECLARED, PLACES, make_source
from tests.support.fixtures import host_starter
from tests.support.playbooks import play
from tests.support.releases import Deployed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import FileState, Host


start_host = host_starter("package")


@pytest.fixture(scope="package")
def before() -> dict[str, dict[str, FileState]]:
    """Return the files of the hosts before the role ran, by host name; the fixture `apps` fills it in."""
    return {}


@pytest.fixture(scope="package")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source of the first release."""
    return make_source(tmp_path_factory.mktemp("first") / "source", "first")


@pytest.fixture(scope="package")
def apps(start_host: Callable[[str], Host], source: Path, before: dict[str, dict[str, FileState]]) -> list[Deployed]:
    """Return the app on two hosts, beside another app whose name begins with the same word."""
    hosts = [start_host("debian-12-hot"), start_host("debian-13-hot")]
    for host in hosts:
        before[host.name] = host.snapshot(PLACES)
    plays = [
        {
            "ansible.builtin.include_role": {"name": "flask_apache"},
            "vars": {**declared, "flask_apache_source": str(source)},
        }
        for declared in (DECLARED, BESIDE)
    ]
    play(hosts, [{"hosts": "flask_apache", "become": True, "gather_facts": False, "tasks": plays}])
    return [Deployed(host, APP) for host in hosts]
