"""Which workers and timers are restarted, and which are stopped."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from flask_apachectl import paths, routing
from flask_apachectl.errors import RefusedError
from flask_apachectl.serve import units
from tests.unit.flask_apachectl import samples

QUEUE, CLOCK = "flask-apache-shop-queue@1.service", "flask-apache-shop-clock@1.service"
TIMER, TARGET = "flask-apache-shop-nightly.timer", "flask-apache-shop.target"
FILES = ("queue@.service", "clock@.service", "nightly.service", "nightly.timer")
OTHERS = ["flask-apache-shop-x-queue@1.service", "flask-apache-shop-x.target", "flask-apache-shopping-a.timer"]


class Systemd:
    """What the engine sees of systemd: units, their states, and the commands that it received."""

    def __init__(self) -> None:
        self.active = dict.fromkeys(OTHERS, "active")
        self.told: list[str] = []
        self.dies = ""

    def systemctl(self, *arguments: str) -> str:
        """Simulate systemctl."""
        command, *names = arguments
        if command == "list-units":
            return "".join(f"{name} loaded {state} running Some thing\n" for name, state in self.active.items())
        if command == "show":
            return "\n\n".join(
                f"Id={name}\nActiveState={self.active.get(name, 'inactive')}\nResult=exit-code\nMainPID=7"
                for name in names
                if name.startswith("flask")
            )
        if command == "reset-failed":
            return ""
        self.told += [f"{command} {name}" for name in names] or [command]
        for name in names:
            state = "activating" if name == self.dies else "active"
            self.active[name] = state if command in ("restart", "start") else "inactive"
        return ""


class Shop:
    """An app whose release is live, with a worker, a scheduler and a timer."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.systemd, self.live = Systemd(), "one"
        for name in ("ETC", "SRV", "UNITS", "STAMPS", "SYSTEMD"):
            patch.setattr(paths, name, root / name)
            (root / name / "shop/releases").mkdir(parents=True)
        patch.setattr(units, "systemctl", self.systemd.systemctl)
        patch.setattr(routing, "live_slot", lambda _app: "blue")
        patch.setattr(routing, "slot_release", lambda _app, _slot: self.live)
        patch.setattr(units, "journal", lambda unit: f"the end of {unit}")
        patch.setattr(units, "WORKERS_STAY_FOR", 0)
        patch.setattr(units, "seconds_starved", lambda _state: 0.0)
        patch.setattr(os, "fchown", lambda *_: None)
        self.units = root / "UNITS"
        workers = [{"name": name, "instances": 1, "stop_timeout": 30} for name in ("queue", "clock")]
        definitions = {f"flask-apache-shop-{name}": name for name in FILES} | {TARGET: "target"}
        self.app = samples.shop(workers=workers, timers=["nightly"], manage_service=True, units=definitions)

    def declare(self, **changes: object) -> None:
        """Change the units of the live release."""
        self.app = samples.changed(self.app, **changes)

    def define(self, changes: dict[str, str]) -> None:
        """Change the definitions of units; an empty one removes the unit."""
        definitions = self.app.spec.units | {f"flask-apache-shop-{name}": text for name, text in changes.items()}
        self.declare(units={name: text for name, text in definitions.items() if text})

    def follow(self) -> list[str]:
        """Make the units follow the live release, and return the commands that systemd received."""
        self.systemd.told.clear()
        changed = units.follow(self.app)
        assert changed == bool(self.systemd.told)
        return self.systemd.told


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Return an app whose units have followed its release."""
    found = Shop(tmp_path, monkeypatch)
    all_of_them = [f"restart {unit}" for unit in (QUEUE, CLOCK, TIMER)]
    assert found.follow() == ["daemon-reload", *all_of_them, f"start {TARGET}"]
    assert found.follow() == []
    return found


def test_a_release_restarts_the_workers_and_no_timer(shop: Shop) -> None:
    shop.live = "two"
    assert shop.follow() == [f"restart {QUEUE}", f"restart {CLOCK}", f"start {TARGET}"]
    assert (shop.app.home / "current").readlink() == Path("releases/two")


@pytest.mark.parametrize(
    ("file", "unit"), [("queue@.service", QUEUE), ("nightly.timer", TIMER), ("nightly.service", TIMER)]
)
def test_another_definition_restarts_its_unit(shop: Shop, file: str, unit: str) -> None:
    shop.define({file: "another"})
    assert shop.follow() == ["daemon-reload", f"restart {unit}", f"start {TARGET}"]


def test_what_does_not_run_is_started(shop: Shop) -> None:
    shop.systemd.active[CLOCK] = "inactive"
    assert shop.follow() == [f"restart {CLOCK}", f"start {TARGET}"]


def test_what_is_not_declared_any_more_is_stopped_and_nothing_of_others(shop: Shop) -> None:
    other = shop.units / "flask-apache-shopping-a.timer"
    other.write_text("another app's")
    shop.declare(workers=[asdict(worker) for worker in shop.app.spec.workers[:1]])
    shop.define({"clock@.service": ""})
    assert shop.follow() == [f"stop {CLOCK}", "daemon-reload"]
    shop.declare(workers=[], timers=[], units={})
    assert shop.follow() == [*(f"stop {unit}" for unit in (TIMER, QUEUE, TARGET)), "daemon-reload"]
    assert [path.name for path in shop.units.glob("flask-apache-*")] == [other.name]
    assert {name for name, state in shop.systemd.active.items() if state == "active"} == set(OTHERS)


def test_a_worker_that_dies_is_restarted_again_by_the_next_run(shop: Shop) -> None:
    shop.live, shop.systemd.dies = "two", CLOCK
    with pytest.raises(RefusedError, match=f"release two: {CLOCK} does not stay up .exit-code.:\nthe end of"):
        shop.follow()
    shop.live, shop.systemd.dies = "one", ""
    assert f"restart {QUEUE}" in shop.follow()
    assert shop.follow() == []


def test_a_kill_before_the_end_restarts_them_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.live = "two"
    with monkeypatch.context() as patch:
        patch.setattr(units, "stays_up", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            shop.follow()
    assert f"restart {CLOCK}" in shop.follow()
    shop.live = "one"
    assert f"restart {CLOCK}" in shop.follow()


def test_nothing_is_started_where_services_are_not_managed(shop: Shop) -> None:
    shop.declare(manage_service=False)
    shop.systemd.active[CLOCK] = "inactive"
    shop.live = "two"
    assert shop.follow() == [f"restart {QUEUE}"]


def test_all_of_them_end_with_the_app(shop: Shop) -> None:
    job = "flask-apache-shop-nightly.service"
    shop.systemd.active |= {job: "activating", CLOCK: "failed"}
    assert set(units.running(shop.app, all_of_them=True)) == {QUEUE, CLOCK, TIMER, TARGET, job}
    assert set(units.running(shop.app)) == {QUEUE, TIMER, TARGET}


def test_the_target_is_enabled_while_there_are_units(shop: Shop) -> None:
    link = paths.UNITS / "multi-user.target.wants" / TARGET
    shop.app = samples.changed(shop.app, units={TARGET: "[Unit]\n"})
    assert units.install(shop.app)
    assert str(link.readlink()) == f"../{TARGET}"
    assert not units.install(shop.app)
    link.unlink()
    assert units.install(shop.app)
    shop.app = samples.changed(shop.app, units={})
    assert units.install(shop.app)
    assert not link.is_symlink()
    assert not (paths.UNITS / TARGET).exists()


class Clock:
    """A host's time, in which a worker's states follow each other."""

    def __init__(self, patch: pytest.MonkeyPatch, *, starved: float, ends_after: float) -> None:
        self.now, self.share, self.ends_after = 100.0, starved, ends_after
        patch.setattr(units, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self.sleep))
        patch.setattr(units, "states", lambda _units: {QUEUE: self.state()})
        patch.setattr(units, "seconds_starved", lambda _state: self.share * (self.now - 100))
        patch.setattr(units, "journal", lambda _unit: "  no such table: job")

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def state(self) -> dict[str, str]:
        """Return what systemd says: a worker's own time passes slowly while it is starved. It is restarted at once."""
        own = (self.now - 100) * (1 - self.share)
        runs = int(own / self.ends_after)
        since = 100 + runs * self.ends_after / (1 - self.share)
        return {
            "ActiveState": "active",
            "SubState": "running",
            "Result": "success",
            "NRestarts": str(runs),
            "MainPID": "1",
            "ActiveEnterTimestampMonotonic": str(int(since * 1e6)),
        }


@pytest.mark.parametrize("starved", [0, 0.5, 0.9])
def test_a_worker_is_judged_by_its_own_time(monkeypatch: pytest.MonkeyPatch, starved: float) -> None:
    clock = Clock(monkeypatch, starved=starved, ends_after=1000)
    units.stays_up("one", [QUEUE])
    own = (clock.now - 100) * (1 - starved)
    assert units.WORKERS_STAY_FOR <= own < units.WORKERS_STAY_FOR + 0.3


@pytest.mark.parametrize("starved", [0, 0.5, 0.9])
def test_a_worker_that_ends_is_refused_however_busy_the_host(monkeypatch: pytest.MonkeyPatch, starved: float) -> None:
    """It is restarted between two looks, so its state is always active."""
    Clock(monkeypatch, starved=starved, ends_after=2)
    with pytest.raises(RefusedError, match=r"does not stay up \(restarted 1 time\)") as told:
        units.stays_up("one", [QUEUE])
    assert "let a hook create it" in str(told.value)


def test_a_host_that_is_too_busy_for_a_verdict_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, starved=0.99, ends_after=1000)
    units.stays_up("one", [QUEUE])
    assert units.STAY_WITHIN <= clock.now - 100 < units.STAY_WITHIN + 1


@pytest.mark.parametrize(
    ("count", "up", "state", "expected"),
    [
        (0, 1, "active", False),
        (0, 0, "activating", False),  # its first start
        (1, 5, "active", True),
        (1, 61, "active", False),
        (3, 61, "active", True),
        (3, 181, "active", False),
        (2000, 3, "active", True),
        (2000, 601, "active", False),
        (7, 0, "activating", True),
    ],
)
def test_crash_looping_is_told_by_the_restarts(
    monkeypatch: pytest.MonkeyPatch, count: int, up: float, state: str, *, expected: bool
) -> None:
    monkeypatch.setattr(units, "time", SimpleNamespace(monotonic=lambda: 5000.0))
    since = str(int((5000 - up) * 1e6))
    found = {"ActiveState": state, "NRestarts": str(count), "ActiveEnterTimestampMonotonic": since}
    assert units.is_crash_looping(found) is expected


def test_a_process_that_waits_for_a_processor_is_starved() -> None:
    assert units.seconds_starved({"MainPID": str(os.getpid())}) >= 0
    assert units.seconds_starved({"MainPID": "0"}) == units.seconds_starved({}) == 0
