"""What visitors get now, and the condition of a pool."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import app as apps
from flask_apachectl import lock, paths, routing
from flask_apachectl.apache import server
from flask_apachectl.cli import parser
from flask_apachectl.commands import status
from flask_apachectl.declaration import DamagedError
from flask_apachectl.routing import Routes
from flask_apachectl.serve import condition, health, pools, units
from flask_apachectl.serve.condition import Visit
from flask_apachectl.serve.health import Answer
from flask_apachectl.serve.pools import DaemonProcess
from tests.unit.flask_apachectl.samples import changed, shop

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App

UP, DOWN = Visit("up", "200 in 3 ms", ours=True), Visit("down", "/ answered 500", ours=True)
BEGAN = 1000.0


class World:
    """What the engine sees: the answer of the health check, Apache, and processes by their starts."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.answer, self.apache, self.loaded, self.release = Answer(200), 7, "digest", "r1"
        self.routes = Routes(live="blue")
        self.processes: list[DaemonProcess] = []
        self.outdated: set[int] = set()
        self.now = BEGAN + 5000
        self.holder = ""
        patch.setattr(health, "ask", lambda _app, address: self.answer if address else None)
        patch.setattr(server, "pid", lambda: self.apache or None)
        patch.setattr(server, "addresses", lambda _app: ("127.0.0.1",))
        patch.setattr(server, "loaded_at", lambda _app, _address: self.loaded)
        patch.setattr(routing, "read", lambda _app: self.routes)
        patch.setattr(routing, "slot_release", lambda _app, _slot: self.release or None)
        patch.setattr(pools, "daemon_processes", lambda _app: self.processes)
        patch.setattr(pools, "is_outdated", lambda _app, process: process.pid in self.outdated)
        patch.setattr(condition, "since", lambda _app, _slot: BEGAN)
        patch.setattr(time, "clock_gettime", lambda _clock: self.now)
        patch.setattr(lock, "holder", lambda _app: self.holder)
        patch.setattr(units, "declared", lambda _app: [])

    def run(self, slot: str, *starts: float, loading: bool = False) -> None:
        """Let the processes of a pool be those that started so many seconds after it did."""
        kept = [process for process in self.processes if process.slot != slot]
        first = {"blue": 100, "green": 200}[slot]
        own = [
            DaemonProcess(first + number, slot, BEGAN + start, loading=loading) for number, start in enumerate(starts)
        ]
        self.processes = kept + own


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Return a host whose app is healthy."""
    found = World(monkeypatch)
    found.run("blue", 0, 1)
    found.run("green", 0, 1)
    return found


def test_a_healthy_app_is_up(world: World) -> None:
    assert world.release
    assert condition.visit(shop()).state == "up"


@pytest.mark.parametrize(
    ("changes", "state", "told"),
    [
        ({"answer": Answer(0, error="[Errno 111] Connection refused"), "apache": 0}, "down", "Apache is not running"),
        ({"answer": Answer(504)}, "down", "answered 504"),
        ({"answer": Answer(200, complete=False)}, "down", "without the expected text"),
        ({"answer": Answer(0, error="timed out")}, "down", "no answer (timed out)"),
        ({"loaded": ""}, "down", "another program or site answers (200)"),
        ({"loaded": "", "apache": 0}, "down", "another program or site answers (200)"),
        ({"release": "", "answer": Answer(503)}, "down", "no release is live yet"),
        ({"routes": Routes(live="blue", maintenance="x"), "answer": Answer(503)}, "closed", "closed for maintenance"),
    ],
)
def test_what_visitors_get_is_asked(world: World, changes: dict[str, object], state: str, told: str) -> None:
    for name, value in changes.items():
        setattr(world, name, value)
    found = condition.visit(shop())
    assert found.state == state
    assert told in found.told


@pytest.mark.parametrize(
    ("starts", "changes", "visited", "states"),
    [
        ((0, 1), {}, UP, "live idle"),
        ((0, 1), {"release": ""}, UP, "live idle"),
        ((0, 1), {}, DOWN, "failing idle"),
        ((0, 1), {"outdated": {101}}, UP, "outdated idle"),
        ((0,), {}, UP, "failing idle"),
        ((), {"now": BEGAN + 3}, UP, "starting idle"),
        ((), {"apache": 0}, Visit("down", ""), "failing idle"),
        ((0, 1), {"routes": Routes(live="green", canary="blue", percent=10)}, UP, "live live"),
        ((4990, 4992), {}, UP, "failing idle"),  # all of them have just been restarted, again
        ((0, 4992), {}, UP, "live idle"),
        ((4800, 4801), {}, UP, "live idle"),
    ],
)
def test_the_state_of_a_pool(
    world: World, starts: tuple[float, ...], changes: dict[str, object], visited: Visit, states: str
) -> None:
    world.run("blue", *starts)
    for name, value in changes.items():
        setattr(world, name, value)
    found = condition.of_pools(shop(), visited)
    assert " ".join(pool["state"] for pool in found.values()) == states


def test_a_live_pool_that_does_not_answer_is_failing(world: World) -> None:
    world.answer = Answer(0, error="timed out")
    found = condition.of_pools(shop(), condition.visit(shop()))
    assert [pool["state"] for pool in found.values()] == ["failing", "idle"]


def test_a_pool_that_loads_its_app_is_starting(world: World) -> None:
    world.run("green", 0, 0, loading=True)
    assert condition.of_pools(shop(), UP)["green"]["state"] == "starting"


def test_age_and_restarts(world: World) -> None:
    world.run("blue", 0, 300)
    pool = condition.of_pools(shop(), UP)["blue"]
    assert (pool["age"], pool["restarts"], pool["visitors"]) == (5000, 1, 100)


def test_a_pool_without_a_release_is_idle(world: World) -> None:
    world.release = ""
    world.run("green")
    assert condition.of_pools(shop(), UP)["green"]["state"] == "idle"


def test_the_shares_of_a_canary(world: World) -> None:
    world.routes = Routes(live="blue", canary="green", percent=10)
    assert [pool["visitors"] for pool in condition.of_pools(shop(), UP).values()] == [90, 10]


def report(patch: pytest.MonkeyPatch, *words: str) -> dict[str, object]:
    """Return the status of two apps, of which one cannot be read."""

    def load(name: str) -> object:
        if name == "torn":
            raise DamagedError("/etc/flask-apache/torn/app.json is damaged (half): run the role for this app")
        return shop()

    patch.setattr(apps, "present_apps", lambda: ["shop", "torn"] if "torn" in words else ["shop"])
    patch.setattr(apps, "load_app", load)
    options = parser().parse_args([*(word for word in words if word != "torn"), "status"])
    return dict(status.status(options))


@pytest.mark.usefixtures("world")
def test_the_table_has_a_line_for_each_app(monkeypatch: pytest.MonkeyPatch) -> None:
    found = report(monkeypatch)
    assert found["failed"] is False
    heading, line, _, first, *details = str(found["msg"]).splitlines()
    assert heading.split() == ["app", "state", "release", "blue", "green", "url", "visitors", "get"]
    assert line.split()[:3] == ["shop", "up", "r1"]
    assert "live 83 min  idle 83 min  http://www.example.com/  200 in" in line
    assert first.startswith("shop serves r1 at http://www.example.com/: visitors get 200 in")  # it is the only one
    assert details[0].split()[0] == "pool"


def test_one_app_that_is_down_fails_the_report(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    world.answer, world.holder = Answer(504), "alice (pid 3) since 2026-11-26T03:00:00Z, at the step `probe /`"
    found = report(monkeypatch)
    assert found["failed"] is True
    assert "DOWN" in str(found["msg"])
    assert "answered 504" in str(found["msg"])
    assert "shop: being changed by alice (pid 3) since 2026-11-26T03:00:00Z, at the step `probe /`" in str(found["msg"])
    one = report(monkeypatch, "--app", "shop")
    assert (one["failed"], one["state"], one["deploy"]) == (True, "down", world.holder)
    assert str(one["msg"]).startswith("shop is DOWN at http://www.example.com/: / answered 504")


def test_an_app_that_cannot_be_read_is_down(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    assert world.release
    found = report(monkeypatch, "torn")
    assert found["failed"] is True
    assert "torn/app.json is damaged" in str(found["msg"])
    assert "shop  up" in str(found["msg"])


def test_a_closed_app_is_not_down(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    world.routes, world.answer = Routes(live="blue", maintenance="secret"), Answer(503)
    found = report(monkeypatch, "--app", "shop")
    assert (found["failed"], found["state"]) == (False, "closed")
    assert "flask_apache_bypass=secret" in str(found["msg"])


@pytest.mark.parametrize("is_journal", [True, False])
def test_a_pool_is_as_old_as_the_program_of_its_log(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_journal: bool
) -> None:
    """Apache starts it at each reload. In the journal, only its environment names the log."""
    monkeypatch.setattr(server, "pid", os.getpid)
    place = paths.JOURNAL if is_journal else str(tmp_path / "error.log")
    own = changed(app, error_log=place)
    own.home.mkdir(parents=True, exist_ok=True)
    before = condition.since(own, "blue")
    command = ["sleep", "30"] if is_journal else [sys.executable, "-c", "import time; time.sleep(30)", place]
    with subprocess.Popen(command, env={"FLASK_APACHE_LOG": "flask-apache-shop-error", "PATH": "/usr/bin"}) as logger:
        assert condition.since(own, "blue") > before
        logger.kill()
    assert condition.since(own, "blue") == before
