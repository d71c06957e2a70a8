"""The metrics of an app: what each part tells, and that none hides another."""

from __future__ import annotations

import json
import shutil
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import app as apps
from flask_apachectl import history, lock, paths, releases, routing
from flask_apachectl.apache import certificates, server
from flask_apachectl.declaration import DamagedError
from flask_apachectl.host import programs
from flask_apachectl.routing import Routes
from flask_apachectl.serve import condition, metrics, pools, requests, units
from flask_apachectl.serve.condition import Visit
from tests.unit.flask_apachectl.samples import changed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask_apachectl.app import App

MADE, LIVE, NOW = 1795694400, 1795698000, 1795701600  # 12, 13 and 14 o'clock
SECRET = "battery staple"


@pytest.fixture
def shop(app: App, monkeypatch: pytest.MonkeyPatch) -> App:
    """Return an app that is up, with a live release, and everything that can be asked about it."""
    (app.home / "releases/r1").mkdir(parents=True)
    (app.home / "blue").symlink_to(app.home / "releases/r1")
    entry = {"time": "2026-11-26T13:00:00Z", "action": "deploy", "release": "r1", "by": "root"}
    app.history.write_text(json.dumps(entry) + "\n")
    pool = {"release": "r1", "state": "live", "visitors": 90, "age": 60, "restarts": 1, "pids": [7, 8]}
    both = {"blue": pool, "green": {**pool, "state": "idle", "visitors": 10, "pids": [9], "restarts": 0}}
    for module, name, value in (
        (apps, "load_app", lambda _name: app),
        (condition, "visit", lambda _app: Visit("up", "200 in 4 ms", ours=True, status=200, seconds=0.004)),
        (condition, "of_pools", lambda _app, _visited: both),
        (routing, "read", lambda _app: Routes(live="blue")),
        (lock, "holder", lambda _app: ""),
        (releases, "description", lambda _app, _release: {"made": "2026-11-26T12:00:00Z"}),
        (releases, "as_made", lambda _app, _release: app),
        (requests, "count", lambda _app: {"500": 2, "200": 10}),
        (programs, "resident", lambda pids: len(pids) * 2**20),
        (pools, "requests", lambda _app: {"blue": (3, 1)}),
        (metrics, "time", SimpleNamespace(time=lambda: NOW)),
        (units, "declared", lambda _app: []),
    ):
        monkeypatch.setattr(module, name, value)
    return app


def values(found: metrics.Collected) -> dict[str, Any]:
    """Return the values by their names and labels, written as PromQL does, without the prefix and the app."""
    result = {}
    for sample in found.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "app"}
        text = ",".join(f"{name}={value}" for name, value in labels.items())
        result[sample.name.removeprefix("flask_apache_") + (f"{{{text}}}" if text else "")] = sample.value
        assert sample.labels["app"] == found.app
    assert len(result) == len(found.samples)
    return result


def failed(found: metrics.Collected) -> list[str]:
    """Return the parts that could not be measured."""
    rows = [each for each in found.samples if each.name == "flask_apache_collector_success"]
    assert next(each.labels["collector"] for each in rows) == "declaration"
    return [each.labels["collector"] for each in rows if not each.value]


@pytest.mark.usefixtures("shop")
def test_an_app_that_is_up() -> None:
    found = metrics.of_name("shop")
    assert (found.problems, failed(found)) == ([], [])
    told = values(found)
    assert {name: told[name] for name in ("up", "visit_duration_seconds", "visit_status_code")} == {
        "up": True,
        "visit_duration_seconds": 0.004,
        "visit_status_code": 200,
    }
    assert told["release_info{release=r1,pool=blue}"] == 1
    assert (told["release_created_timestamp_seconds"], told["release_live_timestamp_seconds"]) == (MADE, LIVE)
    assert told["release_live_age_seconds"] == NOW - LIVE
    assert (told["last_deploy_success"], told["last_deploy_timestamp_seconds"]) == (True, LIVE)
    assert (told["maintenance"], told["drain"], told["change_in_progress"]) == (False, False, False)
    assert (told["http_requests_total{code=200}"], told["http_requests_total{code=500}"]) == (10, 2)
    assert 0 < told["filesystem_avail_bytes"] < told["filesystem_size_bytes"]


@pytest.mark.usefixtures("shop")
def test_the_pools() -> None:
    told = values(metrics.of_name("shop"))
    blue = {name.partition("{")[0]: value for name, value in told.items() if name.endswith("{pool=blue}")}
    assert blue == {
        "pool_visitors_ratio": 0.9,
        "pool_processes": 2,
        "pool_wanted_processes": 2,
        "pool_restarted_processes": 1,
        "pool_start_timestamp_seconds": NOW - 60,
        "pool_resident_memory_bytes": 2 * 2**20,
        "pool_active_requests": 3,
        "pool_queued_requests": 1,
    }
    states = {name: value for name, value in told.items() if name.startswith("pool_state{")}
    assert len(states) == 10
    assert [name for name, value in states.items() if value] == [
        "pool_state{pool=blue,state=live}",
        "pool_state{pool=green,state=idle}",
    ]
    assert "pool_active_requests{pool=green}" not in told  # its socket is elsewhere


def test_what_an_operator_has_switched_on(shop: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "read", lambda _app: Routes(live="blue", maintenance="secret", drain=True))
    monkeypatch.setattr(lock, "holder", lambda _app: "root (pid 7)")
    monkeypatch.setattr(condition, "visit", lambda _app: Visit("closed", "503", ours=True, status=503))
    told = values(metrics.of_name(shop.name))
    assert (told["maintenance"], told["drain"], told["change_in_progress"]) == (True, True, True)
    assert (told["up"], told["visit_status_code"]) == (False, 503)


@pytest.mark.parametrize(
    ("actions", "success", "hour"),
    [
        (["deploy", "deploy refused"], False, 14),
        (["deploy failed", "deploy"], True, 14),
        (["deploy refused", "rollback", "maintenance on"], False, 13),
        (["canary 10 %", "promote"], True, 14),
    ],
)
def test_the_last_deploy(shop: App, actions: list[str], success: bool, hour: int) -> None:  # noqa: FBT001
    rows = [
        {"time": f"2026-11-26T{13 + number}:00:00Z", "action": action, "release": "r2", "by": "root"}
        for number, action in enumerate(actions)
    ]
    shop.history.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = values(metrics.of_name("shop"))
    assert (told["last_deploy_success"], told["last_deploy_timestamp_seconds"]) == (success, LIVE + 3600 * (hour - 13))
    assert "release_live_timestamp_seconds" not in told  # the log does not know of r1


def test_before_the_first_release(shop: App) -> None:
    (shop.home / "blue").unlink()
    shop.history.unlink()
    found = metrics.of_name("shop")
    assert failed(found) == []
    assert not [name for name in values(found) if name.startswith(("release_", "last_deploy"))]


CERTIFICATE = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def test_when_the_certificate_expires(shop: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "certificate.pem"
    command = [*CERTIFICATE, "-subj", "/CN=x", "-days", "10", "-keyout", str(tmp_path / "key"), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    secure = changed(shop, https_port=443, certificate=str(path))
    monkeypatch.setattr(apps, "load_app", lambda _name: secure)
    expires = values(metrics.of_name("shop"))["certificate_expiry_timestamp_seconds"]
    assert abs(expires - path.stat().st_mtime - 10 * 86400) < 60
    path.write_text("no certificate")
    found = metrics.of_name("shop")
    assert failed(found) == ["certificate"]
    assert found.problems[0].startswith(f"shop: certificate: openssl cannot read the certificate {path} … ")
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    found = metrics.of_name("shop")
    assert failed(found) == []
    assert "certificate_expiry_timestamp_seconds" not in values(found)


def test_workers_and_timers(shop: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {
        "queue@1.service": {"ActiveState": "active", "NRestarts": "0"},
        "queue@2.service": {"ActiveState": "activating", "NRestarts": "4"},
        "daily.timer": {"ActiveState": "inactive"},
    }
    monkeypatch.setattr(paths, "SYSTEMD", tmp_path)
    monkeypatch.setattr(units, "declared", lambda _app: list(states))
    monkeypatch.setattr(units, "states", lambda declared: {unit: states[unit] for unit in declared})
    told = values(metrics.of_name(shop.name))
    assert {name: value for name, value in told.items() if name.startswith("unit_")} == {
        "unit_active{unit=queue@1.service}": True,
        "unit_failing{unit=queue@1.service}": False,
        "unit_active{unit=queue@2.service}": False,
        "unit_failing{unit=queue@2.service}": True,
        "unit_active{unit=daily.timer}": False,
        "unit_failing{unit=daily.timer}": False,
    }


def test_an_app_that_cannot_be_read_is_down(shop: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_name: str) -> App:
        raise DamagedError("shop/app.json is damaged (half): run the role for this app")

    monkeypatch.setattr(apps, "load_app", load)
    found = metrics.of_name(shop.name)
    assert values(found) == {"collector_success{collector=declaration}": False, "up": False}
    assert found.problems == ["shop: declaration: shop/app.json is damaged (half): run the role for this app"]


BROKEN = {
    "visit": (condition, "visit"),
    "traffic": (lock, "holder"),
    "release": (releases, "description"),
    "deploys": (history, "read"),
    "pools": (condition, "of_pools"),
    "requests": (requests, "count"),
    "certificate": (certificates, "expires"),
    "filesystem": (shutil, "disk_usage"),
    "units": (releases, "as_made"),
}


@pytest.mark.parametrize("part", BROKEN)
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyError("x"), DamagedError("it is damaged")])
def test_a_part_that_fails_hides_no_other(
    shop: App, monkeypatch: pytest.MonkeyPatch, part: str, error: Exception
) -> None:
    def fail(*_: object) -> Iterator[Any]:
        raise error

    whole = values(metrics.of_name("shop"))
    monkeypatch.setattr(apps, "load_app", lambda _name: changed(shop, certificate="/x"))
    monkeypatch.setattr(certificates, "expires", lambda _path: 1.0)
    monkeypatch.setattr(*BROKEN[part], fail)
    found = metrics.of_name("shop")
    others = {"release", "deploys"} if part == "deploys" else {part}  # both read the history
    assert set(failed(found)) == others
    assert len(found.problems) == len(others)
    told = values(found)
    assert told["up"] is (part != "visit")
    lost = {name.partition("{")[0] for name in set(whole) - set(told)}
    assert all(metrics.GAUGES.get(name) or metrics.COUNTERS.get(name) for name in lost)
    assert len(told) > len(whole) / 4


def test_every_metric_is_described() -> None:
    names = [family.name for family in metrics.FAMILIES]
    assert len(names) == len(set(names))
    for family in metrics.FAMILIES:
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert family.help.endswith(".")


@pytest.mark.usefixtures("shop")
def test_no_metric_is_told_that_is_not_described(monkeypatch: pytest.MonkeyPatch, shop: App) -> None:
    monkeypatch.setattr(certificates, "expires", lambda _path: 1.0)
    monkeypatch.setattr(paths, "SYSTEMD", shop.home)
    monkeypatch.setattr(units, "declared", lambda _app: ["x.timer"])
    monkeypatch.setattr(units, "states", lambda _units: {"x.timer": {"ActiveState": "active"}})
    monkeypatch.setattr(server, "pid", lambda: None)
    monkeypatch.setattr(apps, "load_app", lambda _name: changed(shop, certificate="/x"))
    told = {sample.name for sample in [*metrics.of_name("shop").samples, *metrics.of_host()]}
    assert told == {family.name for family in metrics.FAMILIES}
    assert metrics.of_host()[0].value is False
