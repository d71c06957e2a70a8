"""When hooks run in a deploy, and what happens when one fails."""

from __future__ import annotations

import pytest

from flask_apachectl.errors import RefusedError
from tests.unit.flask_apachectl.model import PROCESSES, SOURCES, Host, serving


def test_hooks_run_once_a_deploy_and_at_no_rollback(host: Host) -> None:
    one = host.deploy(SOURCES[0])["release"]
    assert host.hooks == [("before_start", one), ("before_switch", one), ("after_switch", one)]
    host.hooks.clear()
    host.deploy(SOURCES[0])
    assert host.hooks == []
    two = host.deploy(SOURCES[1])["release"]
    assert [release for _, release in host.hooks] == [two] * 3
    host.hooks.clear()
    host.command("rollback")
    host.deploy(SOURCES[0])
    assert host.hooks == []


@pytest.mark.parametrize("host", [{}, {"strategy": "rolling"}], indirect=True, ids=["blue_green", "rolling"])
@pytest.mark.parametrize("hook", ["before_start", "before_switch"])
def test_a_failing_hook_stops_the_release_and_runs_again(host: Host, hook: str) -> None:
    one = host.deploy(SOURCES[0])["release"]
    host.failing = hook
    with pytest.raises(RefusedError, match=rf"(?s)hook {hook} .*no such table.*Still serving {one}"):
        host.deploy(SOURCES[1])
    assert host.live() == one
    assert serving(host) == [one] * PROCESSES
    host.failing = ""
    host.hooks.clear()
    two = host.deploy(SOURCES[1])["release"]
    assert host.hooks == [("before_start", two), ("before_switch", two), ("after_switch", two)]


def test_hooks_before_the_check_run_before_the_app_is_imported(host: Host) -> None:
    host.reconfigure(hooks=[{"at": "before_check", "run": "before_check", "once": False, "timeout": 9}])
    one = host.deploy(SOURCES[0])["release"]
    assert host.hooks == [("before_check", f".{one}.partial")]
    host.deploy(SOURCES[0])
    host.failing = "before_check"
    with pytest.raises(RefusedError, match=rf"(?s)hook before_check of release [^.]+: .*Still serving {one}"):
        host.deploy(SOURCES[1])
    assert [name for name, _ in host.hooks] == ["before_check"] * 2
    assert sorted(path.name for path in host.app.releases.iterdir()) == [one]


def test_a_failing_hook_after_the_switch_leaves_the_release_live_and_runs_again(host: Host) -> None:
    host.failing = "after_switch"
    with pytest.raises(RefusedError, match="stays live"):
        host.deploy(SOURCES[0])
    host.failing = ""
    host.hooks.clear()
    one = host.deploy(SOURCES[0])
    assert (one["changed"], host.hooks) == (True, [("after_switch", host.live())])
    assert not host.deploy(SOURCES[0])["changed"]


def test_hooks_of_a_canary_run_once(host: Host) -> None:
    host.deploy(SOURCES[0])
    host.hooks.clear()
    two = host.prepare(SOURCES[1])
    for percent in (10, 20):
        host.command("before_start", release=two)
        host.command("activate", release=two, canary=percent)
    assert [name for name, _ in host.hooks] == ["before_start", "before_switch"]
    host.command("before_start", release=two)
    host.command("activate", release=two)
    assert [name for name, _ in host.hooks] == ["before_start", "before_switch", "after_switch"]


def test_a_hook_for_one_host_is_left_to_it(host: Host) -> None:
    host.reconfigure(hooks=[{"at": "before_start", "run": "migrate", "once": True, "timeout": 9}])
    release = host.prepare(SOURCES[0])
    assert not host.command("before_start", release=release, skip_once=True)["changed"]
    assert host.hooks == []
    assert host.command("before_start", release=release)["changed"]


def test_no_hook_runs_in_an_image(host: Host) -> None:
    """Its database is not available."""
    host.apache.running = False
    host.deploy(SOURCES[0])
    assert host.hooks == []
