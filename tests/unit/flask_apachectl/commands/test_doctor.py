"""The doctor looks at Apache once and at each app, and sees workers that keep ending."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import app as apps
from flask_apachectl import cli, paths
from flask_apachectl.commands import doctor
from flask_apachectl.declaration import DamagedError
from flask_apachectl.diagnosis import everything
from flask_apachectl.errors import RefusedError
from flask_apachectl.serve import units
from tests.unit.flask_apachectl.samples import shop

if TYPE_CHECKING:
    from pathlib import Path

QUEUE = "flask-apache-shop-queue@1.service"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return a host with two apps: what is wrong with each, and which ones cannot be read."""
    found = SimpleNamespace(wrong={}, torn=set())

    def load(name: str) -> Any:  # noqa: ANN401 - as it is used here, an app is its name
        if name in found.torn:
            raise DamagedError(f"{name}/app.json is damaged")
        if name not in ("blog", "shop"):
            raise RefusedError(f"there is no app {name} on this host; apps: blog, shop")
        return name

    monkeypatch.setattr(apps, "present_apps", lambda: ["blog", "shop"])
    monkeypatch.setattr(apps, "load_app", load)
    monkeypatch.setattr(doctor, "of_apache", lambda: [("Apache runs", "")])
    monkeypatch.setattr(doctor, "drift", lambda app, thorough: found.wrong.get(app, []) if not thorough else [])
    monkeypatch.setattr(everything, "of_host", lambda _apps: {})
    monkeypatch.setattr(everything, "of_app", lambda _app, _drifted: {})
    monkeypatch.setattr(doctor, "diagnose", lambda _app, drifted: [("all files are as declared", ", ".join(drifted))])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return found


def test_all_apps_are_looked_at(host: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr() == (
        "ok     Apache runs\nok     blog: all files are as declared\nok     shop: all files are as declared\n",
        "",
    )
    host.wrong["shop"] = ["/etc/x"]
    assert cli.main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert "WRONG  shop: all files are as declared: /etc/x" in out
    assert err == ""


def test_one_app_is_looked_at(host: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    host.wrong["blog"] = ["/etc/x"]
    assert cli.main(["--app", "shop", "doctor"]) == 0
    assert capsys.readouterr().out == "ok     Apache runs\nok     all files are as declared\n"
    assert cli.main(["--app", "none", "doctor"]) == 1
    assert capsys.readouterr() == ("", "flask-apachectl: there is no app none on this host; apps: blog, shop\n")


def test_an_app_that_cannot_be_read_hides_no_other_one(
    host: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    host.torn.add("blog")
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "WRONG  blog: its declaration can be read: blog/app.json is damaged" in out
    assert "ok     shop: all files are as declared" in out


@pytest.mark.parametrize(
    ("state", "restarts", "expected"),
    [
        ("active", "0", ""),
        ("active", "3", "it keeps ending, and was exit-code, restarted 3 times, the last time 5 s ago"),
        ("activating", "3", "it keeps ending, and was exit-code, restarted 3 times, now auto-restart"),
        ("inactive", "0", "it is not running it"),
    ],
)
def test_a_worker_is_judged_by_its_restarts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, state: str, restarts: str, expected: str
) -> None:
    monkeypatch.setattr(paths, "SYSTEMD", tmp_path)
    monkeypatch.setattr(units, "due", lambda *_: {} if state == "active" else {QUEUE: ""})
    monkeypatch.setattr(units, "time", SimpleNamespace(monotonic=lambda: 105.0))
    found = {"ActiveState": state, "SubState": "auto-restart", "Result": "exit-code", "NRestarts": restarts}
    found["ActiveEnterTimestampMonotonic"] = str(100 * 10**6)
    monkeypatch.setattr(units, "states", lambda _units: {QUEUE: found})
    app = shop(workers=[{"name": "queue", "instances": 1, "stop_timeout": 1}])
    ((check, advice),) = doctor.of_units(app, "r1")
    assert check == f"{QUEUE} runs the live release"
    assert advice.startswith(expected)
    assert bool(advice) == bool(expected)
