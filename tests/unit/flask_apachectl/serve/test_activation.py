"""How a release becomes live, also after a kill, on a full disk, and when visitors get errors."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import history, routing
from flask_apachectl.build import preparation
from flask_apachectl.errors import RefusedError
from flask_apachectl.serve import logs
from tests.unit.flask_apachectl.kills import Killed
from tests.unit.flask_apachectl.model import PROCESSES, SOURCES, Host, serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("host", [{}, {"strategy": "rolling"}], indirect=True)
def test_a_disk_that_is_full_at_the_switch_leaves_the_live_release(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the live release, the idle pool gets its release back, and the next run completes it."""
    good, bad = host.deploy(SOURCES[0])["release"], host.prepare(SOURCES[1])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(routing, "write", full)
        with pytest.raises(RefusedError, match=f"No space left on device\nStill serving {good}"):
            host.command("activate", release=bad)
    assert (host.live(), serving(host)) == (good, [good] * PROCESSES)
    assert bad not in {release for _, _, release in host.apache.processes.values()}
    assert host.command("activate", release=bad)["release"] == bad == host.live()


@pytest.mark.parametrize("host", [{"soak": 5, "soak_errors": 2}], indirect=True)
def test_a_burst_of_errors_after_the_switch_switches_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    good = host.deploy(SOURCES[0])["release"]
    monkeypatch.setattr(logs.AccessLog, "errors", lambda _: 3)
    with pytest.raises(RefusedError, match=f"3 requests of visitors with 5xx\nStill serving {good}"):
        host.deploy(SOURCES[1])
    last = history.read(host.app)[-1]
    assert (host.live(), last["action"]) == (good, "deploy refused")
    assert last["reason"].endswith("answered 3 requests of visitors with 5xx")
    with pytest.raises(RefusedError, match="is the first one that was live"):
        host.command("rollback")


@pytest.mark.parametrize("host", [{"soak": 5, "soak_errors": 2}], indirect=True)
@pytest.mark.parametrize("closed", ["maintenance", "drain"])
def test_what_a_closed_app_answers_is_no_burst(host: Host, monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    """Apache itself sends those 503 answers, to visitors or load balancers."""
    host.deploy(SOURCES[0])
    host.command(closed, state="on")
    monkeypatch.setattr(logs.AccessLog, "errors", lambda _: 3)
    assert host.deploy(SOURCES[1])["changed"] is True


def after_a_kill_at(moment: int, directory: Path, sources: tuple[str, ...], strategy: str) -> list[str] | None:
    """Deploy sources; kill the last deploy at a moment, then activate again. Return None if it was not killed.

    Return the release, and the releases that the processes of the live pool run.
    """
    host = Host(directory, strategy=strategy)
    try:
        preparation.make_slots(host.app, os.getgid())
        host.apache.start()
        for source in sources[:-1]:
            host.deploy(source)
        release = host.prepare(sources[-1])
        with contextlib.suppress(Killed), host.killer.armed(moment, hard=True):
            host.command("activate", release=release)
            return None
        host.command("activate", release=release)
        assert host.live() == release
        assert host.debris() == []
        return [release, *map(str, serving(host))]
    finally:
        host.close()


@pytest.mark.parametrize(
    ("sources", "strategy"),
    [
        pytest.param(SOURCES[:1], "blue_green"),
        (SOURCES[:2], "blue_green"),
        pytest.param(SOURCES[:2], "rolling"),
    ],
    ids=["first", "second", "rolled"],
)
def test_a_deploy_killed_at_any_moment_is_finished_by_the_next_run(
    tmp_path: Path, sources: tuple[str, ...], strategy: str
) -> None:
    stuck: dict[int, object] = {}
    for moment in itertools.count(step=2):  # after a change is before the next one
        try:
            found = after_a_kill_at(moment, tmp_path / str(moment), sources, strategy)
        except RefusedError as failure:
            stuck[moment] = str(failure)
            continue
        if found is None:
            break
        if len(set(found)) != 1:
            stuck[moment] = found
    assert moment > 20
    assert stuck == {}


def test_activating_the_live_release_ends_a_canary(host: Host) -> None:
    """Its message says that it is live."""
    one, two = (host.deploy(source)["release"] for source in SOURCES[:2])
    host.command("canary", canary=10, release=one)
    host.command("activate", release=two)
    assert routing.read(host.app).canary == ""
