"""A release carries the gate that it is judged by: in a deploy, in a rollback, and at the readiness address."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support import small_app
from tests.support.parallel import each
from tests.support.releases import Deployed, EngineError, reloads, wait_until
from tests.support.steps import Run, StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.hosts import Host, Response

NAME, ALIAS = "gate.example.com", "health.example.com"
DECLARED = {
    "app": "gate",
    "wsgi": "app:app",
    "server_name": NAME,
    "server_aliases": [ALIAS],
    "requirements": [],
    "health_status": [200],
    "health_body": "first",
    "static": [{"url": "/static", "path": "before"}],
}
FIRST = {"/": (200, "first")}
SECOND = {f"{ALIAS}/healthz": (299, "second"), "/second": (200, "second")}
CHANGED = {
    "health_path": "/healthz",
    "health_status": [299],
    "health_body": "second",
    "health_host": ALIAS,
    "health_successes": 2,
    "health_request_timeout": 7,
    "health_timeout": 50,
    "soak": 1,
    "soak_errors": 3,
    "hooks": [{"at": "before_start", "run": "touch /var/lib/flask-apache/gate/hooked"}],
    "data_directories": [{"name": "uploads", "link": "files"}],
    "static": [{"url": "/static", "path": "static"}],
    "workers": [{"name": "queue", "command": "sleep 600"}],
    "timers": [{"name": "nightly", "command": "true", "calendar": "daily"}],
    "environment": {"RUN": "second"},
}
WORKER, TIMER = "flask-apache-gate-queue@1.service", "flask-apache-gate-nightly.timer"


@pytest.fixture(scope="module")
def hosts(start_host: Callable[[str], Host]) -> list[Host]:
    """Return a host of each Debian release."""
    return each(["debian-12-hot", "debian-13-hot"], start_host)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source of the first release."""
    return with_static(small_app.write(tmp_path_factory.mktemp("first") / "source", "first", FIRST), "before")


def with_static(source: Path, directory: str) -> Path:
    """Give a source a static file, which names its directory. Returns the source."""
    (source / directory).mkdir()
    (source / directory / "page.txt").write_text(directory)
    return source


@pytest.fixture(scope="module")
def releases(hosts: list[Host], first: Path) -> list[str]:
    """Deploy the first release to both hosts; return its ids."""
    return each(hosts, lambda host: str(Run(host, {**DECLARED, "source": str(first)}).deploy()["release"]))


@contextlib.contextmanager
def watched(host: Host, path: str = "/-/ready") -> Iterator[list[int]]:
    """Ask for an address 20 times a second; the list gets the status of each answer."""
    statuses: list[int] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.05):
            statuses.append(host.http(path, NAME).status)

    visitor = threading.Thread(target=ask)
    visitor.start()
    try:
        yield statuses
    finally:
        ended.set()
        visitor.join()


def is_active(host: Host, unit: str) -> bool:
    """Return whether a unit runs."""
    return host.run(["systemctl", "is-active", unit], check=False).stdout.strip() == "active"


def test_same_release_id_on_all_hosts(releases: list[str]) -> None:
    """One declaration makes one release id, whatever Python a host has."""
    assert len(set(releases)) == 1


def test_rollback_over_changed_settings(hosts: list[Host], releases: list[str], tmp_path: Path) -> None:
    """A rollback brings back the gate, the hooks, data links, static files and units of the old release."""
    source = with_static(small_app.write(tmp_path / "source", "second", SECOND), "static")

    def go(host: Host) -> None:
        gate = Deployed(host, "gate")
        changed = Run(host, {**DECLARED, **CHANGED, "source": str(source)})
        second = changed.deploy()["release"]
        assert "soak    1 s" in changed.results["activate"]["progress"]
        assert host.http("/static/page.txt", NAME).text == "static"
        assert host.http("/second", NAME).json()["run"] == "second"
        assert "files" in host.http("/second", NAME).json()["here"]
        assert host.http("/-/ready", ALIAS).status == 299
        assert [is_active(host, unit) for unit in (WORKER, TIMER)] == [True, True]
        assert host.exists("/var/lib/flask-apache/gate/hooked")
        host.run("rm /var/lib/flask-apache/gate/hooked; touch /var/lib/flask-apache/gate/unhealthy")

        with pytest.raises(EngineError, match=r"/ answered 500.*expected one of \[200\]"):
            gate.ctl("rollback")
        assert gate.live() == second
        host.run("rm /var/lib/flask-apache/gate/unhealthy")

        assert gate.ctl("rollback")["release"] == releases[0]
        answer = host.http("/", NAME).json()
        assert (answer["mark"], answer["run"]) == ("first", "")
        assert "files" not in answer["here"]
        assert host.http("/static/page.txt", NAME).text == "before"
        assert host.http("/-/ready", NAME).json()["mark"] == "first"
        assert [is_active(host, unit) for unit in (WORKER, TIMER)] == [False, False]

        assert gate.ctl("rollback", second)["release"] == second
        assert host.http("/-/ready", ALIAS).status == 299
        assert [is_active(host, unit) for unit in (WORKER, TIMER)] == [True, True]
        assert not host.exists("/var/lib/flask-apache/gate/hooked")
        gate.ctl("rollback")
        assert doctor(host) == []

    each(hosts, go)


def doctor(host: Host) -> list[str]:
    """Return what doctor finds wrong."""
    return [f"{row['check']}: {row['advice']}" for row in failed_checks(host, "gate")]


def failed_checks(host: Host, app: str) -> list[dict[str, Any]]:
    """Return doctor's checks that found something."""
    done = host.run(["flask-apachectl", "--json", "--app", app, "doctor"], check=False)
    return [row for row in json.loads(done.stdout)["checks"] if not row["ok"]]


def test_refused_path_leaves_readiness_alone(hosts: list[Host], first: Path, tmp_path: Path) -> None:
    """While a deploy with a wrong health path is refused, the readiness address goes on asking the live release."""
    source = with_static(small_app.write(tmp_path / "source", "misspelt", FIRST), "before")

    def go(host: Host) -> None:
        Run(host, {**DECLARED, "source": str(first)}).deploy()
        with watched(host) as statuses:
            with pytest.raises(StepError, match="/helth answered 404"):
                Run(host, {**DECLARED, "source": str(source), "health_path": "/helth"}).deploy()
            host.run(["flask-apachectl", "--app", "gate", "prune"])
            time.sleep(0.5)
        assert set(statuses) == {200}
        assert len(statuses) > 50
        assert host.http("/", NAME).json()["mark"] == "first"

    each(hosts, go)


def test_good_path_under_watch(hosts: list[Host], tmp_path: Path) -> None:
    """A changed health path goes live in the same moment as the release that has it, without a reload."""
    source = with_static(small_app.write(tmp_path / "source", "other", {"/other": (200, "first")}), "before")

    def go(host: Host) -> None:
        before = reloads(host)
        with watched(host) as statuses:
            Run(host, {**DECLARED, "source": str(source), "health_path": "/other"}).deploy()
            Deployed(host, "gate").ctl("rollback")
            Deployed(host, "gate").ctl("rollback")
        assert set(statuses) == {200}
        assert len(statuses) > 20
        assert reloads(host) == before
        assert host.http("/-/ready", NAME).json()["mark"] == "other"

    each(hosts, go)


@pytest.mark.parametrize("path", ["/echo/a%20b%25c%252$1d%2520&e~", "/echo/x%23y?deep=1&a=%2520%2F$1+c"])
def test_encoded_path(hosts: list[Host], tmp_path: Path, path: str) -> None:
    """The engine and the readiness address ask the same address, whatever is encoded in it."""
    source = with_static(small_app.write(tmp_path / "source", "echo", {}), "before")

    def go(host: Host) -> None:
        Run(host, {**DECLARED, "source": str(source), "health_path": path, "health_body": "echo"}).deploy()
        assert host.http("/-/ready", NAME).json()["text"] == host.http(path, NAME).json()["text"]

    each(hosts, go)


def test_another_python_rebuilds_the_environment(hosts: list[Host], first: Path) -> None:
    """After an upgrade of the host's Python, the same release gets an environment of the new one, and keeps its id."""
    host = hosts[1]
    variables = {**DECLARED, "source": str(first)}
    release = Run(host, variables).deploy()["release"]
    venv = host.run(["readlink", "-f", f"/srv/flask-apache/gate/releases/{release}/venv"]).stdout.strip()
    made_by_another_python(host, venv)

    run = Run(host, variables)
    assert run.deploy()["release"] == release
    assert run.changed
    assert re.search(r'"python": "3\.13"', host.read(f"/srv/flask-apache/gate/releases/{release}/venv/complete.json"))
    assert wait_until(lambda: doctor(host) == [], 10)
    assert host.http("/", NAME).json()["mark"] == "first"
    again = Run(host, variables)
    again.deploy()
    assert not again.changed


def made_by_another_python(host: Host, venv: str) -> None:
    """Make an environment look as one that the interpreter before a distribution's upgrade has made."""
    path = f"{venv}/complete.json"
    made: dict[str, Any] = json.loads(host.read(path))
    assert made["python"] == "3.13"
    host.run(["mv", f"{venv}/lib/python3.13", f"{venv}/lib/python3.12"])
    text = json.dumps({**made, "python": "3.12"}).replace("lib/python3.13", "lib/python3.12")
    host.run(["tee", path], stdin=text)


LOGIN = ["AuthType Basic", 'AuthName "Staff"', "AuthUserFile /etc/apache2/staff", "Require valid-user"]
PASSWORD = "printf 'ann:{SHA}%s\n' $(printf secret | openssl sha1 -binary | base64) >/etc/apache2/staff"
ANN = {"Authorization": "Basic " + base64.b64encode(b"ann:secret").decode()}
ELSEWHERE = ["Require ip 192.0.2.0/24"]
PAIR = "/etc/ssl/gate"
TLS = ["SSLEngine on", f"SSLCertificateFile {PAIR}.pem", f"SSLCertificateKeyFile {PAIR}.key"]
MAKE_PAIR = f"openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=gate -keyout {PAIR}.key -out {PAIR}.pem"
WITH_TLS = f"a2enmod --quiet ssl socache_shmcb && {MAKE_PAIR} && systemctl restart apache2"


def all_of(path: str, rules: list[str]) -> list[str]:
    """Return a section of Apache's configuration."""
    return [f"<Location {path}>", *rules, "</Location>"]


class Guard(NamedTuple):
    """What stands in front of an app: what the host needs for it, and which status a stranger gets."""

    prepare: str
    directives: list[str]
    refused: int
    headers: dict[str, str] | None = None  # of a visitor who is let in; None: none is, from here
    port: int = 80


GUARDS = {
    "login": Guard(PASSWORD, all_of("/", LOGIN), 401, ANN),
    "addresses": Guard("true", all_of("/", ELSEWHERE), 403),
    "tls": Guard(WITH_TLS, TLS, 200, {}, 443),
    "login over tls": Guard(f"{PASSWORD}; {WITH_TLS}", [*TLS, *all_of("/", LOGIN)], 401, ANN, 443),
}


@pytest.mark.parametrize("guard", GUARDS.values(), ids=GUARDS)
def test_a_gate_behind_directives(hosts: list[Host], tmp_path: Path, guard: Guard) -> None:
    """Access rules and TLS in front of the health check: releases are judged as elsewhere, strangers stay outside."""
    declared: dict[str, Any] = {"app": "guarded", "wsgi": "app:app", "server_name": "guarded.example.com"}
    declared |= {"requirements": [], "directives": guard.directives, "port": guard.port}
    sources = [small_app.write(tmp_path / mark, mark) for mark in ("one", "two")]
    broken = small_app.write(tmp_path / "broken", "broken", {"/": (500, "broken")})

    def visit(host: Host, headers: dict[str, str]) -> Response:
        https = TLS[0] in guard.directives
        return host.http("/", "guarded.example.com", port=guard.port, https=https, headers=headers)

    def go(host: Host) -> None:
        host.run(guard.prepare)
        for source in sources:
            Run(host, {**declared, "source": str(source)}).deploy()
            assert visit(host, {"X-Flask-Apache-Probe": "0" * 32}).status == guard.refused
            if guard.headers is not None:
                assert visit(host, guard.headers).json()["mark"] == source.name
        with pytest.raises(StepError, match="/ answered 500"):
            Run(host, {**declared, "source": str(broken)}).deploy()
        assert Deployed(host, "guarded").status()["state"] == "up"
        assert wait_until(lambda: not failed_checks(host, "guarded"), 10), failed_checks(host, "guarded")
        again = Run(host, {**declared, "source": str(sources[1])})
        again.deploy()
        assert not again.changed
        Run(host, declared).step("remove")

    each(hosts, go)
