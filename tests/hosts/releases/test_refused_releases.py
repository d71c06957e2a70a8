"""A broken release is refused before the switch, or switched back after it."""

from __future__ import annotations

import functools
import time
from typing import NamedTuple

import pytest

from tests.hosts.releases.shared import DISTRIBUTIONS, NAME, inputs
from tests.support.load import Answer, Client, visitors
from tests.support.parallel import each, everywhere
from tests.support.releases import Deployed, EngineError, wait_until

IMPATIENT = {"health_timeout": 8, "health_request_timeout": 2, "health_body": '"ok"'}
FAULTS = {
    "raise": ("RuntimeError: the colour of the bikeshed is wrong", "misbehave.py", "while_importing()"),
    "lack a module": ("ModuleNotFoundError: No module named 'no_such_module'", "misbehave.py"),
    "hang": ("did not finish within 8 s",),
    "raise in the pool": ("did not become healthy", "RuntimeError: the colour of the bikeshed is wrong"),
    "lack a module in the pool": ("did not become healthy", "ModuleNotFoundError: No module named 'no_such_module'"),
    "hang in the pool": ("did not become healthy: /healthz gave no answer (timed out)",),
    "unhealthy": ("/healthz answered 500; expected", "RuntimeError: the database is away"),
    "slow health": ("/healthz gave no answer (timed out)",),
    "wrong text": ("""answered without the expected text '"ok"'""",),
    "die": ("did not become healthy", "out of luck, exiting"),
}
LIST_PROCESSES = """
import glob, os
for directory in glob.glob("/proc/[0-9]*"):
    try:
        print(os.readlink(directory + "/cwd"), open(directory + "/cmdline").read().replace(chr(0), " "))
    except OSError:
        pass
"""


class Attempt(NamedTuple):
    """The result of deploying a broken release."""

    said: str
    live: tuple[str, str]
    routes: tuple[str, str]
    leftovers: list[str]
    answers: list[Answer]


def remains(app: Deployed, live: str) -> list[str]:
    """Return processes that run in a release that is not live, and incomplete releases."""
    processes = app.host.run(["python3", "-"], stdin=LIST_PROCESSES).stdout.splitlines()
    running = [line for line in processes if "/releases/" in line and f"/releases/{live}/" not in line]
    return running + app.host.run("ls -A /srv/flask-apache/marked/releases | grep '^[.]'", check=False).stdout.split()


def attempt(app: Deployed, fault: str) -> Attempt:
    """Deploy a broken release while visitors send requests."""
    live, routes = app.live(), app.host.read("/etc/flask-apache/marked/live.map")
    said = "nothing: it went live"
    with visitors(app.host.ip, NAME, [Client("kept", 3, 0.05, keep_alive=True), Client("single", 2, 0.1)]) as crowd:
        try:
            app.deploy(f"bad {fault}", fault=fault, import_seconds=0.2)
        except EngineError as error:
            said = str(error)
        time.sleep(1.5)  # longer than the release that dies runs
    wait_until(lambda: not remains(app, live), 3)
    routes_after = app.host.read("/etc/flask-apache/marked/live.map")
    return Attempt(said, (live, app.live()), (routes, routes_after), remains(app, live), crowd.answers)


@pytest.fixture(scope="module")
def attempts(apps: dict[str, Deployed]) -> dict[str, dict[str, Attempt]]:
    """Deploy every broken release, on all hosts at once, and then a good one."""

    def try_all(app: Deployed) -> dict[str, Attempt]:
        declared = app.declare(**IMPATIENT)
        app.deploy("before", import_seconds=0.2)
        app.host.run("flask-apachectl --app marked prune --keep 1")
        found = {fault: attempt(app, fault) for fault in FAULTS}
        app.declare(**declared)
        return found

    return dict(zip(apps, each(list(apps.values()), try_all), strict=True))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_release_is_refused(attempts: dict[str, dict[str, Attempt]], distribution: str, fault: str) -> None:
    """The message says what is wrong and which release serves; visitors only get the old release."""
    found = attempts[distribution][fault]
    for text in (*FAULTS[fault], f"Still serving {found.live[0]}."):
        assert text in found.said
    assert found.live[1] == found.live[0]
    assert found.routes[1] == found.routes[0]
    assert {answer.status for answer in found.answers} == {200}
    assert {answer.body["release"] for answer in found.answers} == {found.live[0]}
    assert len(found.answers) > 50
    assert found.leftovers == []


def test_the_next_good_release_goes_live(attempts: dict[str, dict[str, Attempt]], apps: dict[str, Deployed]) -> None:
    """A refused release leaves nothing behind that prevents a good one."""
    assert len(attempts) == len(DISTRIBUTIONS)
    releases = each(list(apps.values()), functools.partial(Deployed.deploy, mark="good again", import_seconds=0.2))
    assert [app.host.http("/", NAME).json()["release"] for app in apps.values()] == releases


@everywhere
def test_soak_goes_back_by_itself(app: Deployed) -> None:
    """A release that passes the health check but fails visitors is switched back after a few of their requests."""
    before = app.deploy("sound", import_seconds=0.2)
    declared = app.declare(soak=60, soak_errors=10)
    with visitors(app.host.ip, NAME, [Client("single", 4, 0.4)]) as crowd:
        time.sleep(1)
        began = time.monotonic()
        with pytest.raises(EngineError, match=r"answered \d+ requests of visitors with 5xx") as failure:
            app.deploy("hollow", fault="fail visitors", import_seconds=0.2)
        ended = time.monotonic()
        time.sleep(1)
    app.declare(**declared)
    assert f"Still serving {before}." in str(failure.value)
    wrong = [answer for answer in crowd.answers if answer.status != 200]
    assert 10 < len(wrong) < 80
    assert {answer.status for answer in wrong} == {500}
    assert max(answer.began for answer in wrong) < ended
    assert ended - began < 40, "it waited for the end of the soak"
    assert inputs(app)[0] == before
    assert app.ctl("history")["history"][-1]["action"] == "deploy refused"


@everywhere
def test_verification_by_the_public_address(app: Deployed) -> None:
    """A release that answers the engine's probes but fails at the public URL is switched back."""
    before = app.deploy("honest", import_seconds=0.2)
    sign = f"/var/lib/flask-apache/{app.app}/switched"
    declared = app.declare(hooks=[{"at": "before_switch", "run": ["touch", sign], "once": False, "timeout": 300}])
    with pytest.raises(EngineError, match="is live, but /healthz answered 500") as failure:
        app.deploy("two-faced", fault="well until the switch", import_seconds=0.2)
    app.declare(**declared)
    app.host.run(["rm", sign])
    assert f"Still serving {before}." in str(failure.value)
    assert inputs(app)[0] == before
    assert app.host.http("/healthz", NAME).status == 200
