"""Workers and timers go with the live release, and an app can be removed without a trace or a lost request."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.commands import ROOT, run
from tests.support.load import Client, visitors
from tests.support.parallel import each
from tests.support.playbooks import apply_role, play, play_until
from tests.support.releases import Deployed, EngineError, reloads, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from subprocess import CompletedProcess

    from tests.support.hosts import FileState, Host

APP, NEIGHBOUR, NAME = "shop", "shop-x", "shop.example.com"
DATA, UNIT = f"/var/lib/flask-apache/{APP}", f"flask-apache-{APP}-"
SECRET = 'p"a$s%s \\ 7f3a'
# Every file that a release consists of carries its mark.
SOURCE = {
    "requirements.txt": "huey==3.5.4\n",
    "late.py": "MARK = '__MARK__'\n",
    "web.py": """
import json, tasks
def app(environ, start_response):
    if environ["PATH_INFO"] == "/enqueue":
        tasks.add(20, 22)
    status = "500 Oops" if environ["PATH_INFO"] == "/oops" else "200 OK"
    body = json.dumps({"mark": "__MARK__"}).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
""",
    "tasks.py": """
import os
try:
    from huey import SqliteHuey
except ImportError: # the neighbour has none
    pass
else:
    huey = SqliteHuey(filename=os.environ["FLASK_APACHE_DATA"] + "/queue.db")
    @huey.task()
    def add(a, b):
        with open(os.environ["FLASK_APACHE_DATA"] + "/sum", "w") as file:
            file.write(f"{a + b} {os.environ['SECRET']}")
""",
    "common.py": """
import json, os, pathlib, sys
data = pathlib.Path(os.environ["FLASK_APACHE_DATA"])
def say(what, who):
    words = [what, "__MARK__", os.environ["FLASK_APACHE_RELEASE"], os.environ["SECRET"], *sys.argv[1:]]
    with open(data / who, "a") as file:
        file.write(json.dumps(words) + "\\n")
def seconds():
    return float((data / "seconds").read_text()) if (data / "seconds").exists() else 0
""",
    # There must never be two: it says when it starts and ends, and when another one is there.
    "scheduler.py": """
import fcntl, signal, sys, time
from common import data, say, seconds
lock = open(data / "lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    say("overlap", "scheduler")
__FAULT__
def end(*_):
    time.sleep(seconds())
    import late # only now: from which release?
    say("end with " + late.MARK, "scheduler")
    sys.exit()
signal.signal(signal.SIGINT, end)
say("start", "scheduler")
while True:
    time.sleep(0.1)
""",
    "job.py": """
import time
from common import say, seconds
say("begin", "nightly")
time.sleep(seconds())
say("end", "nightly")
""",
}
DECLARED: dict[str, Any] = {
    "flask_apache_app": APP,
    "flask_apache_wsgi": "web:app",
    "flask_apache_server_name": NAME,
    "flask_apache_environment": {"SECRET": SECRET},
    "flask_apache_workers": [
        {"name": "queue", "command": "huey_consumer tasks.huey --workers=1", "instances": 2},
        {
            "name": "scheduler",
            "command": "python scheduler.py 'two words' 100% $HOME n{instance}",
            "stop_signal": "SIGINT",
            "stop_timeout": 20,
        },
    ],
    "flask_apache_timers": [
        {"name": "nightly", "command": ["python", "job.py"], "calendar": "2000-01-01"},
        {"name": "often", "command": ["sh", "-c", 'echo >>"$FLASK_APACHE_DATA/often"'], "calendar": "*:*:*"},
    ],
}
BESIDE = {
    "flask_apache_app": NEIGHBOUR,
    "flask_apache_wsgi": "web:app",
    "flask_apache_requirements": [],
    "flask_apache_server_name": NAME,
    "flask_apache_mount": "/beside",
    "flask_apache_default_server": True,
    "flask_apache_workers": [{"name": "queue", "command": "sleep infinity"}],
}
PLACES = (
    "/etc",
    "/srv",
    "/usr/local",
    "/usr/share/bash-completion",
    "/var/lib",
    "/var/cache",
    "/var/log",
    "/var/spool",
)
# Steps of the engine after the switch; it is killed at the n-th of them, and says at which.
KILL_AT = """
import importlib.machinery, importlib.util, os, signal, sys
sys.dont_write_bytecode = True
sys.argv[0] = "flask-apachectl"
loader = importlib.machinery.SourceFileLoader("engine", "/usr/local/bin/flask-apachectl")
engine = importlib.util.module_from_spec(importlib.util.spec_from_loader("engine", loader))
sys.modules["engine"] = engine
loader.exec_module(engine)
engine.STAYS_FOR, engine.WORKERS_STAY_FOR = 0.1, 0.5
limit, count = int(sys.argv.pop(1)), 0

def killing(name, function):
    def step(*arguments, **options):
        global count
        if (name == "switch" or count) and not (name == "systemctl" and arguments[0] in ("show", "list-units")):
            count += 1
            if count == limit:
                print(name, *map(str, arguments[:1]), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return step

for name in ("switch", "follow", "point", "write", "systemctl", "stays_up", "record"):
    setattr(engine, name, killing(name, getattr(engine, name)))
sys.exit(engine.main())
"""


def make_source(directory: Path, mark: str, *, fault: str = "") -> Path:
    """Make the source of a release, whose scheduler has a fault, if any."""
    directory.mkdir()
    for name, text in SOURCE.items():
        (directory / name).write_text(text.replace("__MARK__", mark).replace("__FAULT__", fault))
    return directory


def prepare(app: Deployed, mark: str, **makings: str) -> str:
    """Ship a release as the role does, and let the engine prepare it. Returns its id."""
    with tempfile.TemporaryDirectory() as scratch:
        source = make_source(Path(scratch) / "source", mark, **makings)
        program: list[str | Path] = [
            sys.executable,
            ROOT / "roles/flask_apache/files/pack.py",
            source,
            "--cache",
            f"{scratch}/cache",
        ]
        packed = json.loads(run(program).stdout)
        app.host.put(Path(packed["archive"]), f"/srv/flask-apache/{APP}/incoming/{packed['id']}.tar.gz")
    return str(app.ctl("prepare", packed["id"])["release"])


def said(app: Deployed, who: str = "scheduler") -> list[list[str]]:
    """Return what the schedulers or the jobs have said."""
    path = f"{DATA}/{who}"
    return [json.loads(line) for line in app.host.read(path).splitlines()] if app.host.exists(path) else []


def units(app: Deployed) -> dict[str, tuple[str, str]]:
    """Return the state and the process of each unit, by the short name."""
    return {row["unit"].removeprefix(UNIT): (row["state"], row["pid"]) for row in app.ctl("status")["units"]}


@pytest.fixture(scope="module")
def before() -> dict[str, dict[str, FileState]]:
    """Return what was on the hosts before the role; the fixture of the apps fills it."""
    return {}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source of the first release."""
    return make_source(tmp_path_factory.mktemp("first") / "source", "first")


@pytest.fixture(scope="module")
def apps(start_host: Callable[[str], Host], source: Path, before: dict[str, dict[str, FileState]]) -> list[Deployed]:
    """Return the app on two hosts, with another one beside it whose name begins with its name."""
    hosts = [start_host("debian-12-hot"), start_host("debian-13-hot")]
    for host in hosts:
        before[host.name] = host.snapshot(PLACES)
    plays = [
        {
            "ansible.builtin.include_role": {"name": "flask_apache"},
            "vars": {**declared, "flask_apache_source": str(source)},
        }
        for declared in (DECLARED, BESIDE)
    ]
    play(hosts, [{"hosts": "flask_apache", "become": True, "gather_facts": False, "tasks": plays}])
    return [Deployed(host, APP) for host in hosts]


def test_they_run_as_declared(apps: list[Deployed]) -> None:
    """In the live release, with its environment and the words of their command; and no secret is in any unit."""
    for app in apps:
        release = app.live()
        assert said(app) == [["start", "first", release, SECRET, "two words", "100%", "$HOME", "n1"]]
        found = units(app)
        assert {name: state for name, (state, _) in found.items()} == {
            "queue@1.service": "running",
            "queue@2.service": "running",
            "scheduler@1.service": "running",
            "nightly.timer": "elapsed",
            "often.timer": found["often.timer"][0],
        }
        for _, pid in found.values():
            if pid != "-":
                assert app.host.run(["stat", "-c", "%U", f"/proc/{pid}"]).stdout == f"{APP}\n"
        everywhere = "/etc/systemd/system /run/systemd /proc/[0-9]*/cmdline"
        assert app.host.run(f"grep -rls '7f3[a]' {everywhere}", check=False).stdout == ""
        assert wait_until(lambda: app.host.exists(f"{DATA}/often"), 10)  # noqa: B023


def test_a_real_queue(apps: list[Deployed]) -> None:
    """What the web processes enqueue is done by Huey's consumer, in the same environment."""
    for app in apps:
        assert app.host.http("/enqueue", NAME).status == 200
        assert wait_until(lambda: app.host.exists(f"{DATA}/sum"), 20)  # noqa: B023
        assert app.host.read(f"{DATA}/sum") == f"42 {SECRET}"


def test_another_run_changes_nothing_and_another_definition_what_it_says(apps: list[Deployed], source: Path) -> None:
    """A changed worker is restarted in that run, a dropped one stops and leaves no file, the others go on."""
    hosts = [app.host for app in apps]
    declared = {**DECLARED, "flask_apache_source": str(source)}
    before = [units(app) for app in apps]
    assert apply_role(hosts, declared).changed == 0
    queue, clock = DECLARED["flask_apache_workers"]
    nightly, _ = DECLARED["flask_apache_timers"]
    changed = {
        **declared,
        "flask_apache_workers": [{**queue, "instances": 1}, {**clock, "command": "python scheduler.py other"}],
        "flask_apache_timers": [nightly],
    }
    plan = apply_role(hosts, changed, "--check", "--diff")
    assert "+ExecStart=" in plan.stdout
    for app, was in zip(apps, before, strict=True):
        assert units(app)["scheduler@1.service"] == was["scheduler@1.service"]
    assert [task.partition(" : ")[2] for task in apply_role(hosts, changed).changed_tasks] == [
        "app | Declare the app to the engine",
        "units | Write the services of workers and timers",
        "units | Put them together",
        "live | Start the release, probe it, switch",
        "live | Remove the units of workers and timers that are not declared any more",
    ]
    for app, was in zip(apps, before, strict=True):
        assert said(app)[-2:] == [
            ["end with first", "first", app.live(), SECRET, "two words", "100%", "$HOME", "n1"],
            ["start", "first", app.live(), SECRET, "other"],
        ]
        now = units(app)
        assert list(now) == ["queue@1.service", "scheduler@1.service", "nightly.timer"]
        assert now["queue@1.service"] == was["queue@1.service"]
        assert app.host.run(["pgrep", "-cf", "bin/huey_consumer"]).stdout == "1\n"
        assert app.host.run("find /etc /run/systemd /var/lib/systemd -name '*shop-often*'").stdout == ""


def test_a_release_takes_them_along(apps: list[Deployed]) -> None:
    """Each ends its job, then starts on the new release, never two at once. A canary leaves them where they are."""

    def check(app: Deployed) -> None:
        start = len(said(app)) - 1
        first = app.live()
        app.host.write(f"{DATA}/seconds", "3")
        app.host.run("systemctl start --no-block flask-apache-shop-nightly.service")
        assert wait_until(lambda: len(said(app, "nightly")) == 1, 10)
        second = prepare(app, "second")
        app.ctl("activate", second)
        app.host.write(f"{DATA}/seconds", "0")
        assert wait_until(lambda: len(said(app, "nightly")) == 2, 10)
        assert [line[:3] for line in said(app, "nightly")] == [["begin", "first", first], ["end", "first", first]]
        third = prepare(app, "third")
        app.ctl("canary", "50", third)
        assert said(app)[-1][2] == second
        app.ctl("promote")
        app.ctl("rollback")
        marks = ["first", "second", "third", "second"]
        expected = [line for mark in marks for line in (["start", mark], [f"end with {mark}", mark])][:-1]
        assert [line[:2] for line in said(app)[start:]] == expected
        assert app.host.http("/", NAME).json() == {"mark": "second"}
        app.host.run("systemctl stop flask-apache-shop.target")
        assert {state for state, _ in units(app).values()} == {"dead"}
        app.host.run("systemctl start multi-user.target")  # as at boot
        assert wait_until(lambda: units(app)["scheduler@1.service"][0] == "running", 10)

    each(apps, check)


def test_a_release_whose_worker_dies_is_refused(apps: list[Deployed]) -> None:
    """The message shows why, and everything is as before; so it is when a soak switches back."""

    def check(app: Deployed) -> None:
        live = app.live()
        broken = prepare(app, "broken", fault="raise SystemExit('no such broker')")
        with pytest.raises(EngineError) as refused:
            app.ctl("activate", broken)
        assert f"release {broken}: {UNIT}scheduler@1.service does not stay up" in str(refused.value)
        assert "no such broker" in str(refused.value)
        assert f"Still serving {live}." in str(refused.value)
        assert (app.live(), said(app)[-1][:2]) == (live, ["start", "second"])
        assert app.host.http("/", NAME).json() == {"mark": "second"}
        assert units(app)["queue@1.service"][0] == "running"

        soaked = prepare(app, "soaked")
        before = app.declare(soak=30, soak_errors=0)
        ended = threading.Event()

        def ask() -> None:
            while not ended.wait(0.2):
                app.host.http("/oops", NAME)

        visitor = threading.Thread(target=ask)
        visitor.start()
        try:
            with pytest.raises(EngineError, match="5xx"):
                app.ctl("activate", soaked)
        finally:
            ended.set()
            visitor.join()
            app.declare(**before)
        assert [line[1] for line in said(app)[-3:]] == ["soaked", "soaked", "second"]
        assert not any(line[0] == "overlap" for line in said(app))

    each(apps, check)


def test_killed_between_the_switch_and_the_end(apps: list[Deployed]) -> None:
    """The same command again, and the workers run what is live; never two schedulers."""

    def activate(app: Deployed, release: str, *, kill_at: int) -> CompletedProcess[str]:
        command = ["python3", "-", str(kill_at), "--app", APP, "activate", release]
        return app.host.run(command, check=False, stdin=KILL_AT)

    def matrix(app: Deployed) -> int:
        releases = [prepare(app, mark) for mark in ("even", "odd")]
        killed = 0
        while True:
            release = releases[killed % 2]
            step = activate(app, release, kill_at=killed + 1)
            if step.returncode == 0:
                return killed
            killed += 1
            again = activate(app, release, kill_at=0)
            assert again.returncode == 0, f"after a kill at {step.stdout}: {again.stderr}"
            assert said(app)[-1][:3] == ["start", ("even", "odd")[1 - killed % 2], release], step.stdout
            assert not any(line[0] == "overlap" for line in said(app))

    for app, count in zip(apps, each(apps, matrix), strict=True):
        print(f"{app.host.distribution}: {count} of {count} kills survived")
        assert count > 7


def test_the_operators_playbooks(apps: list[Deployed]) -> None:
    """status.yml shows what is live; maintenance.yml closes the app, and changes it only once."""
    hosts = [app.host for app in apps]
    status = play(hosts, "playbooks/status.yml", {"flask_apache_app": APP})
    assert status.changed == 0
    for app in apps:
        assert f"shop serves {app.live()} at http://{NAME}/" in status.stdout
    for state, code, changes in (("on", 503, 1), ("on", 503, 0), ("off", 200, 1)):
        done = play(hosts, "playbooks/maintenance.yml", {"flask_apache_app": APP, "maintenance": state})
        assert [host.changed for host in done.recap.values()] == [changes, changes]
        assert [host.http("/", NAME).status for host in hosts] == [code, code]
        assert [host.http("/beside/", NAME).status for host in hosts] == [200, 200]
    assert play(hosts, "playbooks/status.yml", {"flask_apache_app": "nobody"}, check=False).rc != 0


# --- Removal ---------------------------------------------------------------------------------------------------------

# The tasks of the removal at whose beginning the controller is killed, one after the other.
KILLED_AT = (
    "remove | Let Apache give up its pools",
    "remove | End what it runs",
    "traces | Remove what was made for it",
    "traces | Remove what declared it",
)


def traces(host: Host, name: str) -> list[str]:
    """Return the paths outside the data that hold an app's name."""
    found = host.run(f"find /etc /srv /usr/local /run /var -xdev -name '*{name}*'").stdout.splitlines()
    others = ("/var/lib/flask-apache/", "/var/log/journal/")
    return [path for path in found if not path.startswith(others) and NEIGHBOUR not in path and NAME not in path]


def test_removal(apps: list[Deployed]) -> None:
    """Killed again and again, then to its end: no trace but the data, and no request of the other app is lost."""
    hosts = [app.host for app in apps]
    declared = {"flask_apache_app": APP}
    before = [host.snapshot(("/etc", "/srv")) for host in hosts]
    plan = play(hosts, "playbooks/remove.yml", declared, "--check", "--diff")
    assert "remove | End what it runs" in " ".join(plan.changed_tasks)
    assert [host.snapshot(("/etc", "/srv")) for host in hosts] == before
    for host in hosts:
        assert traces(host, "shop") != []
    pid = [host.pid_of_apache() for host in hosts]
    reloaded = [reloads(host) for host in hosts]
    clients = [Client("single", 5, 0.1, "/beside/")]  # a reload closes connections that are kept
    with visitors(hosts[0].ip, NAME, clients) as one, visitors(hosts[1].ip, NAME, clients) as two:
        for task in KILLED_AT:
            assert play_until(hosts, "playbooks/remove.yml", declared, task)
        play(hosts, "playbooks/remove.yml", declared)
    for crowd in (one, two):
        assert len(crowd.answers) > 200
        assert crowd.failed() == []
    assert [reloads(host) for host in hosts] == [count + 1 for count in reloaded]
    assert [host.pid_of_apache() for host in hosts] == pid
    assert play(hosts, "playbooks/remove.yml", declared).changed == 0
    for host in hosts:
        assert traces(host, "shop") == []
        assert host.run(["stat", "-c", "%U", DATA, f"{DATA}/scheduler"]).stdout == "shop\nshop\n"
        assert host.run("pgrep -u shop", check=False).stdout == ""
        assert "flask-apache-shop." not in host.run("systemctl list-units --all --plain").stdout
        assert host.http("/", NAME).status == 404
        assert host.http("/beside/", NAME).status == host.http("/beside/", "unknown.example.com").status == 200
        other = Deployed(host, NEIGHBOUR).ctl("doctor")
        assert not other["failed"]


def test_removal_of_the_last_app(apps: list[Deployed], before: dict[str, dict[str, FileState]]) -> None:
    """With the data, too: the hosts are as they were before the role, but for packages and Apache's own modules."""
    hosts = [app.host for app in apps]
    for name in (NEIGHBOUR, APP):
        play(hosts, "playbooks/remove.yml", {"flask_apache_app": name, "flask_apache_remove_data": True})
    for host in hosts:
        now, was = host.snapshot(PLACES), before[host.name]
        ours = (
            r"/etc/apache2/mods-enabled(/(headers|rewrite|filter|deflate|brotli)\.load)?$",
            r"/var/lib/systemd",
            r"/var/log",
            r".*(-|-old)$",
        )
        changed = [path for path in sorted({*now, *was}) if content(now, path) != content(was, path)]
        assert [path for path in changed if not any(re.match(pattern, path) for pattern in ours)] == []
        assert [path for path in now if "flask" in path] == []
        assert host.http("/").status == 200  # the distribution's own page again
    assert play(hosts, "playbooks/remove.yml", {"flask_apache_app": APP}).changed == 0


def content(states: dict[str, FileState], path: str) -> tuple[str, ...]:
    """Return what of a path's state does not change by itself."""
    state = states.get(path)
    return (state.mode, state.owner, state.group, state.content) if state else ()
