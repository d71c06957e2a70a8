"""Queue workers and timers run what is declared, and follow the live release."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.build.fetch import pack
from tests.hosts.background.shared import (
    APP,
    DATA,
    DECLARED,
    NAME,
    SECRET,
    UNIT,
    make_source,
)
from tests.support import killing
from tests.support.parallel import each
from tests.support.playbooks import apply_role
from tests.support.releases import Deployed, EngineError, wait_until

if TYPE_CHECKING:
    from subprocess import CompletedProcess


# Functions of the engine at which it is killed, from the switch on.
STEPS = (
    *("routing.switch", "serve.units.follow", "host.files.replace_link", "host.files.write"),
    *("serve.units.systemctl", "serve.units.stays_up", "history.record"),
)
QUICK = {"serve.start.STAYS_FOR": 0.1, "serve.units.WORKERS_STAY_FOR": 0.5}


def prepare(app: Deployed, mark: str, **inputs: str) -> str:
    """Copy a release's source to the host as the role does, and prepare the release. Returns its id."""
    with tempfile.TemporaryDirectory() as scratch:
        source = make_source(Path(scratch) / "source", mark, **inputs)
        packed = pack.pack(source, Path(scratch) / "cache")
        app.host.put(Path(packed["archive"]), f"/srv/flask-apache/{APP}/incoming/{packed['id']}.tar.gz")
    return str(app.ctl("prepare", packed["id"])["release"])


def said(app: Deployed, who: str = "scheduler") -> list[list[str]]:
    """Return what the schedulers or the jobs have logged."""
    path = f"{DATA}/{who}"
    return [json.loads(line) for line in app.host.read(path).splitlines()] if app.host.exists(path) else []


def units(app: Deployed) -> dict[str, tuple[str, str]]:
    """Return the state and the pid of each unit, by its short name."""
    return {row["unit"].removeprefix(UNIT): (row["state"], row["pid"]) for row in app.ctl("status")["units"]}


def test_they_run_as_declared(apps: list[Deployed]) -> None:
    """Workers run in the live release with its environment and their command's arguments; no unit contains a secret."""
    for app in apps:
        release = app.live()
        assert said(app) == [["start", "first", release, SECRET, "two words", "100%", "$HOME", "n1"]]
        found = units(app)
        assert {name: state for name, (state, _) in found.items()} == {
            "queue@1.service": "running",
            "queue@2.service": "running",
            "scheduler@1.service": "running",
            "nightly.timer": "elapsed",
            "often.timer": found["often.timer"][0],
        }
        for _, pid in found.values():
            if pid != "-":
                assert app.host.run(["stat", "-c", "%U", f"/proc/{pid}"]).stdout == f"{APP}\n"
        everywhere = "/etc/systemd/system /run/systemd /proc/[0-9]*/cmdline"
        assert app.host.run(f"grep -rls '7f3[a]' {everywhere}", check=False).stdout == ""
        assert wait_until(lambda: app.host.exists(f"{DATA}/often"), 10)  # noqa: B023


def test_a_real_queue(apps: list[Deployed]) -> None:
    """Huey's consumer runs what the web processes enqueue, in the same environment."""
    for app in apps:
        assert app.host.http("/enqueue", NAME).status == 200
        assert wait_until(lambda: app.host.exists(f"{DATA}/sum"), 20)  # noqa: B023
        assert app.host.read(f"{DATA}/sum") == f"42 {SECRET}"


def test_another_run_changes_nothing_and_another_definition_what_it_says(apps: list[Deployed], source: Path) -> None:
    """A release carries its workers: another definition is another release, and what is gone leaves no file."""
    hosts = [app.host for app in apps]
    declared = {**DECLARED, "flask_apache_source": str(source)}
    before, released = [units(app) for app in apps], [app.live() for app in apps]
    assert apply_role(hosts, declared).changed == 0
    queue, clock = DECLARED["flask_apache_workers"]
    nightly, _ = DECLARED["flask_apache_timers"]
    changed = {
        **declared,
        "flask_apache_workers": [{**queue, "instances": 1}, {**clock, "command": "python scheduler.py other"}],
        "flask_apache_timers": [nightly],
    }
    plan = apply_role(hosts, changed, "--check", "--diff")
    assert "+ExecStart=" in plan.stdout
    for app, was in zip(apps, before, strict=True):
        assert units(app)["scheduler@1.service"] == was["scheduler@1.service"]
    assert [task.partition(" : ")[2] for task in apply_role(hosts, changed).changed_tasks] == [
        "release | Build the release",
        "release | Apply the configuration and make Apache load it",
        "release | Start and probe the release, and switch to it",
    ]
    for app, was, release in zip(apps, before, released, strict=True):
        assert app.live() != release
        assert said(app)[-2:] == [
            ["end with first", "first", release, SECRET, "two words", "100%", "$HOME", "n1"],
            ["start", "first", app.live(), SECRET, "other"],
        ]
        now = units(app)
        assert list(now) == ["queue@1.service", "scheduler@1.service", "nightly.timer"]
        assert now["queue@1.service"] != was["queue@1.service"]  # it runs the new release
        assert app.host.run(["pgrep", "-cf", "bin/huey_consumer"]).stdout == "1\n"
        assert app.host.run("find /etc /run/systemd /var/lib/systemd -name '*shop-often*'").stdout == ""


def test_a_release_takes_them_along(apps: list[Deployed]) -> None:
    """Each worker finishes its job, then starts on the new release, never two at once. A canary does not move them."""

    def check(app: Deployed) -> None:
        start = len(said(app)) - 1
        first = app.live()
        app.host.write(f"{DATA}/seconds", "3")
        app.host.run("systemctl start --no-block flask-apache-shop-nightly.service")
        assert wait_until(lambda: len(said(app, "nightly")) == 1, 10)
        second = prepare(app, "second")
        app.ctl("activate", second)
        app.host.write(f"{DATA}/seconds", "0")
        assert wait_until(lambda: len(said(app, "nightly")) == 2, 10)
        assert [line[:3] for line in said(app, "nightly")] == [["begin", "first", first], ["end", "first", first]]
        third = prepare(app, "third")
        app.ctl("canary", "50", third)
        assert said(app)[-1][2] == second
        app.ctl("promote")
        app.ctl("rollback")
        marks = ["first", "second", "third", "second"]
        expected = [line for mark in marks for line in (["start", mark], [f"end with {mark}", mark])][:-1]
        assert [line[:2] for line in said(app)[start:]] == expected
        assert app.host.http("/", NAME).json() == {"mark": "second"}
        app.host.run("systemctl stop flask-apache-shop.target")
        assert {state for state, _ in units(app).values()} == {"dead"}
        app.host.run("systemctl start multi-user.target")  # as at boot
        assert wait_until(lambda: units(app)["scheduler@1.service"][0] == "running", 10)

    each(apps, check)


def test_a_release_whose_worker_dies_is_refused(apps: list[Deployed]) -> None:
    """The message shows why, and the old release and its workers go on; also after a soak that switches back."""

    def check(app: Deployed) -> None:
        live = app.live()
        broken = prepare(app, "broken", fault="raise SystemExit('no such broker')")
        with pytest.raises(EngineError) as refused:
            app.ctl("activate", broken)
        assert f"release {broken}: {UNIT}scheduler@1.service does not stay up" in str(refused.value)
        assert "no such broker" in str(refused.value)
        assert f"Still serving {live}." in str(refused.value)
        assert (app.live(), said(app)[-1][:2]) == (live, ["start", "second"])
        assert app.host.http("/", NAME).json() == {"mark": "second"}
        assert units(app)["queue@1.service"][0] == "running"

        before = app.declare(soak=30, soak_errors=0)
        soaked = prepare(app, "soaked")
        ended = threading.Event()

        def ask() -> None:
            while not ended.wait(0.2):
                app.host.http("/oops", NAME)

        visitor = threading.Thread(target=ask)
        visitor.start()
        try:
            with pytest.raises(EngineError, match="5xx"):
                app.ctl("activate", soaked)
        finally:
            ended.set()
            visitor.join()
            app.declare(**before)
        assert [line[1] for line in said(app)[-3:]] == ["soaked", "soaked", "second"]
        assert not any(line[0] == "overlap" for line in said(app))

    each(apps, check)


def test_a_worker_that_keeps_ending_is_seen(apps: list[Deployed]) -> None:
    """Its restarts tell, though it runs at the moment; its lines are in the logs."""

    def check(app: Deployed) -> None:
        unit = f"{UNIT}scheduler@1.service"

        def wrong() -> list[str]:
            done = app.host.run(["flask-apachectl", "--json", "--app", APP, "doctor"], check=False)
            return [row["advice"] for row in json.loads(done.stdout)["checks"] if not row["ok"]]

        assert wrong() == []
        app.host.run(["systemctl", "kill", "--signal=KILL", unit])
        assert wait_until(lambda: units(app)["scheduler@1.service"][1] != "0", 20)
        time.sleep(1)
        assert app.host.run(["systemctl", "is-active", unit]).stdout == "active\n"
        (advice,) = wrong()
        assert "it keeps ending, and was" in advice
        assert "restarted 1 time" in advice
        assert units(app)["scheduler@1.service"][0] == "failing"
        lines = app.ctl("logs", "--worker", "scheduler")["lines"]
        assert any("shop-scheduler" in line["text"] or "systemd" in line["text"] for line in lines)
        app.host.run(["systemctl", "reset-failed", unit])
        assert wrong() == []

    each(apps, check)


def test_a_busy_host_accepts_no_worker_that_dies_and_refuses_no_good_one(apps: list[Deployed]) -> None:
    """A worker that gets hardly any processor needs longer than three seconds until it fails."""

    def check(app: Deployed) -> None:
        live = app.live()
        slow = f"/run/systemd/system/{UNIT}scheduler@.service.d/slow.conf"
        app.host.run(f"mkdir -p {Path(slow).parent}")
        app.host.write(slow, "[Service]\nCPUQuota=3%\n")
        app.host.run("systemctl daemon-reload")
        try:
            broken = prepare(app, "busy", fault="raise SystemExit('no such broker')")
            with pytest.raises(EngineError, match="does not stay up"):
                app.ctl("activate", broken)
            assert app.live() == live
            good = prepare(app, "good")
            app.ctl("activate", good)
            assert app.live() == good
        finally:
            app.host.run(f"rm -r {Path(slow).parent}; systemctl daemon-reload")
        app.ctl("rollback")
        assert app.live() == live

    each(apps, check)


def test_killed_between_the_switch_and_the_end(apps: list[Deployed]) -> None:
    """After the same command again, the workers run the live release; there are never two schedulers."""

    def activate(app: Deployed, release: str, *, kill_at: int) -> CompletedProcess[str]:
        command = ["--app", APP, "activate", release]
        first = "routing.switch"
        return killing.run(app.host, command, kill_at=kill_at, steps=STEPS, settings=QUICK, first=first)

    def matrix(app: Deployed) -> int:
        releases = [prepare(app, mark) for mark in ("even", "odd")]
        killed = 0
        while True:
            release = releases[killed % 2]
            step = activate(app, release, kill_at=killed + 1)
            if step.returncode == 0:
                return killed
            killed += 1
            again = activate(app, release, kill_at=0)
            assert again.returncode == 0, f"after a kill at {step.stdout}: {again.stderr}"
            assert said(app)[-1][:3] == ["start", ("even", "odd")[1 - killed % 2], release], step.stdout
            assert not any(line[0] == "overlap" for line in said(app))

    for app, count in zip(apps, each(apps, matrix), strict=True):
        print(f"{app.host.distribution}: {count} of {count} kills survived")
        assert count > 7
