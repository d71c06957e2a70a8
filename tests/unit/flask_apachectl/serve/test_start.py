"""Starting a release beside the live one, and what happens if it does not become healthy."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import routing
from flask_apachectl.errors import RefusedError
from flask_apachectl.serve import pools
from tests.unit.flask_apachectl.model import BROKEN, COLD, PROCESSES, ROLLING, SOURCES, Host, serving

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_release_that_is_not_healthy_never_serves(host: Host) -> None:
    good = host.deploy(SOURCES[0])["release"]
    before = host.app.map.read_text()
    with pytest.raises(RefusedError, match=f"answered 500; (?s:.*)Still serving {good}"):
        host.deploy(BROKEN)
    assert (serving(host), host.app.map.read_text()) == ([good] * PROCESSES, before)


@ROLLING
def test_a_rolled_release_that_is_not_healthy_is_rolled_back(host: Host) -> None:
    good = host.deploy(SOURCES[0])["release"]
    with pytest.raises(RefusedError, match=f"Still serving {good}"):
        host.deploy(BROKEN)
    assert serving(host) == [good] * PROCESSES
    assert host.deploy(SOURCES[1])["changed"] is True
    assert serving(host) == [host.live()] * PROCESSES


@ROLLING
def test_a_pool_without_processes_is_probed_too(host: Host) -> None:
    """If all processes of a pool have ended and are being restarted, there are none to replace."""
    good = host.deploy(SOURCES[0])["release"]
    daemon_processes = host.apache.daemon_processes
    for source, goes_live in ((BROKEN, False), (SOURCES[1], True)):
        seen = itertools.count()

        def dead_at_first(app: object, seen: Iterator[int] = seen) -> list[Any]:
            if next(seen) > 0:
                return daemon_processes(app)
            for pid in list(host.apache.processes):
                host.apache.stop(pid)
            return []

        release = host.prepare(source)
        host.patch.setattr(pools, "daemon_processes", dead_at_first)
        if goes_live:
            assert host.command("activate", release=release)["release"] == release == host.live()
        else:
            with pytest.raises(RefusedError, match=f"answered 500; (?s:.*)Still serving {good}"):
                host.command("activate", release=release)
            assert host.live() == good
        assert serving(host) == [host.live()] * PROCESSES


@COLD
def test_a_cold_idle_pool_runs_nothing(host: Host) -> None:
    one, two = (host.deploy(source)["release"] for source in SOURCES[:2])
    idle = routing.other(routing.live_slot(host.app))
    assert {release for slot, _, release in host.apache.processes.values() if slot == idle} == {None}
    assert one in host.releases()
    assert host.command("rollback")["release"] == one
    assert two in host.releases()
