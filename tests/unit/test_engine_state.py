"""What flask-apachectl leaves on a host after any sequence of commands, failures and kills.

The engine runs as it is, below a temporary directory; only Apache, the Unix users and the builder are made up.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.programs import DECLARED, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

engine = load("flask-apachectl")


PYTHON = "3.11"
PROCESSES = 2
SOURCES = ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc", "dddddddddddd")
BROKEN = "eeeeeeeeeeee"  # builds and imports, but answers 500
CONFIG: dict[str, Any] = {
    **DECLARED,
    "user": "shop",
    "processes": PROCESSES,
    "health_status": [200],
    "health_body": "",
    "health_host": "",
    "health_successes": 2,
    "health_timeout": 30,
    "health_request_timeout": 10,
    "build_timeout": 900,
    "keep_releases": 2,
    "soak": 0,
    "soak_errors": 5,
    "idle_pool": "warm",
    "ready_path": "/-/ready",
    "umask": "0027",
    "environment_secrets": ["*TOKEN*"],
    "hooks": [{"at": at, "run": at} for at in ("before_start", "before_switch", "after_switch")],
    "irreversible": False,
    "data_directories": [],
}


class Apache:
    """As much of Apache and mod_wsgi as the engine sees: daemon processes that keep the release they started with."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - engine.App, which mypy does not see
        self.app = app
        self.running = False
        self.clock = itertools.count(1)
        self.moved: dict[str, int] = {}  # when each slot got its release
        self.processes: dict[int, tuple[str, int, str | None]] = {}  # pid: slot, start, release
        self.secrets: dict[int, str | None] = {}  # of a process: what was in its release's environment when it started

    def start(self) -> None:
        """Start all processes anew."""
        self.running = True
        self.processes.clear()
        for slot in self.app.slots * PROCESSES:
            self.spawn(slot)

    def spawn(self, slot: str) -> None:
        """Start a process on what is in its slot now."""
        now = next(self.clock)
        release = engine.slot_release(self.app, slot)
        self.processes[now] = (slot, now, release)
        self.secrets[now] = engine.release_environment(self.app, release).get("API_TOKEN") if release else None

    def stop(self, pid: int, *, at_once: bool = False) -> None:  # noqa: ARG002
        """Let a process end; another one takes its place."""
        slot, _, _ = self.processes.pop(pid)
        self.spawn(slot)

    def workers(self, _app: object) -> list[Any]:
        """Return the processes as the engine sees them."""
        return [engine.Worker(pid, slot, start) for pid, (slot, start, _) in self.processes.items() if self.running]

    def is_stale(self, _app: object, worker: Any) -> bool:  # noqa: ANN401
        """Tell whether a process started before its slot got its release."""
        return bool(worker.started < self.moved.get(worker.slot, 0))

    def ask(self, app: Any, token: str = "") -> Any:  # noqa: ANN401
        """Answer as the pool that the map names, its processes in turn."""
        entries = dict(line.split() for line in app.map.read_text().splitlines()[1:])
        slot = entries.get(f"probe-{token}") if token else entries["live"].split("|")[0]
        pids = [pid for pid, process in self.processes.items() if process[0] == slot]
        if not self.running or not pids:
            return engine.Answer(0, error="Connection refused")
        pid = pids[next(self.clock) % len(pids)]
        release = self.processes[pid][2]
        status = 503 if release is None else 500 if release.startswith(BROKEN) else 200
        return engine.Answer(status, release or "" if token else "", pid)


class Killed(KeyboardInterrupt):
    """The engine's process ended at this moment."""


class Killer:
    """Ends the engine at the n-th moment before or after a change of a file.

    A hard kill is one by SIGKILL or a power cut: what would clean up afterwards does not happen either.
    """

    def __init__(self) -> None:
        self.left = -1  # moments to go; negative: never
        self.hard = False
        self.dead = False

    @contextlib.contextmanager
    def armed(self, moments: int, *, hard: bool) -> Iterator[None]:
        """Kill what runs inside, once so many moments have passed."""
        self.left, self.hard, self.dead = moments, hard, False
        try:
            yield
        finally:
            self.left, self.dead = -1, False

    def moment(self) -> None:
        """Count, and kill."""
        if self.dead and self.hard:
            raise Killed
        if self.left == 0 and not self.dead:
            self.dead = True
            raise Killed
        self.left -= 1

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function with a moment before it, and one after it."""

        def killable(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
            if self.left < 0 and not self.dead:
                return function(*arguments, **keywords)
            self.moment()
            result = function(*arguments, **keywords)
            self.moment()
            return result

        return killable


class Serial:
    """An executor without threads, for speed."""

    def __init__(self, **_: object) -> None:
        pass

    def __enter__(self) -> object:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    map = staticmethod(map)


class Host:
    """A host with one app, below a directory. Nothing outside it is touched; ``close`` undoes what was replaced."""

    def __init__(self, root: Path, **config: object) -> None:
        self.root = root
        self.patch = pytest.MonkeyPatch()
        self.killer = Killer()
        for name in ("ETC", "SRV", "VAR_LIB", "CACHE"):
            self.patch.setattr(engine, name, root / name.lower())
            (root / name.lower() / "shop").mkdir(parents=True)
        self.app = engine.App(
            "shop", {**CONFIG, "manage_service": False, "error_log": str(root / "error.log")} | config
        )
        self.app.config.setdefault("access_log", str(root / "access.log"))
        self.apache = Apache(self.app)
        self.hooks: list[tuple[str, str]] = []  # what ran, and in which release
        self.failing = ""  # the hook that fails
        self.replace_the_rest()
        self.patch.setattr(engine, "SYSTEMD", root / "systemd")
        (self.app.home / "incoming").mkdir()
        (self.app.conf / "env").write_text("{}")
        for slot in engine.SLOTS:
            (self.app.home / "empty" / slot / "venv").mkdir(parents=True)
            (self.app.home / "empty" / slot / "venv/pyvenv.cfg").write_text("")

    def replace_the_rest(self) -> None:
        """Replace Apache, users, the builder and the clock; let files be killable, and owners stay."""
        apache, group = self.apache, SimpleNamespace(gr_gid=os.getgid())
        user = SimpleNamespace(pw_name="shop", pw_uid=os.getuid(), pw_gid=os.getgid())
        ticks = itertools.count()
        replaced: dict[str, Any] = {
            "apache_pid": lambda: 7 if apache.running else None,
            "workers": apache.workers,
            "is_stale": apache.is_stale,
            "ask": apache.ask,
            "stop": self.killer.around(apache.stop),
            "run": self.run,
            "carry_out": self.killer.around(self.carry_out),
            "python_version": lambda _app: PYTHON,
            "say": lambda _text: None,
            "ThreadPoolExecutor": Serial,
            "BAD_ANSWERS_FOR": 0.0,
            "record": self.recorded(engine.record),
            "pwd": SimpleNamespace(getpwnam=lambda _name: user, getpwuid=lambda _uid: user),
            "grp": SimpleNamespace(getgrnam=lambda _name: group),
            "time": SimpleNamespace(
                monotonic=lambda: next(ticks) / 100,
                sleep=lambda _: None,
                time_ns=time.time_ns,
                clock_gettime=time.clock_gettime,
                CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
            ),
            "subprocess": SimpleNamespace(
                run=lambda *_, **__: None, SubprocessError=subprocess.SubprocessError, DEVNULL=subprocess.DEVNULL
            ),
        }
        for name, value in replaced.items():
            self.patch.setattr(engine, name, value)
        for name in ("chown", "lchown", "fchown", "fsync"):
            self.patch.setattr(os, name, lambda *_, **__: None)
        self.patch.setattr(engine, "point", self.moved(engine.point))
        for owner, name in (
            *((engine, name) for name in ("point", "write", "remove")),
            *((Path, name) for name in ("mkdir", "rename", "replace", "symlink_to", "unlink")),
            (shutil, "rmtree"),
        ):
            self.patch.setattr(owner, name, self.killer.around(getattr(owner, name)))

    def close(self) -> None:
        """Put back what was replaced."""
        self.patch.undo()

    def moved(self, point: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        """Return ``point`` that tells Apache's clock when a slot was moved."""

        def pointing(link: Path, target: Path) -> None:
            try:
                point(link, target)
            finally:
                if link.exists() and link.resolve() == target.resolve():
                    self.apache.moved[link.name] = next(self.apache.clock)

        return pointing

    def recorded(self, record: Callable[..., None]) -> Callable[..., None]:
        """Return ``record`` that names only complete releases."""

        def recording(app: Any, action: str, release: str | None, previous: str | None = None) -> None:  # noqa: ANN401
            assert release is None or release in self.releases()
            record(app, action, release, previous)

        return recording

    def run(self, command: list[str], *_: object, cwd: Path, **__: object) -> str:
        """Read a source's requirements, and build a virtual environment, as far as the engine looks at them."""
        if list(command[1:3]) == ["-m", "venv"]:
            venv = Path(command[-1])
            (venv / "bin").mkdir()
            (venv / "bin/python").write_text("")
            (venv / f"lib/python{PYTHON}/site-packages").mkdir(parents=True)
        makings = (cwd / "requirements.txt").read_text() if (cwd / "requirements.txt").exists() else ""
        return json.dumps({"lines": [], "steps": [["-r", "requirements.txt"]], "makings": makings, "tied": False})

    def carry_out(self, _app: object, release: str, command: list[str], _seconds: float) -> tuple[str, str]:
        """Run a hook."""
        assert release in self.releases() or command[0] == "before_check"
        self.hooks.append((command[0], release))
        return ("ended with 1" if command[0] == self.failing else ""), "no such table"

    def declare(self, **environment: str) -> None:
        """Declare another environment, as the role does."""
        (self.app.conf / "env").write_text(json.dumps(environment))

    def rotate(self, secret: str) -> None:
        """Change a secret, and deploy."""
        self.declare(API_TOKEN=secret)
        self.command("deploy")

    def secrets(self) -> set[str | None]:
        """Return the secrets that the kept releases have on disk, and the processes that run one."""
        kept = {engine.release_environment(self.app, release).get("API_TOKEN") for release in self.releases()}
        return kept | {
            self.apache.secrets[pid]
            for pid, (_, _, release) in self.apache.processes.items()
            if release and self.apache.running
        }

    def ship(self, source: str) -> None:
        """Ship a source, as the role does. Two of the sources need the same virtual environment."""
        with tarfile.open(self.app.home / "incoming" / f"{source}.tar.gz", "w:gz") as tar:
            for name, text in (
                ("app.py", source),
                ("requirements.txt", "flask\n" if source < "c" else f"# {source}\n"),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))

    def command(self, name: str, **options: object) -> dict[str, Any]:
        """Carry out a command."""
        defaults = {"plan": False, "canary": 0, "release": None, "source": None, "keep": None, "index_urls": False}
        defaults |= {"skip_once": False, "force": False}
        given = {**defaults, **options}
        result: dict[str, Any] = getattr(engine, f"command_{name}")(self.app, Namespace(**given))
        return result

    def deploy(self, source: str) -> dict[str, Any]:
        """Do what a run of the role does."""
        release = self.prepare(source)
        self.command("before_start", release=release)
        return self.command("activate", release=release)

    def prepare(self, source: str) -> str:
        """Ship a source and build its release, and return that one's id."""
        self.ship(source)
        return str(self.command("prepare", source=source)["release"])

    def live(self) -> str | None:
        """Return the live release."""
        found: str | None = engine.slot_release(self.app, engine.live_slot(self.app))
        return found

    def releases(self) -> list[str]:
        """Return the complete releases."""
        found: list[str] = engine.complete_releases(self.app)
        return found

    def debris(self) -> list[str]:
        """Return what no finished run leaves."""
        app = self.app
        places = (app.releases, ".*"), (app.releases, "*/.*"), (app.venvs, ".*"), (app.home, ".*"), (app.conf, ".*")
        return sorted(path.name for directory, pattern in places for path in directory.glob(pattern))


class Machine(RuleBasedStateMachine):
    """Any commands in any order, some refused, some killed."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="flask-apache-unit.")
        self.host: Host | None = None
        self.lived: list[str] = []  # the releases that were live, each once in a row

    @initialize(
        apache=st.booleans(),
        idle_pool=st.sampled_from(["warm", "cold"]),
        strategy=st.sampled_from(["blue_green", "blue_green", "rolling"]),
        source=st.sampled_from(SOURCES),
    )
    def begin(self, apache: bool, idle_pool: str, strategy: str, source: str) -> None:  # noqa: FBT001
        """Deploy for the first time."""
        self.host = Host(Path(self.directory.name), idle_pool=idle_pool, strategy=strategy)
        engine.make_slots(self.host.app, os.getgid())
        if apache:
            self.host.apache.start()
        self.host.deploy(source)
        assert (self.host.live() or "").startswith(source)

    def teardown(self) -> None:
        """Leave nothing."""
        if self.host is not None:
            self.host.close()
        self.directory.cleanup()

    def act(self, name: str, index: int) -> None:
        """Carry out something; ``index`` chooses among what there is."""
        host = self.host
        assert host is not None
        releases = host.releases()
        release = releases[index % len(releases)]
        actions: dict[str, Callable[[], object]] = {
            "deploy": lambda: host.deploy(SOURCES[index % len(SOURCES)]),
            "broken": lambda: host.deploy(BROKEN),
            "again": lambda: host.command("deploy"),
            "rotate": lambda: host.rotate(f"secret {index % 3}"),
            "mark": lambda: (host.app.config.update(irreversible=bool(index % 2)), host.command("deploy")),
            "prepare": lambda: host.prepare(SOURCES[index % len(SOURCES)]),
            "activate": lambda: host.command("activate", release=release),
            "rollback": lambda: host.command("rollback"),
            "rollback to": lambda: host.command("rollback", release=release, force=index > 6),
            "canary": lambda: host.command("canary", canary=1 + index % 99, release=release if index % 2 else None),
            "promote": lambda: host.command("promote"),
            "abort": lambda: host.command("abort"),
            "maintenance": lambda: host.command("maintenance", state=("on", "off")[index % 2]),
            "drain": lambda: host.command("drain", state=("on", "off")[index % 2]),
            "prune": lambda: host.command("prune", keep=index % 4),
        }
        with contextlib.suppress(engine.RefusedError):
            actions[name]()

    ACTIONS = st.sampled_from(
        [
            *("deploy", "broken", "again", "rotate", "mark", "prepare", "activate", "rollback", "rollback to"),
            *("canary", "promote", "abort", "maintenance", "drain", "prune"),
        ]
    )

    @rule(name=ACTIONS, index=st.integers(0, 11))
    def command(self, name: str, index: int) -> None:
        """Let an operator or the role do something."""
        self.act(name, index)

    @rule(name=ACTIONS, index=st.integers(0, 11), moment=st.integers(0, 60), hard=st.booleans(), data=st.data())
    def killed(self, name: str, index: int, moment: int, hard: bool, data: st.DataObject) -> None:  # noqa: FBT001
        """Kill it at any moment. The next run needs nobody's help."""
        host = self.host
        assert host is not None
        with contextlib.suppress(Killed), host.killer.armed(moment, hard=hard):
            self.act(name, index)
        if host.app.config["strategy"] == "blue_green":  # a killed roll has made nothing live yet
            self.look()
        sound = [release for release in host.releases() if not release.startswith(BROKEN)]
        release = data.draw(st.sampled_from(sound))
        assert host.command("activate", release=release)["release"] == release == host.live()
        assert host.debris() == []
        assert len(host.secrets()) == 1  # the live release's

    @precondition(lambda self: self.host is not None and self.host.apache.running)
    @rule()
    def apache_restarts(self) -> None:
        """Restart Apache, as an upgrade of it does."""
        assert self.host is not None
        self.host.apache.start()

    def look(self) -> None:
        """Write down what is live, and has been found to be so: a run killed before that has made nothing live."""
        live = self.host.live() if self.host else None
        entries = engine.read_history(self.host.app) if self.host else []
        recorded = [entry["release"] for entry in entries if entry["action"] in engine.MADE_LIVE]
        if live and recorded[-1:] == [live] and self.lived[-1:] != [live]:
            self.lived.append(live)

    @invariant()
    def the_map_names_a_slot(self) -> None:
        """Visitors always get a pool."""
        if self.host is None:
            return
        text = self.host.app.map.read_text()
        routes = engine.Routes.parse(text)
        assert routes.live in engine.SLOTS
        assert routes.canary in ("", engine.other(routes.live))
        assert engine.Routes.parse(routes.render()) == routes

    @invariant()
    def the_live_release_is_whole(self) -> None:
        """Be able to start it at any time."""
        if self.host is None:
            return
        live = self.host.live()
        assert live in self.host.releases()
        assert engine.is_complete((self.host.app.releases / live / "venv").resolve())

    @invariant()
    def a_rollback_finds_the_previous_release(self) -> None:
        """Keep it, whatever was pruned."""
        self.look()
        if self.host is not None and len(self.lived) > 1:
            assert self.lived[-2] in self.host.releases()

    @invariant()
    def every_process_of_the_live_pool_runs_the_live_release(self) -> None:
        """No visitor gets an older one."""
        if self.host is None or not self.host.apache.running:
            return
        slot, live = engine.live_slot(self.host.app), self.host.live()
        assert {release for each, _, release in self.host.apache.processes.values() if each == slot} == {live}

    @invariant()
    def the_history_is_whole(self) -> None:
        """Each line is one entry; the last that made a release live names the live one."""
        if self.host is None:
            return
        entries = [json.loads(line) for line in self.host.app.history.read_text().splitlines()]
        assert [entry for entry in entries if set(entry) != {"time", "action", "release", "previous", "by"}] == []


Machine.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    phases=[Phase.explicit, Phase.generate],  # to shrink such a sequence takes minutes
)
TestCommandsInAnyOrder = Machine.TestCase


# --- What one sequence shows -----------------------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """Return a host with a running Apache and nothing deployed; the parameter is what the app declares besides."""
    made = Host(tmp_path / "host", **getattr(request, "param", {}))
    engine.make_slots(made.app, os.getgid())
    made.apache.start()
    yield made
    made.close()


ROLLING = pytest.mark.parametrize("host", [{"strategy": "rolling"}], indirect=True)
COLD = pytest.mark.parametrize("host", [{"idle_pool": "cold"}], indirect=True)


def serving(host: Host) -> list[str | None]:
    """Return the releases that the processes of the live pool run, in their order."""
    slot = engine.live_slot(host.app)
    return [release for each, _, release in host.apache.processes.values() if each == slot]


def test_a_release_that_is_not_healthy_never_serves(host: Host) -> None:
    good = host.deploy(SOURCES[0])["release"]
    before = host.app.map.read_text()
    with pytest.raises(engine.RefusedError, match=f"answered 500; (?s:.*)Still serving {good}"):
        host.deploy(BROKEN)
    assert (serving(host), host.app.map.read_text()) == ([good] * PROCESSES, before)


@ROLLING
def test_a_rolled_release_that_is_not_healthy_is_rolled_back(host: Host) -> None:
    good = host.deploy(SOURCES[0])["release"]
    with pytest.raises(engine.RefusedError, match=f"Still serving {good}"):
        host.deploy(BROKEN)
    assert serving(host) == [good] * PROCESSES
    assert host.deploy(SOURCES[1])["changed"] is True
    assert serving(host) == [host.live()] * PROCESSES


@ROLLING
def test_a_pool_without_processes_is_probed_too(host: Host) -> None:
    """A pool whose processes all have ended, and are being started again, has none to replace."""
    good = host.deploy(SOURCES[0])["release"]
    workers = host.apache.workers
    for source, goes_live in ((BROKEN, False), (SOURCES[1], True)):
        seen = itertools.count()

        def dead_at_first(app: object, seen: Iterator[int] = seen) -> list[Any]:
            if next(seen) > 0:
                return workers(app)
            for pid in list(host.apache.processes):
                host.apache.stop(pid)
            return []

        release = host.prepare(source)
        host.patch.setattr(engine, "workers", dead_at_first)
        if goes_live:
            assert host.command("activate", release=release)["release"] == release == host.live()
        else:
            with pytest.raises(engine.RefusedError, match=f"answered 500; (?s:.*)Still serving {good}"):
                host.command("activate", release=release)
            assert host.live() == good
        assert serving(host) == [host.live()] * PROCESSES


@pytest.mark.parametrize("apache", [True, False])
def test_the_strategy_becomes_rolling(host: Host, *, apache: bool) -> None:
    """The release of the pool that will be gone serves from the other one, be Apache down or not."""
    live = [host.deploy(source)["release"] for source in SOURCES[:2]][-1]
    assert engine.live_slot(host.app) == "green"
    host.apache.running = apache
    host.app.config["strategy"] = "rolling"
    host.prepare(SOURCES[1])
    assert (engine.live_slot(host.app), host.live()) == ("blue", live)
    host.apache.start()  # with its new configuration
    assert serving(host) == [live] * PROCESSES
    assert host.deploy(SOURCES[1])["changed"] is False


def test_a_rollback_goes_back_and_forth(host: Host) -> None:
    one, two = (host.deploy(source)["release"] for source in SOURCES[:2])
    for expected in (one, two, one):
        assert host.command("rollback", plan=True)["release"] == expected
        assert host.command("rollback")["release"] == expected
        assert serving(host) == [expected] * PROCESSES


def test_the_first_release_has_none_to_go_back_to(host: Host) -> None:
    with pytest.raises(engine.RefusedError, match="nothing is the first one that was live"):
        host.command("rollback")
    release = host.deploy(SOURCES[0])["release"]
    with pytest.raises(engine.RefusedError, match=f"{release} is the first one that was live"):
        host.command("rollback")
    with pytest.raises(engine.RefusedError, match="x-1 was never live"):
        host.command("rollback", release="x-1")


def test_a_canary_is_promoted_or_aborted(host: Host) -> None:
    one = host.deploy(SOURCES[0])["release"]
    two = host.prepare(SOURCES[1])
    assert host.command("activate", release=two, canary=10)["canary"] == 10
    assert (host.live(), host.command("activate", release=two, canary=10)["changed"]) == (one, False)
    assert host.command("canary", canary=50)["release"] == two
    assert engine.read_routes(host.app).percent == 50
    assert (host.command("abort")["changed"], host.command("abort")["changed"]) == (True, False)
    with pytest.raises(engine.RefusedError, match="no canary to promote"):
        host.command("promote")
    host.command("canary", canary=5, release=two)
    assert host.command("promote")["release"] == two == host.live()
    assert [entry["action"] for entry in engine.read_history(host.app)] == [
        *("deploy", "canary 10 %", "canary 50 %", "abort", "canary 5 %", "promote")
    ]


def test_a_release_whose_virtual_environment_broke_is_built_anew(host: Host) -> None:
    release = host.deploy(SOURCES[0])["release"]
    venv = (host.app.releases / release / "venv").resolve()
    (venv / "bin/python").unlink()
    assert host.prepare(SOURCES[0]) == release == host.live()
    assert engine.is_complete(venv)
    assert (host.debris(), host.releases()) == ([], [release])


def test_the_live_release_stays_in_its_place_while_its_virtual_environment_is_built_anew(tmp_path: Path) -> None:
    """Killed at any moment: its directory is there all the time, and the next run builds to the end."""
    for moment in itertools.count():
        host = Host(tmp_path / str(moment))
        try:
            engine.make_slots(host.app, os.getgid())
            host.apache.start()
            release = host.deploy(SOURCES[0])["release"]
            venv = (host.app.releases / release / "venv").resolve()
            (venv / "complete.json").unlink()
            with contextlib.suppress(Killed), host.killer.armed(moment, hard=True):
                assert host.command("prepare", source=SOURCES[0])["changed"] is True
                break
            assert (host.live(), host.releases()) == (release, [release])
            host.command("prepare", source=SOURCES[0])
            assert engine.is_complete(venv)
            assert host.debris() == []
        finally:
            host.close()
    assert moment > 5


def test_a_source_that_another_run_has_shipped_is_left_for_it(host: Host) -> None:
    """Two runs of the role ship before one of them has the lock; what a killed run shipped goes after an hour."""
    host.ship(SOURCES[1])
    host.ship(SOURCES[2])
    incoming = host.app.home / "incoming"
    two_hours_ago = time.time() - 7200
    os.utime(incoming / f"{SOURCES[2]}.tar.gz", (two_hours_ago, two_hours_ago))
    host.prepare(SOURCES[0])
    assert [path.name for path in incoming.iterdir()] == [f"{SOURCES[1]}.tar.gz"]
    assert host.command("prepare", source=SOURCES[1])["changed"] is True
    assert list(incoming.iterdir()) == []


def test_a_full_disk_gives_its_room_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    good = host.deploy(SOURCES[0])["release"]
    before = sorted(host.app.venvs.iterdir())

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(engine, "hand_over", full)
        with pytest.raises(engine.RefusedError, match=f"No space left on device\nStill serving {good}"):
            host.prepare(SOURCES[3])
    assert (sorted(host.app.venvs.iterdir()), host.debris(), host.releases()) == (before, [], [good])
    assert host.deploy(SOURCES[3])["changed"] is True


@pytest.mark.parametrize("host", [{}, {"strategy": "rolling"}], indirect=True)
def test_a_disk_that_is_full_at_the_switch_leaves_the_live_release(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what serves; the idle pool gets its release back, and the next run does all of it."""
    good, bad = host.deploy(SOURCES[0])["release"], host.prepare(SOURCES[1])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(engine, "write_routes", full)
        with pytest.raises(engine.RefusedError, match=f"No space left on device\nStill serving {good}"):
            host.command("activate", release=bad)
    assert (host.live(), serving(host)) == (good, [good] * PROCESSES)
    assert bad not in {release for _, _, release in host.apache.processes.values()}
    assert host.command("activate", release=bad)["release"] == bad == host.live()


def test_a_full_disk_keeps_nobody_from_making_room(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the name of the lock's holder finds room then."""
    for source in SOURCES[:3]:
        host.deploy(source)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "operator", lambda: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
        assert host.command("prune", keep=0)["changed"] is False
        old = host.prepare(SOURCES[3])
        assert host.command("prune", keep=0)["removed"] == [old]


def test_the_first_release_is_no_canary(host: Host) -> None:
    release = host.prepare(SOURCES[0])
    assert host.command("activate", release=release, canary=10)["changed"] is True
    assert (host.live(), engine.read_routes(host.app).canary) == (release, "")


@ROLLING
def test_a_canary_needs_two_pools(host: Host) -> None:
    host.deploy(SOURCES[0])
    with pytest.raises(engine.RefusedError, match="flask_apache_strategy is rolling"):
        host.command("canary", canary=10)


@COLD
def test_a_cold_idle_pool_runs_nothing(host: Host) -> None:
    one, two = (host.deploy(source)["release"] for source in SOURCES[:2])
    idle = engine.other(engine.live_slot(host.app))
    assert {release for slot, _, release in host.apache.processes.values() if slot == idle} == {None}
    assert one in host.releases()
    assert host.command("rollback")["release"] == one
    assert two in host.releases()


def test_maintenance_and_drain_outlast_a_deploy(host: Host) -> None:
    host.deploy(SOURCES[0])
    bypass = host.command("maintenance", state="on")["bypass"]
    host.command("drain", state="on")
    host.deploy(SOURCES[1])
    assert host.command("maintenance", state="on") == {
        "changed": False,
        "maintenance": True,
        "bypass": bypass,
        "msg": f"http://www.example.com/ is closed; to see it yourself: {bypass}",
    }
    assert host.command("drain", state="on")["changed"] is False
    assert host.command("maintenance", state="off")["changed"] is True
    assert engine.read_routes(host.app) == engine.Routes(live=engine.live_slot(host.app), drain=True)


def test_a_lost_map_is_written_anew(host: Host) -> None:
    release = [host.deploy(source)["release"] for source in SOURCES[:2]][-1]
    before = host.app.map.read_text()
    for damage in ("", "base red\n"):
        host.app.map.write_text(damage)
        host.command("prepare", source=SOURCES[1])
        assert (host.app.map.read_text(), host.live()) == (before, release)


@pytest.mark.parametrize("host", [{"soak": 5, "soak_errors": 2}], indirect=True)
def test_a_burst_of_errors_after_the_switch_switches_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    good = host.deploy(SOURCES[0])["release"]
    monkeypatch.setattr(engine.AccessLog, "errors", lambda _: 3)
    with pytest.raises(engine.RefusedError, match=f"3 requests of visitors with 5xx\nStill serving {good}"):
        host.deploy(SOURCES[1])
    assert (host.live(), engine.read_history(host.app)[-1]["action"]) == (good, "refused")
    with pytest.raises(engine.RefusedError, match="is the first one that was live"):
        host.command("rollback")


@pytest.mark.parametrize("host", [{"soak": 5, "soak_errors": 2}], indirect=True)
@pytest.mark.parametrize("closed", ["maintenance", "drain"])
def test_what_a_closed_app_answers_is_no_burst(host: Host, monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    """Its 503 are Apache's own, to visitors or to load balancers."""
    host.deploy(SOURCES[0])
    host.command(closed, state="on")
    monkeypatch.setattr(engine.AccessLog, "errors", lambda _: 3)
    assert host.deploy(SOURCES[1])["changed"] is True


def after_a_kill_at(moment: int, directory: Path, sources: tuple[str, ...], strategy: str) -> list[str] | None:
    """Deploy sources, the last one killed at a moment and then activated again; None when it was done before.

    Returns the release, and what the processes of the live pool run.
    """
    host = Host(directory, strategy=strategy)
    try:
        engine.make_slots(host.app, os.getgid())
        host.apache.start()
        for source in sources[:-1]:
            host.deploy(source)
        release = host.prepare(sources[-1])
        with contextlib.suppress(Killed), host.killer.armed(moment, hard=True):
            host.command("activate", release=release)
            return None
        host.command("activate", release=release)
        assert host.live() == release
        assert host.debris() == []
        return [release, *map(str, serving(host))]
    finally:
        host.close()


@pytest.mark.parametrize(
    ("sources", "strategy"),
    [
        pytest.param(SOURCES[:1], "blue_green"),
        (SOURCES[:2], "blue_green"),
        pytest.param(SOURCES[:2], "rolling"),
    ],
    ids=["first", "second", "rolled"],
)
def test_a_deploy_killed_at_any_moment_is_finished_by_the_next_run(
    tmp_path: Path, sources: tuple[str, ...], strategy: str
) -> None:
    stuck: dict[int, object] = {}
    for moment in itertools.count():
        try:
            found = after_a_kill_at(moment, tmp_path / str(moment), sources, strategy)
        except engine.RefusedError as failure:
            stuck[moment] = str(failure)
            continue
        if found is None:
            break
        if len(set(found)) != 1:
            stuck[moment] = found
    assert moment > 20
    assert stuck == {}


class Meanwhile:
    """The lock, but another run finishes before it is free."""

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
        self.locked, self.other, self.patch = engine.locked, other, monkeypatch
        monkeypatch.setattr(engine, "locked", self.wait)
        assert host.app

    @contextlib.contextmanager
    def wait(self, app: Any) -> Iterator[None]:  # noqa: ANN401
        """Let the other run do its work, then take the lock."""
        self.patch.setattr(engine, "locked", self.locked)
        self.other()
        with self.locked(app):
            yield


def test_who_waited_for_a_deploy_does_not_undo_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """`flask-apachectl deploy` means the live source, once it has the lock."""
    host.deploy(SOURCES[0])
    Meanwhile(host, monkeypatch, lambda: host.deploy(SOURCES[1]))
    host.command("deploy")
    assert (host.live() or "").startswith(SOURCES[1])


def test_who_waited_for_an_abort_promotes_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (host.deploy(source)["release"] for source in SOURCES[:2])
    host.command("canary", canary=10, release=one)
    Meanwhile(host, monkeypatch, lambda: host.command("abort"))
    with pytest.raises(engine.RefusedError, match="no canary to promote"):
        host.command("promote")
    assert host.live() == two


def test_who_waited_for_a_deploy_gives_no_share_to_another_release(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = (host.deploy(source)["release"] for source in SOURCES[:2])
    host.command("canary", canary=10, release=one)
    Meanwhile(host, monkeypatch, lambda: host.deploy(SOURCES[2]))
    with contextlib.suppress(engine.RefusedError):
        host.command("canary", canary=50, release=one)
    routes = engine.read_routes(host.app)
    assert not routes.canary or dict(routes.releases)[routes.canary] == one


def test_activating_the_live_release_ends_a_canary(host: Host) -> None:
    """Its message says that it serves."""
    one, two = (host.deploy(source)["release"] for source in SOURCES[:2])
    host.command("canary", canary=10, release=one)
    host.command("activate", release=two)
    assert engine.read_routes(host.app).canary == ""


# --- Secrets ---------------------------------------------------------------------------------------------------------


def test_a_changed_secret_replaces_the_old_one_everywhere(host: Host) -> None:
    """Other variables stay a release's own."""
    host.declare(API_TOKEN="old", COLOUR="red", OLD_TOKEN="gone")
    one = host.deploy(SOURCES[0])["release"]
    host.declare(API_TOKEN="new", COLOUR="blue", NEW_TOKEN="come")
    host.deploy(SOURCES[0])
    environment = engine.release_environment(host.app, one)
    assert {**environment, "SECRET_KEY": ""} == {
        "SECRET_KEY": "",
        "API_TOKEN": "new",
        "COLOUR": "red",
        "NEW_TOKEN": "come",
    }
    assert {release for _, _, release in host.apache.processes.values()} == {one, host.live()}
    assert host.secrets() == {"new"}


def test_a_refused_release_changes_no_secret_of_the_others(host: Host) -> None:
    host.declare(API_TOKEN="old")
    one = host.deploy(SOURCES[0])["release"]
    host.declare(API_TOKEN="new")
    with pytest.raises(engine.RefusedError):
        host.deploy(BROKEN)
    assert engine.release_environment(host.app, one)["API_TOKEN"] == "old"
    host.declare(API_TOKEN="old")
    assert host.deploy(SOURCES[0])["changed"]  # the refused one has it now
    assert host.secrets() == {"old"}


@pytest.mark.parametrize("last", ["old", "new"])
def test_a_run_after_a_rollback_makes_what_is_declared_live_and_the_next_changes_nothing(host: Host, last: str) -> None:
    """Even if the release by that name is live already, but has got another secret since."""
    host.declare(API_TOKEN="old")
    one = host.deploy(SOURCES[0])["release"]
    host.declare(API_TOKEN="new")
    host.deploy(SOURCES[0])
    host.command("rollback")
    assert host.live() == one
    host.declare(API_TOKEN=last)
    assert host.deploy(SOURCES[0])["changed"]
    assert host.secrets() == {last}
    live = host.live()
    assert live is not None
    assert engine.release_environment(host.app, live) == engine.wanted_environment(host.app)
    for _ in range(2):
        prepared = host.command("prepare", source=SOURCES[0])
        assert prepared == {"changed": False, "release": live, "msg": f"kept {live}"}
        assert not host.command("activate", release=live)["changed"]


def test_a_generated_key_goes_when_one_is_declared(host: Host) -> None:
    host.deploy(SOURCES[0])
    generated = (host.app.conf / "secret_key").read_text()
    host.declare(SECRET_KEY="mine")
    host.deploy(SOURCES[0])
    assert not (host.app.conf / "secret_key").exists()
    assert not [path for path in host.root.rglob("*") if path.is_file() and generated in path.read_text()]


# --- Hooks -----------------------------------------------------------------------------------------------------------


def test_hooks_run_once_a_deploy_and_at_no_rollback(host: Host) -> None:
    one = host.deploy(SOURCES[0])["release"]
    assert host.hooks == [("before_start", one), ("before_switch", one), ("after_switch", one)]
    host.hooks.clear()
    host.deploy(SOURCES[0])
    assert host.hooks == []
    two = host.deploy(SOURCES[1])["release"]
    assert [release for _, release in host.hooks] == [two] * 3
    host.hooks.clear()
    host.command("rollback")
    host.deploy(SOURCES[0])
    assert host.hooks == []


@pytest.mark.parametrize("host", [{}, {"strategy": "rolling"}], indirect=True, ids=["blue_green", "rolling"])
@pytest.mark.parametrize("hook", ["before_start", "before_switch"])
def test_a_failing_hook_stops_the_release_and_runs_again(host: Host, hook: str) -> None:
    one = host.deploy(SOURCES[0])["release"]
    host.failing = hook
    with pytest.raises(engine.RefusedError, match=rf"(?s)hook {hook} .*no such table.*Still serving {one}"):
        host.deploy(SOURCES[1])
    assert host.live() == one
    assert serving(host) == [one] * PROCESSES
    host.failing = ""
    host.hooks.clear()
    two = host.deploy(SOURCES[1])["release"]
    assert host.hooks == [("before_start", two), ("before_switch", two), ("after_switch", two)]


def test_hooks_before_the_check_run_before_the_app_is_imported(host: Host) -> None:
    host.app.config["hooks"] = [{"at": "before_check", "run": "before_check"}]
    one = host.deploy(SOURCES[0])["release"]
    assert host.hooks == [("before_check", f".{one}.partial")]
    host.deploy(SOURCES[0])
    host.failing = "before_check"
    with pytest.raises(engine.RefusedError, match=rf"(?s)hook before_check of release [^.]+: .*Still serving {one}"):
        host.deploy(SOURCES[1])
    assert [name for name, _ in host.hooks] == ["before_check"] * 2
    assert sorted(path.name for path in host.app.releases.iterdir()) == [one]


def test_a_failing_hook_after_the_switch_leaves_the_release_live_and_runs_again(host: Host) -> None:
    host.failing = "after_switch"
    with pytest.raises(engine.RefusedError, match="is live and stays so"):
        host.deploy(SOURCES[0])
    host.failing = ""
    host.hooks.clear()
    one = host.deploy(SOURCES[0])
    assert (one["changed"], host.hooks) == (True, [("after_switch", host.live())])
    assert not host.deploy(SOURCES[0])["changed"]


def test_hooks_of_a_canary_run_once(host: Host) -> None:
    host.deploy(SOURCES[0])
    host.hooks.clear()
    two = host.prepare(SOURCES[1])
    for percent in (10, 20):
        host.command("before_start", release=two)
        host.command("activate", release=two, canary=percent)
    assert [name for name, _ in host.hooks] == ["before_start", "before_switch"]
    host.command("before_start", release=two)
    host.command("activate", release=two)
    assert [name for name, _ in host.hooks] == ["before_start", "before_switch", "after_switch"]


def test_a_hook_for_one_host_is_left_to_it(host: Host) -> None:
    host.app.config["hooks"] = [{"at": "before_start", "run": "migrate", "once": True}]
    release = host.prepare(SOURCES[0])
    assert not host.command("before_start", release=release, skip_once=True)["changed"]
    assert host.hooks == []
    assert host.command("before_start", release=release)["changed"]


def test_no_hook_runs_in_an_image(host: Host) -> None:
    """Its database is elsewhere."""
    host.apache.running = False
    host.deploy(SOURCES[0])
    assert host.hooks == []


# --- Irreversible releases -------------------------------------------------------------------------------------------


def test_a_rollback_behind_an_irreversible_release_is_refused_unless_forced(host: Host) -> None:
    host.app.config["keep_releases"] = 9
    one = host.deploy(SOURCES[0])["release"]
    host.app.config["irreversible"] = True
    two = host.deploy(SOURCES[1])["release"]
    host.app.config["irreversible"] = False
    three = host.deploy(SOURCES[2])["release"]
    assert host.command("rollback")["release"] == two  # not behind it
    for options in ({"release": one}, {"release": one, "plan": True}):
        with pytest.raises(engine.RefusedError, match=f"{two} cannot be undone.*Still serving {two}"):
            host.command("rollback", **options)
    with pytest.raises(engine.RefusedError, match="cannot be undone"):
        host.command("canary", canary=10, release=one)
    assert host.command("rollback", release=three)["release"] == three
    assert host.command("rollback", release=one, force=True)["release"] == one
    assert host.command("rollback", release=three)["release"] == three  # forward
    states = {row["release"]: row["state"] for row in host.command("releases")["releases"]}
    assert states[two] == "irreversible"


def test_the_mark_follows_the_declaration(host: Host) -> None:
    """Without another release."""
    host.deploy(SOURCES[0])
    two = host.deploy(SOURCES[1])["release"]
    host.app.config["irreversible"] = True
    assert host.command("prepare", source=SOURCES[1])["changed"]
    with pytest.raises(engine.RefusedError, match="cannot be undone"):
        host.command("rollback")
    host.app.config["irreversible"] = False
    assert host.command("prepare", source=SOURCES[1]) == {"changed": True, "release": two, "msg": f"built {two}"}
    host.command("rollback")


def test_a_rollback_during_a_canary_ends_it(host: Host) -> None:
    one, two = (host.deploy(source)["release"] for source in SOURCES[:2])
    host.command("canary", canary=10, release=one)
    assert host.command("rollback", plan=True)["release"] == two
    assert host.command("rollback")["changed"]
    assert host.live() == two
    assert engine.read_routes(host.app).canary == ""
