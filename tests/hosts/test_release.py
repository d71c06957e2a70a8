"""Releases under load: no visitor notices a deploy, a rollback, or a release that is broken."""

from __future__ import annotations

import functools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.load import Answer, Client, percentile, visitors
from tests.support.parallel import each, everywhere
from tests.support.playbooks import apply_role, play
from tests.support.releases import Deployed, EngineError, apache_process, make_source, reloads, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.hosts import Host

pytestmark = pytest.mark.alone
DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
NAME = "marked.example.com"
DECLARED = {
    "flask_apache_app": "marked",
    "flask_apache_wsgi": "marked:app",
    "flask_apache_server_name": NAME,
    "flask_apache_health_path": "/healthz",
    "flask_apache_keep_releases": 5,
}
DEFAULT_DEPENDENCY, OTHER_DEPENDENCY, UNUSED_DEPENDENCY = "8.5.1", "8.1.8", "8.1.7"  # versions of click

# About 170 requests a second: 20,000 in two minutes, half a core for clients and host together.
CROWD = (
    Client("kept", 12, 0.1, keep_alive=True),
    Client("single", 10, 0.2),
    Client("long", 2, 10.5, "/slow?seconds=10", keep_alive=True),
    Client("upload", 1, 8.5, "/upload", upload_seconds=8),
)
SHORT = ("kept", "single")
STEADY_SECONDS = 2.0  # after each deploy or rollback
LEAST_REQUESTS = 20_000
ONE_HOST_AT_A_TIME = threading.Lock()  # two hosts that start a release would take each other's processors


@pytest.fixture(scope="module")
def apps(start_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Deployed]:
    """Return the app, deployed by the role, on a host of each distribution."""
    hosts = [start_host(distribution) for distribution in DISTRIBUTIONS]
    source = make_source(tmp_path_factory.mktemp("first") / "source", "m00")
    apply_role(hosts, {**DECLARED, "flask_apache_source": str(source)})
    return {host.distribution: Deployed(host, "marked") for host in hosts}


# --- Deploys under load ----------------------------------------------------------------------------------------------


class Makings(NamedTuple):
    """What a release's answers must show."""

    mark: str
    setting: str
    dependency: str


class Step(NamedTuple):
    """A deploy or a rollback: when it ran, and what was live afterwards."""

    what: str
    began: float
    ended: float
    release: str


@dataclass
class Campaign:
    """Deploys and rollbacks on one host, and what visitors got meanwhile."""

    app: Deployed
    steps: list[Step] = field(default_factory=list)
    work: list[tuple[float, float]] = field(default_factory=list)
    makings: dict[str, Makings] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    apache: list[tuple[tuple[int, str], int]] = field(default_factory=list)

    def begin(self) -> None:
        """Note what there is before the first deploy."""
        first = self.app.live()
        self.makings[first] = Makings("m00", "", DEFAULT_DEPENDENCY)
        self.steps.append(Step("first", 0, time.monotonic(), first))
        self.look_at_apache()

    def deploy_with_the_engine(self) -> None:
        """Change the live release again and again, a dependency too."""
        for number in (1, 3, 5, 7):
            self.deploy(f"m{number:02}")
            self.deploy(f"m{number + 1:02}")
            self.rollback()
            self.rollback()
        self.deploy("m09", dependency=OTHER_DEPENDENCY)
        self.rollback()

    def go_far_back(self) -> None:
        """Go back to a release that is in neither pool any more, and to the one before."""
        self.rollback(next(release for release, makings in self.makings.items() if makings.mark == "m07"))
        self.rollback()

    def look_at_apache(self) -> None:
        """Note which process Apache is, and how often it has reloaded."""
        self.apache.append((apache_process(self.app.host), reloads(self.app.host)))

    def deploy(self, mark: str, dependency: str = "") -> None:
        """Deploy a release with the engine."""
        with self.step(f"deploy {mark}"):
            with self.working():
                release = self.app.prepare(mark, dependency=dependency)
            self.makings[release] = Makings(mark, "", dependency or DEFAULT_DEPENDENCY)
            with ONE_HOST_AT_A_TIME, self.working():
                self.app.ctl("activate", release)

    def rollback(self, *release: str) -> None:
        """Go back."""
        with self.step("rollback"), ONE_HOST_AT_A_TIME, self.working():
            self.app.ctl("rollback", *release)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Note what is done, and let visitors ask for a while after it."""
        began = time.monotonic()
        yield
        self.steps.append(Step(what, began, time.monotonic(), self.app.live()))
        time.sleep(STEADY_SECONDS)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Note when the engine works."""
        began = time.monotonic()
        yield
        self.work.append((began, time.monotonic()))

    def live_between(self, began: float, ended: float) -> set[str]:
        """Return the releases that may have served a request that was asked and answered at these times."""
        found = set()
        for before, after in zip(self.steps, [*self.steps[1:], None], strict=True):
            if before.began <= ended and (after is None or began <= after.ended):
                found.add(before.release)
        return found

    def short(self, *, steady: bool) -> list[Answer]:
        """Return the answers of short requests that were asked while the engine did not work, or while it did."""

        def is_steady(answer: Answer) -> bool:
            return not any(began <= answer.ended and answer.began <= ended for began, ended in self.work)

        role = next(step for step in self.steps if step.what == "role")
        short = [each for each in self.answers if each.kind in SHORT and not role.began <= each.began <= role.ended]
        return [answer for answer in short if is_steady(answer) == steady]


@pytest.fixture(scope="module")
def campaigns(apps: dict[str, Deployed], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Campaign]:
    """Deploy on all hosts at once while visitors ask: with the engine, and once with the role, another variable too."""
    planned = [Campaign(app) for app in apps.values()]
    each(planned, Campaign.begin)
    with ExitStack() as stack:
        crowds = [stack.enter_context(visitors(campaign.app.host.ip, NAME, CROWD)) for campaign in planned]
        time.sleep(5 * STEADY_SECONDS)
        each(planned, Campaign.deploy_with_the_engine)
        source = make_source(tmp_path_factory.mktemp("role") / "source", "m10")
        changed = {"flask_apache_source": str(source), "flask_apache_environment": {"SETTING": "dusk"}}
        began = time.monotonic()
        apply_role([campaign.app.host for campaign in planned], {**DECLARED, **changed})
        for campaign in planned:
            release = campaign.app.live()
            campaign.steps.append(Step("role", began, time.monotonic(), release))
            campaign.makings[release] = Makings("m10", "dusk", DEFAULT_DEPENDENCY)
        each(planned, Campaign.go_far_back)
    for campaign, crowd in zip(planned, crowds, strict=True):
        campaign.answers = crowd.answers
        campaign.look_at_apache()
    return dict(zip(apps, planned, strict=True))


@pytest.fixture(params=DISTRIBUTIONS)
def campaign(request: pytest.FixtureRequest, campaigns: dict[str, Campaign]) -> Campaign:
    """Return what happened on one of the hosts."""
    return campaigns[request.param]


def test_no_request_fails(campaign: Campaign) -> None:
    """Each of 20,000 requests over 10 deploys and 11 rollbacks is answered, long ones and uploads too."""
    asked = [answer.kind for answer in campaign.answers]
    assert len(campaign.steps) - 1 == 21
    assert len(asked) >= LEAST_REQUESTS
    assert {kind: kind in asked for kind in ("kept", "single", "long", "upload")} == dict.fromkeys(
        ("kept", "single", "long", "upload"), True
    )
    failed = [answer for answer in campaign.answers if answer.status != 200]
    assert failed == []


def test_long_requests_end_in_their_release(campaign: Campaign) -> None:
    """10-second requests and slow uploads run across every switch, and end in the release that they began in."""
    long = [answer for answer in campaign.answers if answer.kind not in SHORT]
    for step in campaign.steps[1:]:
        assert any(answer.began < step.ended < answer.ended for answer in long), step
    for answer in long:
        assert answer.body["release"] in campaign.live_between(answer.began, answer.began + 0.5), answer
    outlived = [each.kind for each in long if each.body["release"] not in campaign.live_between(each.ended, each.ended)]
    assert min(outlived.count("long"), outlived.count("upload")) >= 3


def test_every_answer_is_of_one_release(campaign: Campaign) -> None:
    """Modules, environment and dependency of an answer are of one release, which was live then."""
    for answer in campaign.answers:
        body = answer.body
        makings = campaign.makings[body["release"]]
        assert set(body["marks"]) == {makings.mark}, answer
        assert (body["setting"], body["dependency"]) == (makings.setting, makings.dependency), answer
        assert body["release"] in campaign.live_between(answer.began, answer.ended), answer
    assert {answer.body["release"] for answer in campaign.answers} == set(campaign.makings)


def test_apache_is_left_alone(campaign: Campaign) -> None:
    """Apache is the same process, and has not reloaded."""
    before, after = campaign.apache
    assert after == before


def test_deploys_slow_nobody_down(campaign: Campaign, record_property: Callable[[str, object], None]) -> None:
    """The slowest hundredth of the answers is about as fast during deploys as between them.

    The deploy with the role is left out, for here Ansible's controller takes the hosts' own processors.
    """
    steady, busy = (percentile(campaign.short(steady=steady), 0.99) for steady in (True, False))
    figures = {
        "requests": len(campaign.answers),
        "steps": len(campaign.steps) - 1,
        "steady": len(campaign.short(steady=True)),
        "p50": (
            percentile(campaign.short(steady=True), 0.5),
            percentile(campaign.short(steady=False), 0.5),
        ),
        "p99": (steady, busy),
        "max": tuple(percentile(campaign.short(steady=steady), 1) for steady in (True, False)),
    }
    record_property("figures", json.dumps(figures))
    print(campaign.app.host.distribution, json.dumps(figures))
    assert busy <= 2 * steady
    medians = [percentile(campaign.short(steady=steady), 0.5) for steady in (True, False)]
    assert medians[1] <= 2 * medians[0]


LIST_BUILDS = """
import glob, os, pwd, time
user, seen, end = pwd.getpwnam("flask-apache-build").pw_uid, set(), time.monotonic() + 60
while time.monotonic() < end and not os.path.exists("/run/enough"):
    for path in glob.glob("/proc/[0-9]*"):
        try:
            if os.stat(path).st_uid == user:
                seen.add(open(path + "/autogroup").read().split()[-1])
        except OSError:
            pass
    time.sleep(0.02)
print(*seen)
"""


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel does not weigh sessions")
@everywhere
def test_visitors_go_before_builds(app: Deployed) -> None:
    """A build has a low priority, also where Linux gives each session the same share of the processors."""
    app.host.run(["rm", "-f", "/run/enough"])
    with ThreadPoolExecutor() as executor:
        watcher = executor.submit(app.host.run, ["python3", "-"], stdin=LIST_BUILDS)
        app.prepare("of low priority", dependency=UNUSED_DEPENDENCY, import_seconds=0)
        app.host.run(["touch", "/run/enough"])
    assert "10" in watcher.result().stdout.split()


# --- The gate --------------------------------------------------------------------------------------------------------

IMPATIENT = {"health_timeout": 8, "health_request_timeout": 2, "health_body": '"ok"'}
FAULTS = {
    "raise": ("RuntimeError: the colour of the bikeshed is wrong", "misbehave.py", "while_importing()"),
    "lack a module": ("ModuleNotFoundError: No module named 'no_such_module'", "misbehave.py"),
    "hang": ("not done after 8 s",),
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
    """What came of deploying a broken release."""

    said: str
    live: tuple[str, str]
    routes: tuple[str, str]
    leftovers: list[str]
    answers: list[Answer]


def remains(app: Deployed, live: str) -> list[str]:
    """Return the processes that run in another release than the live one, and half-made releases."""
    processes = app.host.run(["python3", "-"], stdin=LIST_PROCESSES).stdout.splitlines()
    running = [line for line in processes if "/releases/" in line and f"/releases/{live}/" not in line]
    return running + app.host.run("ls -A /srv/flask-apache/marked/releases | grep '^[.]'", check=False).stdout.split()


def attempt(app: Deployed, fault: str) -> Attempt:
    """Deploy a broken release while visitors ask."""
    live, routes = app.live(), app.host.read("/etc/flask-apache/marked/live.map")
    said = "nothing: it went live"
    with visitors(app.host.ip, NAME, [Client("kept", 3, 0.05, keep_alive=True), Client("single", 2, 0.1)]) as crowd:
        try:
            app.deploy(f"bad {fault}", fault=fault, import_seconds=0.2)
        except EngineError as error:
            said = str(error)
        time.sleep(1.5)  # longer than the one that dies lives
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
    """The message says what is wrong with it and what serves; visitors only ever get the old release."""
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
    """A refused release leaves nothing behind that a good one stumbles over."""
    assert len(attempts) == len(DISTRIBUTIONS)
    releases = each(list(apps.values()), functools.partial(Deployed.deploy, mark="good again", import_seconds=0.2))
    assert [app.host.http("/", NAME).json()["release"] for app in apps.values()] == releases


# --- Rollback --------------------------------------------------------------------------------------------------------


def test_rollback_is_quick_and_whole(apps: dict[str, Deployed]) -> None:
    """Within a second visitors get the old release again: code, virtual environment and environment."""
    for app in apps.values():  # in turn, for it is timed
        roll_back(app)


def roll_back(app: Deployed) -> None:
    """Deploy an old and a new release, and go back."""
    app.environment({"SETTING": "old"})
    old = app.deploy("old", import_seconds=0.2)
    app.environment({"SETTING": "new"})
    new = app.deploy("new", dependency=OTHER_DEPENDENCY, import_seconds=0.2)
    assert makings(app) == (new, {"new"}, "new", OTHER_DEPENDENCY)

    with ThreadPoolExecutor() as executor:
        began = time.monotonic()
        answer = executor.submit(app.ctl, "rollback")
        while app.host.http("/", NAME).json()["release"] != old:
            assert time.monotonic() - began < 10
        seconds = time.monotonic() - began
    assert answer.result()["release"] == old
    assert makings(app) == (old, {"old"}, "old", DEFAULT_DEPENDENCY)
    print(
        f"{app.host.distribution}: rollback seen after {seconds:.2f} s, the engine took {answer.result()['seconds']} s"
    )
    assert seconds < 1


def makings(app: Deployed) -> tuple[str, set[str], str, str]:
    """Return what a visitor's answer is made of."""
    body = app.host.http("/", NAME).json()
    return body["release"], set(body["marks"]), body["setting"], body["dependency"]


@everywhere
def test_rollback_to_a_named_release(app: Deployed) -> None:
    """A release that is in neither pool any more is started again; one that never served is refused."""
    first, *_, last = [app.deploy(mark, import_seconds=0.2) for mark in ("n1", "n2", "n3")]
    never = app.prepare("n4", import_seconds=0.2)
    with pytest.raises(EngineError, match=f"{never} was never live"):
        app.ctl("rollback", never)
    assert makings(app)[0] == last
    app.ctl("rollback", first)
    assert makings(app)[:2] == (first, {"n1"})
    with pytest.raises(EngineError, match="no-such-release was never live"):
        app.ctl("rollback", "no-such-release")
    assert makings(app)[0] == first


def test_rollback_by_the_playbook(apps: dict[str, Deployed]) -> None:
    """`playbooks/rollback.yml` goes back on all hosts, to the previous release or to a named one."""
    hosts = [app.host for app in apps.values()]
    for mark in ("p1", "p2"):
        each(list(apps.values()), functools.partial(Deployed.deploy, mark=mark, import_seconds=0.2))
    done = play(hosts, "playbooks/rollback.yml", DECLARED)
    assert done.changed == len(hosts)
    for app in apps.values():
        assert makings(app)[1] == {"p1"}
    host = apps[DISTRIBUTIONS[0]]
    named = next(row["release"] for row in host.ctl("releases")["releases"] if row["state"] == "previous")
    play(host.host, "playbooks/rollback.yml", {**DECLARED, "flask_apache_rollback_to": named})
    assert makings(host)[1] == {"p2"}


# --- Who gets to the idle pool ---------------------------------------------------------------------------------------


@everywhere
def test_visitors_cannot_reach_the_idle_pool(app: Deployed) -> None:
    """No header, cookie or address of a visitor leads to another release than the live one."""
    idle = app.deploy("idle", import_seconds=0.2)
    live = app.deploy("live", import_seconds=0.2)
    slot = "green" if app.ctl("status")["live"] == "blue" else "blue"
    token = "0123456789abcdef" * 2
    probe = {"X-Flask-Apache-Probe": token}
    inside = (
        "import sys, urllib.request as u; r = u.Request('http://127.0.0.1/', headers={'Host': sys.argv[1], "
        "'X-Flask-Apache-Probe': sys.argv[2]}); print(u.urlopen(r).read().decode())"
    )
    with routes_with(app, f"probe-{token} {slot}"):
        from_inside = json.loads(app.host.run(["python3", "-c", inside, NAME, token]).stdout)
        assert from_inside["release"] == idle  # the token is a real one
        forged = {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
        for headers in (probe, {**probe, **forged}):
            answer = app.host.http("/", NAME, headers=headers)
            assert answer.json()["release"] == live
            assert "X-Flask-Apache-Release" not in answer.headers
    guesses = ["", "1", "on", slot, idle, "0" * 32, "f" * 32, token, f"{token}\t", "%1", "live", "base", "probe-"]
    tries: list[dict[str, str]] = [{"X-Flask-Apache-Probe": guess} for guess in guesses]
    tries += [{"X-Flask-Apache-Canary": guess} for guess in ("1", "100", slot, idle)]
    tries += [{"Cookie": f"flask_apache_marked={guess}"} for guess in (idle, slot, idle.partition("-")[0], "canary")]
    tries += [{"Cookie": f"flask_apache_marked_bypass={token}"}, {"FLASK_APACHE_POOL_MARKED": f"marked-{slot}"}]
    for headers in tries:
        answer = app.host.http("/", NAME, headers=headers)
        assert answer.json()["release"] == live, headers
        assert "Set-Cookie" not in answer.headers, headers
    for query in (f"flask_apache_bypass={token}", "flask_apache_marked=canary"):
        assert app.host.http(f"/?{query}", NAME).json()["release"] == live


@contextmanager
def routes_with(app: Deployed, line: str) -> Iterator[None]:
    """Add a line to the map, as the engine would."""
    path = "/etc/flask-apache/marked/live.map"
    before = app.host.read(path)
    app.host.run(["tee", "-a", path], stdin=f"{line}\n")
    yield
    app.host.run(["tee", path], stdin=before)


# --- After the switch ------------------------------------------------------------------------------------------------


@everywhere
def test_soak_goes_back_by_itself(app: Deployed) -> None:
    """A release that is well for the health check and fails visitors is switched back after a few of them."""
    before = app.deploy("sound", import_seconds=0.2)
    declared = app.declare(soak=15, soak_errors=10)
    with visitors(app.host.ip, NAME, [Client("single", 4, 0.1)]) as crowd:
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
    assert ended - began < 15
    assert makings(app)[0] == before
    assert app.ctl("history")["history"][-1]["action"] == "refused"


@everywhere
def test_verification_by_the_public_address(app: Deployed) -> None:
    """A release that does not answer visitors as it answered the engine's probes is switched back."""
    before = app.deploy("honest", import_seconds=0.2)
    sign = f"/var/lib/flask-apache/{app.app}/switched"
    declared = app.declare(hooks=[{"at": "before_switch", "run": ["touch", sign]}])
    with pytest.raises(EngineError, match="is live, but /healthz answered 500") as failure:
        app.deploy("two-faced", fault="well until the switch", import_seconds=0.2)
    app.declare(**declared)
    app.host.run(["rm", sign])
    assert f"Still serving {before}." in str(failure.value)
    assert makings(app)[0] == before
    assert app.host.http("/healthz", NAME).status == 200
