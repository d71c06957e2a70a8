"""What apps share belongs to the host: removals, first deploys, runs and server names that meet."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl.declaration import FORMAT
from tests.support import small_app
from tests.support.parallel import each
from tests.support.steps import DEPLOY, Run, StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host

APPS = ("one", "two", "three")
KEPT = ("/etc/flask-apache", "/etc/apache2", "/srv/flask-apache", "/var/lib/flask-apache", "/usr/local/bin")
DAMAGE = {
    "cut": "truncate --size=300 {}",
    "empty": "truncate --size=0 {}",
    "missing": "rm {}",
    "a list": "echo '[]' >{}",
    "newer": f"""sed -i 's/"format": [0-9]*/"format": {FORMAT + 1}/' {{}}""",
}


@pytest.fixture(scope="module")
def host(start_host: Callable[[str], Host]) -> Host:
    """Return a host without apps."""
    return start_host("debian-13-hot")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a source for each app, and two for two runs of one."""
    top = tmp_path_factory.mktemp("sources")
    return {name: small_app.write(top / name, name) for name in (*APPS, "this", "that")}


@pytest.fixture(scope="module")
def run(host: Host, sources: dict[str, Path]) -> Callable[..., Run]:
    """Return a function that makes a run of the role for an app of its own server name."""

    def make(app: str, source: str = "", **variables: Any) -> Run:  # noqa: ANN401 - any variable
        own = {"app": app, "wsgi": "app:app", "server_name": f"{app}.example.com", "requirements": []}
        return Run(host, {**own, "source": str(sources[source or app]), **variables})

    return make


@pytest.fixture(scope="module")
def deployed(run: Callable[..., Run]) -> list[Run]:
    """Deploy three apps at once, for the first time, to a host that had none."""
    runs = [run(app) for app in APPS]
    each(runs, lambda one: one.deploy())
    return runs


def serving(host: Host, app: str) -> str:
    """Return the mark of the app that a visitor of an app's own server name gets; nothing when it is no app."""
    return marked(host, f"{app}.example.com")


def marked(host: Host, name: str, path: str = "/") -> str:
    """Return the mark of the app that answers at an address, or nothing."""
    try:
        return str(host.http(path, name).json()["mark"])
    except ValueError:
        return ""


def wrong(host: Host, app: str) -> list[str]:
    """Return what doctor finds wrong with an app."""
    done = host.run(["flask-apachectl", "--json", "--app", app, "doctor"], check=False)
    return [f"{row['check']}: {row['advice']}" for row in json.loads(done.stdout)["checks"] if not row["ok"]]


def expect_at_rest(host: Host, runs: list[Run]) -> None:
    """Expect that doctor is content with each app, and that another run of it changes nothing."""
    for one in runs:
        assert wrong(host, one.app) == []
        again = Run(host, one.variables)
        again.deploy()
        assert not again.changed, again.results


def test_three_first_deploys_at_once(host: Host, deployed: list[Run]) -> None:
    """All three serve."""
    assert [serving(host, app) for app in APPS] == list(APPS)
    expect_at_rest(host, deployed)


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("damage", DAMAGE)
def test_removal_beside_damaged_declarations(host: Host, run: Callable[..., Run], damage: str) -> None:
    """An app is not removed while the declaration of another one cannot be read: that is named, nothing deleted."""
    path = "/etc/flask-apache/two/app.json"
    host.run(["cp", "-p", path, "/root/app.json"])
    host.run(DAMAGE[damage].format(path))
    before = contents(host)
    try:
        with pytest.raises(StepError) as refused:
            run("three").step("remove")
        assert path in str(refused.value)
        assert "newer" in str(refused.value) or damage != "newer"
        assert contents(host) == before
        with pytest.raises(StepError, match=path):  # a deploy beside it is refused, too: it shares Apache
            run("three", request_body_limit=999).deploy()
        assert [serving(host, app) for app in APPS] == list(APPS)
    finally:
        host.run(["cp", "-p", "/root/app.json", path])


def contents(host: Host) -> dict[str, tuple[str, str]]:
    """Return all files that apps have or share; a lock's content and times come and go."""
    found = host.snapshot(KEPT)
    return {path: (state.mode, state.content) for path, state in found.items() if not path.endswith("/lock")}


@pytest.mark.usefixtures("deployed")
def test_an_older_engine_leaves_a_newer_app_alone(host: Host) -> None:
    """An engine refuses every command for an app that a newer one has declared."""
    path = "/etc/flask-apache/two/app.json"
    host.run(["cp", "-p", path, "/root/app.json"])
    host.run(DAMAGE["newer"].format(path))
    try:
        done = host.run(["flask-apachectl", "--app", "two", "rollback"], check=False)
    finally:
        host.run(["cp", "-p", "/root/app.json", path])
    assert done.returncode == 1
    assert f"{path} was written by a newer flask_apache: its format is {FORMAT + 1}" in done.stderr


def test_one_server_name(host: Host, run: Callable[..., Run], deployed: list[Run]) -> None:
    """Two apps join one server name at once, and leave it at once: both serve, and no empty virtual host stays."""
    mounts = {"one": "/", "two": "/two"}
    shared = [run(app, server_name="shared.example.com", mount=mount) for app, mount in mounts.items()]
    each(shared, lambda one: one.deploy())
    for app, mount in mounts.items():
        assert marked(host, "shared.example.com", mount) == app
        assert serving(host, app) not in mounts
    expect_at_rest(host, [*shared, deployed[2]])

    each([run(app) for app in APPS[:2]], lambda one: one.deploy())
    assert [serving(host, app) for app in APPS] == list(APPS)
    left = host.run("find /etc/apache2 /etc/flask-apache -name '*shared.example.com*'").stdout
    assert left == ""
    expect_at_rest(host, deployed)


def test_removal_below_another_app(host: Host, run: Callable[..., Run], deployed: list[Run]) -> None:
    """An app is removed below one that answers for its addresses from then on, in the same virtual host."""
    run("two", server_name="one.example.com", mount="/below").deploy()
    assert marked(host, "one.example.com", "/below/") == "two"
    run("two").step("remove")
    assert host.http("/below/", "one.example.com").status == 404
    expect_at_rest(host, [deployed[0]])
    run("two").deploy()
    expect_at_rest(host, deployed)


def test_the_default_server_changes(host: Host, run: Callable[..., Run], deployed: list[Run]) -> None:
    """What an app changes of what all share is no damage to the others."""
    run("two", default_server=True).deploy()
    assert marked(host, "unknown.example.com") == "two"
    expect_at_rest(host, [deployed[0], deployed[2]])
    run("two").deploy()
    assert marked(host, "unknown.example.com") == ""
    expect_at_rest(host, deployed)


# --- Two runs of one app ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(run: Callable[..., Run]) -> Callable[[], list[Run]]:
    """Return a function that makes two runs of one app, of which everything differs."""

    def make() -> list[Run]:
        return [
            run(
                "one",
                mark,
                environment={"RUN": mark},
                directives=[f"Header always set X-Run {mark}"],
                keep_releases=9,
            )
            for mark in ("this", "that")
        ]

    return make


def attempt(one: Run, names: tuple[str, ...] = DEPLOY) -> bool:
    """Take steps of a run. Returns whether they succeeded; else one was refused as another run came between."""
    try:
        for name in names:
            one.step(name)
    except StepError as refused:
        if not re.search("another run has changed the declaration|is being changed by", str(refused)):
            raise
        return False
    return True


def expect_one_of(host: Host, runs: list[Run], succeeded: list[bool]) -> None:
    """Expect that source, environment and configuration are those of one run, and of one that succeeded."""
    answer = host.http("/", "one.example.com")
    body = answer.json()
    assert body["mark"] == body["run"] == answer.headers["X-Run"]
    winners = [one.variables["environment"]["RUN"] for one, good in zip(runs, succeeded, strict=True) if good]
    assert body["mark"] in winners


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("after", range(1, len(DEPLOY)))
def test_a_run_within_another(host: Host, pair: Callable[[], list[Run]], after: int) -> None:
    """A whole run between two steps of another one: the result is one of them."""
    this, that = pair()
    begun = attempt(this, DEPLOY[:after])
    within = attempt(that)
    ended = begun and attempt(this, DEPLOY[after:])
    assert within
    expect_one_of(host, [this, that], [ended, within])


@pytest.mark.usefixtures("deployed")
def test_runs_in_step(host: Host, pair: Callable[[], list[Run]]) -> None:
    """Two runs take each step by turns: the result is one of them."""
    runs, going = pair(), [True, True]
    for name in DEPLOY:
        for number in (0, 1):
            going[number] = going[number] and attempt(runs[number], (name,))
    expect_one_of(host, runs, going)


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("seconds", [0, 0.4, 0.9, 1.5, 2.2])
def test_two_runs_at_once(host: Host, pair: Callable[[], list[Run]], seconds: float) -> None:
    """Two runs, the second one somewhat later: one of them, or both one after the other."""
    runs = pair()

    def go(number: int) -> bool:
        time.sleep(number * seconds)
        return attempt(runs[number])

    expect_one_of(host, runs, each([0, 1], go))


# --- The last app goes while another one comes -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(host: Host, run: Callable[..., Run], deployed: list[Run]) -> Host:
    """Remove all apps but one."""
    for one in deployed[1:]:
        one.step("remove")
    run("one").deploy()
    return host


@pytest.mark.parametrize("call", ["reserve", "prepare", "apply", "activate"])
def test_removal_of_the_last_app_before_a_call(alone: Host, run: Callable[..., Run], call: str) -> None:
    """The only app is removed before a call of another one's first deploy, which succeeds."""
    leaving, coming = ("one", "two") if serving(alone, "one") == "one" else ("two", "one")
    new = run(coming)

    def remove(command: list[str]) -> None:
        if call in command:
            new.before_call = lambda _: None
            run(leaving).step("remove")

    new.before_call = remove
    new.deploy()
    assert serving(alone, coming) == coming
    assert serving(alone, leaving) != leaving
    assert not alone.exists(f"/srv/flask-apache/{leaving}")
    expect_at_rest(alone, [new])


@pytest.mark.parametrize("seconds", [0.1, 0.6, 1.2, 2.0])
def test_removal_of_the_last_app_at_once(alone: Host, run: Callable[..., Run], seconds: float) -> None:
    """The only app is removed at some moment of another one's first deploy, which succeeds."""
    leaving, coming = ("one", "two") if serving(alone, "one") == "one" else ("two", "one")
    new = run(coming)
    with contextlib.ExitStack() as stack:
        removal = threading.Timer(seconds, lambda: run(leaving).step("remove"))
        removal.start()
        stack.callback(removal.join)
        new.deploy()
    assert serving(alone, coming) == coming
    assert not alone.exists(f"/srv/flask-apache/{leaving}")
    expect_at_rest(alone, [new])
