"""What an operator can find out: probe, status, doctor, releases and history."""

from __future__ import annotations

import json
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.operations.shared import NAME, ONE, QUICK, TWO, marks, without_apache
from tests.support.parallel import everywhere
from tests.support.releases import Deployed, EngineError, make_source, wait_until


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
    """Status shows what visitors get, the pools, their processes and memory, also while Apache is down."""
    live = app.deploy("status", import_seconds=QUICK)
    status = app.status()
    pools = status["pools"]
    assert (status["release"], status["apache"], status["state"]) == (live, app.host.pid_of_apache(), "up")
    assert pools[status["live"]]["release"] == live
    assert sorted(pool["state"] for pool in pools.values()) == ["idle", "live"]
    for pool in pools.values():
        assert len(pool["pids"]) == 2
        assert 20 < pool["resident_mib"] < 400
        assert (pool["restarts"], pool["age"] < 600) == (0, True)
    code, table = overview(app)
    assert (code, table[ONE][1], table[TWO][1]) == (0, "up", "up")
    with without_apache(app):
        status = app.status()
        assert (status["release"], status["apache"], status["state"]) == (live, None, "down")
        assert "Apache is not running." in status["msg"]
        assert [pool["pids"] for pool in status["pools"].values()] == [[], []]
        code, table = overview(app)
        assert (code, table[ONE][1], table[TWO][1]) == (1, "DOWN", "DOWN")
        app.host.run("systemd-run --quiet --unit=other-program python3 -m http.server 80 --directory /var/empty")
        assert wait_until(lambda: "another program" in app.status()["visitors_get"], 10)
        app.host.run("systemctl stop other-program")


def overview(app: Deployed) -> tuple[int, dict[str, list[str]]]:
    """Return the exit code of the status of all apps, and its lines by their apps."""
    done = app.host.run(["flask-apachectl", "status"], check=False)
    assert done.stderr == ""
    return done.returncode, {line.split()[0]: line.split() for line in done.stdout.splitlines()[1:]}


@everywhere
def test_status_of_pools(app: Deployed) -> None:
    """A process that was restarted, a pool that answers nobody, and a running deploy are seen."""
    app.deploy("pools", import_seconds=QUICK)
    status = app.status()
    pids = [str(pid) for pid in status["pools"][status["live"]]["pids"]]
    assert wait_until(lambda: app.status()["pools"][status["live"]]["age"] > 12, 30)
    app.host.run(["kill", "-9", pids[0]])
    assert wait_until(lambda: len(app.status()["pools"][status["live"]]["pids"]) == 2, 10)
    assert app.status()["pools"][status["live"]]["restarts"] == 1
    stopped = [str(pid) for pid in app.status()["pools"][status["live"]]["pids"]]
    app.host.run(["kill", "-STOP", *stopped])
    try:
        down = app.status()
    finally:
        app.host.run(["kill", "-CONT", *stopped])
    assert (down["state"], down["pools"][status["live"]]["state"]) == ("down", "failing")
    assert overview(app)[0] == 0

    release = app.prepare("slow", import_seconds=4)
    seen: list[dict[str, Any]] = []
    with ThreadPoolExecutor() as executor:
        deploy = executor.submit(app.ctl, "activate", release)
        while not deploy.done():
            seen.append(app.status())
    steps = "\n".join(each["deploy"] for each in seen)
    assert re.search(r"root \(pid \d+\) since \S+Z, at the step `probe ", steps), steps
    assert any(pool["state"] == "starting" for each in seen for pool in each["pools"].values())
    assert {each["state"] for each in seen} == {"up"}
    assert app.status()["deploy"] == ""


@everywhere
def test_logs(app: Deployed) -> None:
    """Requests and errors are shown together or alone, and as they come."""
    assert app.host.http("/no/such/page?first", NAME).status == 404
    assert any("/no/such/page?first" in line["text"] for line in app.ctl("logs")["lines"])
    shown = app.host.run(["flask-apachectl", "--app", ONE, "logs", "--access", "-n", "1"]).stdout
    assert "/no/such/page?first" in shown
    assert {line["log"] for line in app.ctl("logs", "--error", "-n", "5")["lines"]} <= {"error"}
    with ThreadPoolExecutor() as executor:
        following = f"timeout 6 flask-apachectl --app {ONE} logs --follow --lines 0"
        followed = executor.submit(app.host.run, following, check=False)
        time.sleep(3)
        app.host.http("/no/such/page?second", NAME)
        lines = followed.result().stdout.splitlines()
    assert [line.split()[0] for line in lines if "/no/such/page?second" in line] == ["access"]
    assert not any("?first" in line for line in lines)


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
    """Return the checks of the app and of Apache that fail, with the doctor's advice."""
    done = app.host.run(["flask-apachectl", "--json", "--app", ONE, "doctor"], check=False)
    found = {row["check"]: row["advice"] for row in json.loads(done.stdout)["checks"] if not row["ok"]}
    assert done.returncode == int(bool(found))
    return found


@everywhere
def test_doctor_of_all_apps(app: Deployed) -> None:
    """Without --app, all apps are looked at; the report goes to standard output also when something is wrong."""
    done = app.host.run(["flask-apachectl", "doctor"], check=False)
    assert (done.returncode, done.stderr) == (0, ""), done
    assert all(f"ok     {name}: a visitor gets the app" in done.stdout for name in (ONE, TWO))
    Deployed(app.host, TWO).ctl("maintenance", "on")
    done = app.host.run(["flask-apachectl", "doctor"], check=False)
    Deployed(app.host, TWO).ctl("maintenance", "off")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"WRONG  {TWO}: a visitor gets the app: 503, as it is closed for maintenance" in done.stdout


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


@everywhere
def test_the_history_of_what_was_refused(app: Deployed) -> None:
    """Refused deploys and rollbacks are in the history with their reasons; commands can run in a refused release."""
    app.deploy("h1", import_seconds=QUICK)
    refused = app.prepare("h2", fault="raise in the pool", import_seconds=QUICK)
    with pytest.raises(EngineError, match="did not become healthy"):
        app.ctl("activate", refused)
    with pytest.raises(EngineError, match="was never live"):
        app.ctl("rollback", refused)
    deploy, rollback = app.ctl("history")["history"][-2:]
    assert (deploy["action"], deploy["release"], rollback["action"]) == ("deploy refused", refused, "rollback refused")
    assert deploy["reason"].startswith(f"release {refused} did not become healthy")
    assert f"{refused} was never live" in app.host.run(["flask-apachectl", "--app", ONE, "history"]).stdout
    command = ["flask-apachectl", "--app", ONE, "run", "--release", refused, "--"]
    code = "import os; print(os.environ['FLASK_APACHE_RELEASE'], os.getcwd())"
    done = app.host.run([*command, "python", "-c", code])
    assert done.stdout == f"{refused} /srv/flask-apache/{ONE}/releases/{refused}/app\n"
    assert "which is not live" in done.stderr


BACKEND = """
import subprocess
def build_wheel(*_, **__):
    subprocess.run(["gcc", "--version"], check=True)
"""
CAUSES: list[tuple[dict[str, str | bytes], str]] = [  # what is added to the source, and what the message says
    ({"marked/late.py": "import pathlib\npathlib.Path('instance').mkdir()"}, "{name: instance, link: instance}"),
    (
        {"marked/late.py": "import sqlite3\nsqlite3.connect(':memory:').execute('select * from user')"},
        'flask_apache_hooks: [{at: before_start, run: "flask db upgrade"}]',
    ),
    ({"requirements.txt": "flask\n".encode("utf-16")}, "must be UTF-8, got UTF-16"),
    (
        {
            "requirements.txt": "./extension\n",
            "extension/backend.py": BACKEND,
            "extension/pyproject.toml": (
                '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
                '[project]\nname = "extension"\nversion = "1"\n'
            ),
        },
        "flask_apache_system_packages: [build-essential]",
    ),
]


@everywhere
def test_frequent_causes_are_told_with_their_remedy(app: Deployed) -> None:
    """The message says what to declare."""
    for number, (files, expected) in enumerate(CAUSES):
        with tempfile.TemporaryDirectory() as scratch:
            source = make_source(Path(scratch, "source"), f"cause{number}", import_seconds=QUICK)
            for name, content in files.items():
                path = source / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
            if "marked/late.py" in files:
                with (source / "marked/__init__.py").open("a") as module:
                    module.write("from . import late\n")
            with pytest.raises(EngineError) as refused:
                app.ship(source)
        assert expected in str(refused.value)
