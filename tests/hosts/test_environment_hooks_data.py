"""An app's environment, secrets, hooks and data directories at run time."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.commands import ROOT
from tests.support.parallel import each
from tests.support.playbooks import apply_role
from tests.support.releases import Deployed, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host
    from tests.support.playbooks import Play

DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
APP = ROOT / "tests/hosts/apps/plain"
NAME = "plain.example.com"
DATA = "/var/lib/flask-apache/plain"
FIRST_SECRET, SECOND_SECRET = "first-3e1f0c5a7b", "second-9d2b6a4c8e"
ENVIRONMENT = {
    "API_TOKEN": FIRST_SECRET,
    "COLOUR": "red",
    "EMPTY": "",
    "LINES_OF_IT": "one\ntwo\r\n\n\tthree\n",
    "QUOTES": """'"`\\'\\\\ "a" 'b'""",
    "SIGNS": "$HOME ${HOME} $(id) %h %% %n {} ; & | < > * ? ~ ! # =a=b=",
    "SPACES": "  before and behind  ",
    "UNICODE": "Ünïcödé ☃ 漢字 \u2028 \u00a0",
    "NUMBER": 42,
}
EXPECTED = {name: str(value) for name, value in ENVIRONMENT.items()}
DECLARED: dict[str, Any] = {
    "flask_apache_app": "plain",
    "flask_apache_wsgi": "app:app",
    "flask_apache_server_name": NAME,
    "flask_apache_requirements": [],
    "flask_apache_health_path": "/healthz",
    "flask_apache_environment": ENVIRONMENT,
    "flask_apache_data_directories": ["uploads", {"name": "own/instance", "link": "instance"}],
    "flask_apache_hooks": [
        {"at": "before_start", "run": "python hook.py before_start", "once": True, "timeout": 30},
        {"at": "before_switch", "run": ["python", "hook.py", "before_switch"]},
        {"at": "after_switch", "run": "python 'hook.py' after_switch", "timeout": 5},
    ],
}
# Reads a text, and looks for it in the arguments of all processes until /tmp/watch is removed.
WATCH = """
import os, pathlib, sys
text, seen = sys.stdin.buffer.read(), set()
open("/tmp/watch", "w").close()
while os.path.exists("/tmp/watch"):
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes()
        except OSError:
            continue
        if text in arguments:
            seen.add(arguments)
print(len(seen))
"""


# Reads a text, and finds the files that contain it.
FIND = """
import json, os, stat, sys
text, found = sys.stdin.buffer.read(), {}
for directory, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(directory, name) not in ("/proc", "/sys")]
    for path in (os.path.join(directory, name) for name in files):
        try:
            state = os.lstat(path)
            if stat.S_ISREG(state.st_mode) and text in open(path, "rb").read():
                found[path] = bool(state.st_mode & stat.S_IROTH)
        except FileNotFoundError:
            pass
print(json.dumps(found))
"""


class Fleet(NamedTuple):
    """The app on a host of each distribution, and the play that put it there."""

    apps: list[Deployed]
    play: Play
    arguments_with_secrets: list[str]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the app's source; it contains a directory where the app expects its data."""
    directory: Path = tmp_path_factory.mktemp("plain") / "source"
    shutil.copytree(APP, directory, ignore=shutil.ignore_patterns("__pycache__"))
    (directory / "instance").mkdir()
    (directory / "instance/.gitkeep").write_text("")
    return directory


@pytest.fixture(scope="module")
def fleet(start_host: Callable[[str], Host], source: Path) -> Fleet:
    """Deploy the app with Ansible's most verbose output."""
    hosts = each(DISTRIBUTIONS, start_host)
    with ThreadPoolExecutor() as executor:
        watch = ["python3", "-c", WATCH]
        watched = [executor.submit(host.run, watch, stdin=FIRST_SECRET, timeout=900) for host in hosts]
        first = apply_role(hosts, {**DECLARED, "flask_apache_source": str(source)}, "-vvv", "--diff", check=False)
        for host in hosts:
            host.run("rm /tmp/watch")
    assert first.rc == 0, first.output[-6000:]
    return Fleet([Deployed(host, "plain") for host in hosts], first, [future.result().stdout for future in watched])


def page(app: Deployed, **headers: str) -> dict[str, Any]:
    """Return what a visitor gets."""
    found: dict[str, Any] = app.host.http("/", NAME, headers=headers).json()
    return found


def hooks_of(app: Deployed) -> list[str]:
    """Return the hooks that have run, in their order, as ``name release beside live as uid in directory``."""
    return app.host.run(f"cat {DATA}/hooks").stdout.splitlines()


def run_role(fleet: Fleet, source: Path, *arguments: str, check: bool = True, **changes: Any) -> Play:  # noqa: ANN401
    """Run the role on both hosts."""
    changed = {f"flask_apache_{name}": value for name, value in changes.items()}
    variables = {**DECLARED, "flask_apache_source": str(source), **changed}
    return apply_role([app.host for app in fleet.apps], variables, *arguments, check=check)


# --- The environment -------------------------------------------------------------------------------------------------


def test_every_process_of_the_app_has_the_same_environment(fleet: Fleet) -> None:
    """Pools, hooks, commands and shells get the same environment, byte for byte."""
    dump = "import json, os; print(json.dumps(dict(os.environ)))"
    for app in fleet.apps:
        found = {
            "web": page(app)["environment"],
            "hook": json.loads(app.host.read(f"{DATA}/environment-before_switch")),
            "run": json.loads(app.host.run(["flask-apachectl", "run", "--", "python", "-c", dump]).stdout),
            "shell": json.loads(app.host.run(["flask-apachectl", "shell"], stdin=dump).stdout),
        }
        for environment in found.values():
            assert {name: environment.get(name) for name in EXPECTED} == EXPECTED
        assert len({environment["SECRET_KEY"] for environment in found.values()}) == 1
        assert len(found["web"]["SECRET_KEY"]) == 64


def test_no_secret_is_told_to_anybody(fleet: Fleet) -> None:
    """Secrets are not in Ansible's output, in arguments, in the journal, or in a file that everybody may read."""
    assert FIRST_SECRET not in fleet.play.output
    assert fleet.arguments_with_secrets == ["0\n", "0\n"]
    for app in fleet.apps:
        key = page(app)["environment"]["SECRET_KEY"]
        for secret in (FIRST_SECRET, key):
            found = holders(app.host, secret)
            assert not any(found.values())
            assert {path.split("/")[2] for path in found} == {"flask-apache", "lib"}
            assert {path.rpartition("/")[2].partition("-")[0] for path in found} <= {"env", "environment", "secret_key"}
            assert secret not in app.host.run("journalctl --no-pager --output=verbose").stdout
        assert app.host.run(["runuser", "-u", "nobody", "cat", "/etc/flask-apache/plain/env"], check=False).returncode


def holders(host: Host, text: str) -> dict[str, bool]:
    """Return the files of a host that contain a text, and whether everybody may read them."""
    found: dict[str, bool] = json.loads(host.run(["python3", "-c", FIND], stdin=text).stdout)
    return found


# --- Hooks -----------------------------------------------------------------------------------------------------------


def test_hooks_run_in_their_order_as_the_app_in_its_release(fleet: Fleet) -> None:
    """A hook that runs once ran on the first host of the play only, before the release could serve."""
    for app, first in zip(fleet.apps, (True, False), strict=True):
        release, uid = app.live(), app.host.run("id -u plain").stdout.strip()
        place = f"as {uid} in /srv/flask-apache/plain/releases/{release}/app"
        expected = [f"before_start {release} beside nothing {place}"] if first else []
        expected += [f"{at} {release} beside {release} {place}" for at in ("before_switch", "after_switch")]
        assert hooks_of(app) == expected


# --- Data ------------------------------------------------------------------------------------------------------------


def test_data_directories_are_the_apps_and_linked(fleet: Fleet) -> None:
    for app in fleet.apps:
        state = app.host.snapshot([f"{DATA}/uploads", f"{DATA}/own", "/srv/flask-apache/plain/blue/app/instance"])
        for path in (f"{DATA}/uploads", f"{DATA}/own", f"{DATA}/own/instance"):
            assert state[path][:3] == ("drwxr-x---", "plain", "plain")
        assert state["/srv/flask-apache/plain/blue/app/instance"].content == f"-> {DATA}/own/instance"


def test_the_app_gets_no_token_of_a_probe(fleet: Fleet) -> None:
    for app in fleet.apps:
        headers = page(app, **{"X-Flask-Apache-Probe": "0" * 32, "X-Other": "kept"})["headers"]
        assert ("HTTP_X_FLASK_APACHE_PROBE" in headers, headers["HTTP_X_OTHER"]) == (False, "kept")


def test_a_second_run_changes_nothing_and_leaves_data_as_it_is(fleet: Fleet, source: Path) -> None:
    """No hook runs again, and root does not follow links that the app created in its data."""
    before = []
    for app in fleet.apps:
        app.host.run(
            f"echo mine > {DATA}/uploads/file; chown daemon:daemon {DATA}/uploads/file; chmod 640 {DATA}/uploads/file;"
            f"rmdir {DATA}/own/instance; ln -s /etc/apache2 {DATA}/own/instance"
        )
        before.append((app.host.snapshot([DATA, "/etc/apache2"]), hooks_of(app)))
    assert run_role(fleet, source).changed == 0
    assert [(app.host.snapshot([DATA, "/etc/apache2"]), hooks_of(app)) for app in fleet.apps] == before
    for app in fleet.apps:
        app.host.run(f"rm {DATA}/own/instance; ln -s /etc/planted {DATA}/own/instance")
        with pytest.raises(EngineError, match=f"{DATA}/own/instance cannot be made"):
            app.ctl("deploy")
        assert not app.host.exists("/etc/planted")
        app.host.run(f"rm {DATA}/own/instance")
        app.ctl("deploy")
        assert app.host.snapshot([f"{DATA}/own/instance"])[f"{DATA}/own/instance"].owner == "plain"


# --- A release with a new secret, whose migration fails at first -----------------------------------------------------


def pids(app: Deployed) -> dict[str, list[int]]:
    """Return the processes of each pool."""
    return {slot: pool["pids"] for slot, pool in app.ctl("status")["pools"].items()}


def test_a_failing_hook_of_the_first_host_stops_the_release_on_all(fleet: Fleet, source: Path) -> None:
    """No host starts the release; the next run repeats the hook. Afterwards no file has the old secret."""
    first, second = fleet.apps
    before = [app.live() for app in fleet.apps]
    processes = [pids(app) for app in fleet.apps]
    new = {**ENVIRONMENT, "API_TOKEN": SECOND_SECRET, "COLOUR": "blue"}
    first.host.run(f"touch {DATA}/fail-before_start")
    failed = run_role(fleet, source, environment=new, check=False)
    assert failed.rc != 0
    for text in ("`python hook.py before_start` ended with 1", "before_start found no table", f"serving {before[0]}"):
        assert text in failed.output
    assert [app.live() for app in fleet.apps] == before
    assert [pids(app) for app in fleet.apps] == processes
    assert [page(app)["environment"]["API_TOKEN"] for app in fleet.apps] == [FIRST_SECRET] * 2

    first.host.run(f"rm {DATA}/fail-before_start")
    ran = [len(hooks_of(app)) for app in fleet.apps]
    done = run_role(fleet, source, "-vvv", "--diff", environment=new)
    assert SECOND_SECRET not in done.output
    names = [[line.split()[0] for line in hooks_of(app)[old:]] for app, old in zip(fleet.apps, ran, strict=True)]
    assert names == [["before_start", "before_switch", "after_switch"], ["before_switch", "after_switch"]]
    assert hooks_of(first)[-3].split()[1:4] == [first.live(), "beside", before[0]]
    for app, old in zip(fleet.apps, before, strict=True):
        app.host.run(f"rm {DATA}/environment-*")  # the app's own
        assert holders(app.host, FIRST_SECRET) == {}
        assert page(app)["environment"]["API_TOKEN"] == SECOND_SECRET
        app.ctl("rollback")
        environment = page(app)["environment"]
        found = (app.live(), environment["API_TOKEN"], environment["COLOUR"])
        assert found == (old, SECOND_SECRET, "red")  # the release's own colour, the app's current secret
    ran = [len(hooks_of(app)) for app in fleet.apps]
    assert run_role(fleet, source, environment=new).rc == 0
    assert run_role(fleet, source, environment=new).changed == 0
    assert hooks_of(second)[ran[1] :] != []


# --- With the engine alone -------------------------------------------------------------------------------------------


def declare_colour(app: Deployed, colour: str) -> None:
    """Change the declared environment, which makes another release."""
    app.environment({**EXPECTED, "API_TOKEN": SECOND_SECRET, "COLOUR": colour})


def test_a_hook_that_takes_too_long_is_ended(fleet: Fleet) -> None:
    """After the switch the release stays live, and the next deploy runs its hooks again."""

    def check(app: Deployed) -> None:
        before = app.live()
        declare_colour(app, "green")
        app.host.run(f"touch {DATA}/hang-after_switch")
        with pytest.raises(EngineError, match=r"(?s)after_switch.* did not finish within 5 s.*stays live"):
            app.ctl("deploy")
        assert app.host.run(["pgrep", "-f", "hook.py"], check=False).stdout == ""
        release = app.live()
        assert release != before
        app.host.run(f"rm {DATA}/hang-after_switch")
        assert app.ctl("deploy")["changed"]
        assert hooks_of(app)[-1].startswith(f"after_switch {release} beside {release}")
        assert not app.ctl("deploy")["changed"]

    each(fleet.apps, check)


def test_a_failing_hook_before_the_switch_leaves_the_visitors_where_they_are(fleet: Fleet) -> None:
    def check(app: Deployed) -> None:
        before = app.live()
        declare_colour(app, "yellow")
        app.host.run(f"touch {DATA}/fail-before_switch")
        with pytest.raises(EngineError, match=rf"(?s)before_switch found no table.*Still serving {before}"):
            app.ctl("deploy")
        assert (app.live(), page(app)["environment"]["COLOUR"]) == (before, "green")
        app.host.run(f"rm {DATA}/fail-before_switch")

    each(fleet.apps, check)


def test_no_rollback_behind_an_irreversible_release_unless_forced(fleet: Fleet) -> None:
    def deploy(app: Deployed) -> tuple[str, str]:
        before = app.live()
        declare_colour(app, "white")
        app.declare(irreversible=True)
        release = str(app.ctl("deploy")["release"])
        app.declare(irreversible=False)
        return before, release

    deployed = each(fleet.apps, deploy)
    hosts = [app.host for app in fleet.apps]
    refused = apply_role(hosts, {"flask_apache_app": "plain"}, tasks_from="rollback", check=False)
    assert refused.rc != 0
    for app, (_, release) in zip(fleet.apps, deployed, strict=True):
        assert f"{release} is irreversible" in refused.output
        assert app.live() == release
    variables = {"flask_apache_app": "plain", "flask_apache_rollback_force": True}
    apply_role(hosts, variables, tasks_from="rollback")
    for app, (before, _) in zip(fleet.apps, deployed, strict=True):
        assert (app.live(), page(app)["environment"]["COLOUR"]) == (before, "green")
