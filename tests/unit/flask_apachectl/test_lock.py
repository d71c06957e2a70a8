"""The lock: one change at a time, and cleanup after killed runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import lock
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import report
from tests.support.commands import ROOT
from tests.unit.flask_apachectl.samples import changed, listed
from tests.unit.programs import FILES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask_apachectl.app import App

HOLDER = """
import pathlib, sys, time
from flask_apachectl import lock, paths
from flask_apachectl.host import report
from tests.unit.flask_apachectl.samples import shop
paths.SRV = paths.ETC = pathlib.Path(sys.argv[1])
with lock.held(shop()):
    report.say("probe   /healthz of r1")
    print("locked", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def holder(app: App, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """Start another process that holds the lock for a minute, or for the given number of seconds."""
    command = [sys.executable, "-c", HOLDER, str(app.home.parent), str(getattr(request, "param", 60))]
    environment = os.environ | {"SUDO_USER": "alice", "PYTHONPATH": f"{ROOT}:{FILES}"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_the_second_is_told_who_holds_the_lock_and_since_when(app: App, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(RefusedError) as refusal, lock.held(app):
        pass
    who_and_when = rf"alice \(pid {holder.pid}\) since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    step = ", at the step `probe /healthz of r1`"
    assert re.fullmatch(f"shop is being changed by {who_and_when}{step}: try again later", str(refusal.value))


def test_the_lock_goes_with_a_killed_holder(app: App, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lock.held(app):
        assert f"(pid {os.getpid()})" in (app.home / "lock").read_text()


def test_the_lock_is_taken_again_after_a_failure(app: App) -> None:
    for _ in range(2):
        with pytest.raises(RefusedError, match="no luck"), lock.held(app):
            raise RefusedError("no luck")


def waiting(app: App, seconds: float) -> App:
    return changed(app, lock_wait=seconds)


@pytest.mark.parametrize("holder", [0.3], indirect=True)
def test_a_holder_that_ends_in_time_is_waited_for(app: App, holder: subprocess.Popen[str]) -> None:
    with lock.held(waiting(app, 30)):
        assert holder.wait() == 0
        assert f"(pid {os.getpid()})" in (app.home / "lock").read_text()
    assert (app.home / "lock").read_text() == ""


def test_a_holder_that_does_not_end_is_named_after_the_wait(app: App, holder: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    with (
        pytest.raises(RefusedError, match=rf"by alice \(pid {holder.pid}\) since 20"),
        lock.held(waiting(app, 0.3)),
    ):
        pass
    assert 0.3 <= time.monotonic() - began < 5
    assert f"(pid {holder.pid})" in (app.home / "lock").read_text()  # as it was


def test_who_may_not_change_the_app_sweeps_nothing(app: App, holder: subprocess.Popen[str]) -> None:
    assert holder.poll() is None
    (app.releases / ".r.partial").mkdir(parents=True)  # the holder is working on it
    with pytest.raises(RefusedError), lock.held(app):
        pass
    assert listed(app.releases) == [".r.partial"]


def test_what_a_killed_run_left_is_swept(app: App, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("")
    for path in (app.releases / ".r1.partial/app", app.releases / "r0/app", app.venvs / ".v.removed", app.venvs / "v"):
        path.mkdir(parents=True)
    (app.releases / ".link").symlink_to(tmp_path / "outside")
    (app.home / ".blue.new").symlink_to("releases/r0")
    for name in (
        ".live.map.abcd1234",
        ".live.map.copy.abcd1234",
        ".env.abcd1234",
        ".app.json.abcd1234",
        ".secret_key.abcd1234",
        ".entry.wsgi.abcd1234",
        "live.map",
        "secret_key",
        ".notes.swp",
        "env",
    ):
        (app.conf / name).write_text("")
    with lock.held(app):
        assert listed(app.releases) == ["r0"]
        assert listed(app.venvs) == ["v"]
        assert listed(app.home) == ["lock", "releases", "venvs"]
        assert listed(app.conf) == [".notes.swp", "env", "live.map", "secret_key"]
    assert listed(tmp_path / "outside") == ["file"]
    lock.sweep(app)  # with nothing to do


def test_a_running_change_is_shown_with_who_since_when_and_its_step(app: App, holder: subprocess.Popen[str]) -> None:
    expected = rf"alice \(pid {holder.pid}\) since \d{{4}}-\S+Z, at the step `probe /healthz of r1`"
    assert re.fullmatch(expected, lock.holder(app))
    holder.kill()
    holder.wait()
    assert "alice" in (app.home / "lock").read_text()  # what a killed run left says nothing
    assert lock.holder(app) == ""


def test_a_free_lock_has_no_holder(app: App) -> None:
    assert lock.holder(app) == ""
    with lock.held(app):
        assert f"(pid {os.getpid()}) since" in lock.holder(app)
        assert "step" not in lock.holder(app)
    assert lock.holder(app) == ""
    assert report.listeners == []
