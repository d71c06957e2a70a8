"""What an operator can find out: probe, status, doctor, releases and history."""

from __future__ import annotations

import json

import pytest

from tests.hosts.operations.shared import ONE, QUICK, marks, without_apache
from tests.support.parallel import everywhere
from tests.support.releases import Deployed, EngineError, wait_until


@everywhere
def test_probe(app: Deployed) -> None:
    """The probe reaches every process of both pools."""
    live = app.deploy("probed", import_seconds=QUICK)
    answers = app.ctl("probe")["answers"]
    assert {answer["slot"] for answer in answers} == {"blue", "green"}
    assert {(answer["status"], answer["healthy"]) for answer in answers} == {(200, True)}
    assert sum(answer["release"] == live for answer in answers) == 2
    assert "probe-" not in app.host.read(f"/etc/flask-apache/{ONE}/live.map")
    with without_apache(app), pytest.raises(EngineError, match="Apache is not running"):
        app.ctl("probe")


@everywhere
def test_status(app: Deployed) -> None:
    """Status shows the pools, their processes and memory, also while Apache is down."""
    live = app.deploy("status", import_seconds=QUICK)
    status = app.ctl("status")
    pools = status["pools"]
    assert (status["release"], status["apache"]) == (live, app.host.pid_of_apache())
    assert pools[status["live"]]["release"] == live
    assert sorted(pool["state"] for pool in pools.values()) == ["idle", "live"]
    for pool in pools.values():
        assert len(pool["pids"]) == 2
        assert 20 < pool["resident_mib"] < 400
    with without_apache(app):
        status = app.ctl("status")
        assert (status["release"], status["apache"]) == (live, None)
        assert "Apache is not running." in status["msg"]
        assert [pool["pids"] for pool in status["pools"].values()] == [[], []]


@everywhere
def test_without_apache(app: Deployed) -> None:
    """Nothing goes live while Apache is down, and what was live is live again afterwards."""
    app.deploy("down1", import_seconds=QUICK)
    live = app.deploy("down2", import_seconds=QUICK)
    release = app.prepare("down3", import_seconds=QUICK)
    with without_apache(app):
        for command in (("activate", release), ("rollback",), ("canary", "10", release)):
            with pytest.raises(EngineError, match="Apache is not running"):
                app.ctl(*command)
        assert app.live() == live
    assert marks(app, 1) == ["down2"]


@everywhere
def test_doctor(app: Deployed) -> None:
    """The doctor finds no fault on a healthy host, and finds each fault that the test causes."""
    live = app.deploy("doctor", import_seconds=QUICK)
    assert wrong_checks(app) == {}
    with without_apache(app):
        assert "systemctl status apache2" in wrong_checks(app)["Apache runs"]
    assert wait_until(lambda: wrong_checks(app) == {}, 20)
    venv = app.host.run(["readlink", "-f", f"/srv/flask-apache/{ONE}/releases/{live}/venv"]).stdout.strip()
    app.host.run(["mv", venv, "/root/venv"])
    try:
        found = wrong_checks(app)
    finally:
        app.host.run(["mv", "/root/venv", venv])
    assert any(f"release {live} is whole" in check and "run the role" in advice for check, advice in found.items())
    app.ctl("maintenance", "on")
    assert list(wrong_checks(app)) == ["a visitor gets the app"]
    app.ctl("maintenance", "off")
    assert wrong_checks(app) == {}


def wrong_checks(app: Deployed) -> dict[str, str]:
    """Return the checks that fail, with the doctor's advice."""
    done = app.host.run(["flask-apachectl", "--json", "--app", ONE, "doctor"], check=False)
    found = {row["check"]: row["advice"] for row in json.loads(done.stdout)["checks"] if not row["ok"]}
    assert done.returncode == int(bool(found))
    return found


@everywhere
def test_prune_and_history(app: Deployed) -> None:
    """Old releases and their environments are removed; live, previous and idle releases stay; the history lists all."""
    app.deploy("g1", dependency="8.1.8", import_seconds=QUICK)
    with_its_own = app.host.run(["ls", f"/srv/flask-apache/{ONE}/venvs"]).stdout.split()
    releases = [app.deploy(mark, import_seconds=QUICK) for mark in ("g2", "g3")]
    never = app.prepare("g4", import_seconds=QUICK)
    assert never in app.ctl("prune", "--keep", "1")["removed"]
    assert {row["release"] for row in app.ctl("releases")["releases"]} == set(releases)
    assert len(app.host.run(["ls", f"/srv/flask-apache/{ONE}/venvs"]).stdout.split()) < len(with_its_own)
    assert not app.ctl("prune", "--keep", "1")["changed"]
    assert app.ctl("rollback")["release"] == releases[0]
    rows = app.ctl("history")["history"][-3:]
    assert [(row["action"], row["release"]) for row in rows] == [
        ("deploy", releases[0]),
        ("deploy", releases[1]),
        ("rollback", releases[0]),
    ]
    assert {row["by"] for row in rows} == {"root"}
