"""What an operator does on a host: canaries, maintenance, looking around; and how the app's choices behave."""

from __future__ import annotations

import functools
import json
import re
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.load import Answer, Client, percentile, visitors
from tests.support.parallel import each, everywhere
from tests.support.playbooks import apply_role
from tests.support.releases import Deployed, EngineError, apache_process, make_source, reloads, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.hosts import Host

DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
ONE, TWO = "marked-with-a-long-name-one", "marked-with-a-long-name-two"  # the first 20 characters are the same
NAME, OTHER_NAME = "one.example.com", "two.example.com"
DECLARED = {
    "flask_apache_app": ONE,
    "flask_apache_wsgi": "marked:app",
    "flask_apache_server_name": NAME,
    "flask_apache_health_path": "/healthz",
}
QUICK = 0.2  # seconds that the import takes
SHORT_CLIENTS = (Client("kept", 4, 0.1, keep_alive=True), Client("single", 4, 0.1))


@pytest.fixture(scope="module")
def apps(start_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Deployed]:
    """Return the app, deployed by the role with another one beside it, on a host of each distribution."""
    hosts = [start_host(distribution) for distribution in DISTRIBUTIONS]
    source = make_source(tmp_path_factory.mktemp("first") / "source", "o00", import_seconds=QUICK)
    declared = {**DECLARED, "flask_apache_source": str(source)}
    other = {**declared, "flask_apache_app": TWO, "flask_apache_server_name": OTHER_NAME}
    each([declared, other], functools.partial(apply_role, hosts))
    return {host.distribution: Deployed(host, ONE) for host in hosts}


def marks(app: Deployed, times: int, **headers: str) -> list[str]:
    """Ask as a new visitor some times, and return the marks of the releases that answered."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [app.host.http("/", NAME, headers=named).json()["marks"][0] for _ in range(times)]


@contextmanager
def without_apache(app: Deployed) -> Iterator[None]:
    """Stop Apache for a while."""
    app.host.run("systemctl stop apache2")
    try:
        yield
    finally:
        app.host.run("systemctl start apache2")
        assert wait_until(lambda: app.host.http("/healthz", NAME).status == 200, 20)


# --- Canaries --------------------------------------------------------------------------------------------------------


@everywhere
def test_canary(app: Deployed) -> None:
    """A share of the visitors gets the new release, and each stays with his; a header asks for it; promote ends it."""
    app.deploy("c1", import_seconds=QUICK)
    canary = app.prepare("c2", import_seconds=QUICK)
    assert app.ctl("activate", canary, "--canary", "20")["canary"] == 20
    assert app.ctl("status")["canary"] == 20

    cookies: dict[str, str] = {}
    asked = 400
    got = []
    for _ in range(asked):
        answer = app.host.http("/", NAME)
        got.append(answer.json()["marks"][0])
        cookie = re.match(rf"(flask_apache_{ONE}=(\S+)); Path=/; HttpOnly; SameSite=Lax", answer.headers["Set-Cookie"])
        assert cookie is not None
        assert cookie[2] == answer.json()["release"]
        cookies[got[-1]] = cookie[1]
    share = got.count("c2") / asked
    print(f"{app.host.distribution}: {share:.1%} of {asked} visitors got a canary of 20 %")
    assert 0.10 < share < 0.30  # five standard deviations
    assert marks(app, 30, Cookie=cookies["c1"]) == ["c1"] * 30
    assert marks(app, 30, Cookie=f"theme=dark; {cookies['c2']}; b=c") == ["c2"] * 30
    assert set(marks(app, 100, Cookie=f"flask_apache_{ONE}=0123456789ab-012345")) == {"c1", "c2"}
    assert marks(app, 10, X_Flask_Apache_Canary="1") == ["c2"] * 10

    app.ctl("canary", "90")
    assert marks(app, 100).count("c2") > 70
    assert marks(app, 30, Cookie=cookies["c1"]) == ["c1"] * 30
    app.ctl("promote")
    assert marks(app, 30) == ["c2"] * 30
    assert marks(app, 5, Cookie=cookies["c1"]) == ["c2"] * 5
    assert "Set-Cookie" not in app.host.http("/", NAME).headers
    assert [row["action"] for row in app.ctl("history")["history"][-3:]] == ["canary 20 %", "canary 90 %", "promote"]
    assert app.ctl("rollback")["changed"]
    assert marks(app, 5) == ["c1"] * 5


@everywhere
def test_canary_aborted(app: Deployed) -> None:
    """After an abort everybody gets the old release, also those who had the new one; none of them sees an error."""
    app.deploy("a1", import_seconds=QUICK)
    canary = app.prepare("a2", import_seconds=QUICK)
    with visitors(app.host.ip, NAME, SHORT_CLIENTS) as crowd:
        app.ctl("canary", "50", canary)
        time.sleep(1)
        app.ctl("abort")
        aborted = time.monotonic()
        time.sleep(1)
    assert crowd.failed() == []
    assert {answer.body["marks"][0] for answer in crowd.answers} == {"a1", "a2"}
    assert {answer.body["marks"][0] for answer in crowd.answers if answer.began > aborted} == {"a1"}
    assert marks(app, 5, Cookie=f"flask_apache_{ONE}={canary}") == ["a1"] * 5
    assert marks(app, 5, X_Flask_Apache_Canary="1") == ["a1"] * 5
    with pytest.raises(EngineError, match="no canary to promote"):
        app.ctl("promote")


@everywhere
def test_canary_that_is_broken(app: Deployed) -> None:
    """A broken release gets no share of the visitors."""
    live = app.deploy("b1", import_seconds=QUICK)
    broken = app.prepare("b2", fault="raise in the pool", import_seconds=QUICK)
    with visitors(app.host.ip, NAME, SHORT_CLIENTS) as crowd, pytest.raises(EngineError, match="Still serving"):
        app.ctl("canary", "50", broken)
    assert {(answer.status, answer.body["release"]) for answer in crowd.answers} == {(200, live)}
    assert app.ctl("status")["canary"] == 0


# --- Maintenance and draining ----------------------------------------------------------------------------------------


@everywhere
def test_maintenance(app: Deployed) -> None:
    """Visitors get 503 with a page; the operator gets in by an address, then by a cookie; deploys work meanwhile."""
    bypass = str(app.ctl("maintenance", "on")["bypass"])
    assert not app.ctl("maintenance", "on")["changed"]
    for path, method in (("/", "GET"), ("/healthz", "GET"), ("/upload", "POST"), ("/no/such/page", "GET")):
        answer = app.host.http(path, NAME, method=method)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "120")
        assert "Back soon" in answer.text
    assert app.host.http("/?flask_apache_bypass=" + "0" * 32, NAME).status == 503
    assert app.host.http("/", NAME, headers={"Cookie": f"flask_apache_{ONE}_bypass={'0' * 32}"}).status == 503

    inside = app.host.http(bypass.removeprefix(f"http://{NAME}"), NAME)
    assert inside.status == 200
    cookie = inside.headers["Set-Cookie"].partition(";")[0]
    assert app.host.http("/", NAME, headers={"Cookie": cookie}).status == 200
    assert app.host.http("/no/such/page", NAME, headers={"Cookie": cookie}).status == 404
    assert bypass in app.ctl("status")["msg"]

    app.deploy("closed", import_seconds=QUICK)
    assert app.host.http("/", NAME).status == 503
    assert marks(app, 1, Cookie=cookie) == ["closed"]
    app.ctl("maintenance", "off")
    assert marks(app, 1) == ["closed"]
    assert app.host.http("/", OTHER_NAME).status == 200
    app.host.run("systemctl stop apache2")
    app.ctl("maintenance", "on")
    app.host.run("systemctl start apache2")
    assert wait_until(lambda: app.host.http("/", NAME).status == 503, 10)
    app.ctl("maintenance", "off")
    assert wait_until(lambda: app.host.http("/", NAME).status == 200, 10)


@everywhere
def test_drain(app: Deployed) -> None:
    """The readiness address answers 503, and the app goes on."""
    assert app.host.http("/-/ready", NAME).json() == {"status": "ok"}
    assert app.ctl("drain", "on")["changed"]
    assert app.host.http("/-/ready", NAME).status == 503
    assert [app.host.http(path, NAME).status for path in ("/", "/healthz")] == [200, 200]
    assert "Draining" in app.ctl("status")["msg"]
    app.ctl("drain", "off")
    assert app.host.http("/-/ready", NAME).json() == {"status": "ok"}


# --- Looking around --------------------------------------------------------------------------------------------------


@everywhere
def test_run(app: Deployed) -> None:
    """A command runs as the app: its user, directory, environment, packages; and its exit code is the answer."""
    app.environment({"SETTING": "for run"})
    release = app.deploy("run", import_seconds=QUICK)
    code = (
        "import flask, getpass, json, os, sys; print(json.dumps([getpass.getuser(), os.getcwd(), sys.prefix, "
        "os.environ['SETTING'], os.environ['FLASK_APACHE_RELEASE'], os.getgroups()]))"
    )
    command = ["flask-apachectl", "--app", ONE, "run", "--"]
    user, directory, prefix, setting, running, groups = json.loads(
        app.host.run([*command, "python", "-c", code]).stdout
    )
    assert (user, setting, running) == (ONE, "for run", release)
    assert directory == f"/srv/flask-apache/{ONE}/releases/{release}/app"
    assert prefix.startswith(f"/srv/flask-apache/{ONE}/")
    assert 0 not in groups
    assert app.host.run([*command, "python", "-c", "exit(3)"], check=False).returncode == 3
    assert "healthz" in app.host.run([*command, "flask", "routes"]).stdout
    with without_apache(app):
        assert app.host.run([*command, "python", "-c", "print(6 * 7)"]).stdout == "42\n"
    app.environment({})


@everywhere
def test_shell(app: Deployed) -> None:
    """The shell is Flask's, with the app in it."""
    done = app.host.run(["flask-apachectl", "--app", ONE, "shell"], stdin="print(app.import_name, 6 * 7)\n")
    assert "marked 42" in done.stdout


@everywhere
def test_probe(app: Deployed) -> None:
    """Every process of both pools is asked."""
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
    """It shows the pools, their processes and memory; also while Apache is down."""
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
    """It finds nothing wrong, then what is made wrong."""
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
    """Return what the doctor finds wrong, and its advice."""
    done = app.host.run(["flask-apachectl", "--json", "--app", ONE, "doctor"], check=False)
    found = {row["check"]: row["advice"] for row in json.loads(done.stdout)["checks"] if not row["ok"]}
    assert done.returncode == int(bool(found))
    return found


@everywhere
def test_prune_and_history(app: Deployed) -> None:
    """Old releases and what only they needed go; live, previous and idle ones stay; the history knows all."""
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


# --- Two apps --------------------------------------------------------------------------------------------------------


@everywhere
def test_another_app_is_left_alone(app: Deployed) -> None:
    """Deploying an app ends no process of another whose name begins alike, and loses none of its requests."""
    other = Deployed(app.host, TWO)
    before = {slot: pool["pids"] for slot, pool in other.ctl("status")["pools"].items()}
    assert [len(pids) for pids in before.values()] == [2, 2]
    clients = [*SHORT_CLIENTS, Client("long", 2, 3, "/slow?seconds=2.5")]
    with visitors(app.host.ip, OTHER_NAME, clients) as crowd:
        for mark in ("t1", "t2", "t3"):
            app.deploy(mark, import_seconds=QUICK)
        app.ctl("rollback")
    assert crowd.failed() == []
    assert {answer.body["marks"][0] for answer in crowd.answers} == {"o00"}
    assert {slot: pool["pids"] for slot, pool in other.ctl("status")["pools"].items()} == before
    assert len(crowd.answers) > 200


# --- Smaller machines ------------------------------------------------------------------------------------------------


@everywhere
def test_cold_idle_pool(app: Deployed) -> None:
    """After the switch the idle pool holds no app: clearly less memory; going back starts it again."""
    app.deploy("w1", import_seconds=QUICK)
    app.deploy("w2", import_seconds=QUICK)
    warm = memory(app)
    declared = app.declare(idle_pool="cold")
    with visitors(app.host.ip, NAME, SHORT_CLIENTS) as crowd:
        app.deploy("w3", import_seconds=QUICK)
        assert wait_until(lambda: memory(app)["idle"] < 0.6 * warm["idle"], 10)
        cold = memory(app)
        began = time.monotonic()
        app.ctl("rollback")
        seconds = time.monotonic() - began
        print(f"{app.host.distribution}: MiB warm {warm}, cold {cold}; rollback of a cold pool {seconds:.1f} s")
        assert marks(app, 5) == ["w2"] * 5
    app.declare(**declared)
    assert crowd.failed() == []
    assert cold["live"] > 0.8 * warm["live"]


def memory(app: Deployed) -> dict[str, int]:
    """Return the resident memory of the live and of the idle pool, in MiB, both with all their processes."""
    pools = app.ctl("status")["pools"].values()
    assert wait_until(lambda: all(len(pool["pids"]) == 2 for pool in app.ctl("status")["pools"].values()), 10)
    return {str(pool["state"]): int(pool["resident_mib"]) for pool in pools}


@everywhere
def test_rolling_is_chosen_while_apache_is_down(app: Deployed) -> None:
    """The release of the pool that will be gone serves from the other one as soon as Apache starts."""
    for mark in ("d1", "d2"):
        live = app.deploy(mark, import_seconds=QUICK)
        if app.ctl("status")["live"] == "green":
            break
    declared = app.declare(strategy="rolling")
    with without_apache(app):
        app.ctl("prepare", live.partition("-")[0])
    status = app.ctl("status")
    assert (status["live"], status["release"]) == ("blue", live)
    assert marks(app, 5) == [mark] * 5
    app.declare(**declared)


@pytest.fixture(scope="module")
def rolled(apps: dict[str, Deployed], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Go from two pools to one and back, while green is live and visitors ask; deploy in between."""
    for app in apps.values():
        for mark in ("s1", "s2", "s3"):
            if app.ctl("status")["live"] != "green":
                app.deploy(mark, import_seconds=QUICK)
        assert app.ctl("status")["live"] == "green"
    hosts = [app.host for app in apps.values()]
    source = make_source(tmp_path_factory.mktemp("rolling") / "source", "s4", import_seconds=QUICK)
    declared = {**DECLARED, "flask_apache_source": str(source)}
    found = {}
    with ExitStack() as stack:
        crowds = [stack.enter_context(visitors(host.ip, NAME, SHORT_CLIENTS)) for host in hosts]
        times = [("before", time.monotonic())]
        apply_role(hosts, {**declared, "flask_apache_strategy": "rolling"})
        times.append(("to rolling", time.monotonic()))
        pools = each(list(apps.values()), lambda app: app.ctl("status")["pools"])
        apaches = [(apache_process(host), reloads(host)) for host in hosts]
        began = time.monotonic()
        each(list(apps.values()), roll_some)
        times.append(("rolling", time.monotonic()))
        same = apaches == [(apache_process(host), reloads(host)) for host in hosts]
        rolled_marks = each(list(apps.values()), lambda app: marks(app, 1)[0])
        apply_role(hosts, {**declared, "flask_apache_strategy": "blue_green"})
        times.append(("back", time.monotonic()))
        time.sleep(1)
    for number, (name, app) in enumerate(apps.items()):
        found[name] = {
            "times": times,
            "began": began,
            "pools": pools[number],
            "same": same,
            "mark": rolled_marks[number],
            "answers": crowds[number].answers,
            "after": app.ctl("status"),
        }
    return found


def roll_some(app: Deployed) -> None:
    """Deploy and roll back in the one pool."""
    app.deploy("s5", import_seconds=QUICK)
    app.deploy("s6", import_seconds=QUICK)
    app.ctl("rollback")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_rolling(rolled: dict[str, dict[str, Any]], distribution: str) -> None:
    """One pool, half the processes; its processes are replaced one by one, without Apache, and nobody gets an error."""
    found = rolled[distribution]
    assert {slot: len(pool["pids"]) for slot, pool in found["pools"].items()} == {"blue": 2}
    assert found["same"]
    assert found["mark"] == "s5"
    during = between(found, "to rolling", "rolling")
    print(f"{distribution}: rolling p99 {percentile(during, 0.99):.3f} s, longest {percentile(during, 1):.3f} s")
    assert {answer.body["marks"][0] for answer in during if answer.status == 200} == {"s4", "s5", "s6"}
    assert [answer for answer in during if answer.status != 200] == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_strategy_can_change(rolled: dict[str, dict[str, Any]], distribution: str) -> None:
    """While it changes from two pools to one and back the app goes on, but for moments at Apache's two reloads."""
    found = rolled[distribution]
    failed = [answer for answer in found["answers"] if answer.status != 200]
    print(f"{distribution}: {len(failed)} of {len(found['answers'])} failed", [tuple(answer)[1:5] for answer in failed])
    for name in ("before", "rolling"):
        after = {"before": "to rolling", "rolling": "back"}[name]
        wrong = [answer.began for answer in between(found, name, after) if answer.status != 200]
        assert not wrong or max(wrong) - min(wrong) < 3
        assert len(wrong) < 0.02 * len(between(found, name, after))
    assert len(found["after"]["pools"]) == 2
    assert found["after"]["release"] is not None


def between(found: dict[str, Any], first: str, last: str) -> list[Answer]:
    """Return the answers to what was asked between two moments."""
    times = dict(found["times"])
    return [answer for answer in found["answers"] if times[first] <= answer.began < times[last]]
