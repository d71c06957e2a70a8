"""Which workers and timers are restarted, and which are stopped."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

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
