"""A model of a host with one app: the real engine runs below a temporary directory.

Only Apache, the Unix users and the builder are simulated.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from argparse import Namespace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import environments, history, interpreter, lock, paths, releases, routing
from flask_apachectl.apache import server
from flask_apachectl.apache.site import Declared
from flask_apachectl.commands import canary, cleanup, deploy, request, rollback, show, traffic
from flask_apachectl.host import files, programs, report
from flask_apachectl.host.builder import Builder
from flask_apachectl.serve import health, hooks, pools, start
from tests.unit.flask_apachectl.kills import Killer
from tests.unit.flask_apachectl.samples import changed, on_another_disk, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_apachectl.app import App

PYTHON = "3.11"
PROCESSES = 2
ADDRESS = "127.0.0.1"
SOURCES = ("aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc", "dddddddddddd")
BROKEN = "eeeeeeeeeeee"  # builds and imports, but answers 500
CHANGES: dict[str, Any] = {
    "hooks": [
        {"at": at, "run": at, "once": False, "timeout": 300} for at in ("before_start", "before_switch", "after_switch")
    ],
}
COMMANDS: dict[str, Callable[[App, Namespace], dict[str, Any]]] = {
    "abort": canary.abort,
    "activate": deploy.activate,
    "before_start": deploy.before_start,
    "canary": canary.canary,
    "deploy": deploy.deploy,
    "drain": traffic.drain,
    "history": show.show_history,
    "maintenance": traffic.maintenance,
    "prepare": lambda _app, options: deploy.prepare(options),
    "promote": canary.promote,
    "prune": cleanup.prune,
    "releases": show.list_releases,
    "rollback": rollback.rollback,
}


class Apache:
    """What the engine sees of Apache and mod_wsgi: daemon processes that keep the release that they started with."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.running = False
        self.clock = itertools.count(1)
        self.moved: dict[str, int] = {}  # when each slot got its release
        self.processes: dict[int, tuple[str, int, str | None]] = {}  # pid: slot, start, release
        self.secrets: dict[int, str | None] = {}  # of a process: what was in its release's environment when it started

    def start(self) -> None:
        """Restart all processes."""
        self.running = True
        self.processes.clear()
        for slot in self.app.slots * PROCESSES:
            self.spawn(slot)

    def spawn(self, slot: str) -> None:
        """Start a process with the release that is in its slot now."""
        now = next(self.clock)
        release = routing.slot_release(self.app, slot)
        self.processes[now] = (slot, now, release)
        self.secrets[now] = environments.of_release(self.app, release).get("API_TOKEN") if release else None

    def stop(self, pid: int, *, at_once: bool = False) -> None:  # noqa: ARG002
        """Stop a process, and start another one in its place."""
        slot, _, _ = self.processes.pop(pid)
        self.spawn(slot)

    def daemon_processes(self, _app: object) -> list[pools.DaemonProcess]:
        """Return the processes as the engine sees them."""
        return [
            pools.DaemonProcess(pid, slot, start) for pid, (slot, start, _) in self.processes.items() if self.running
        ]

    def is_outdated(self, _app: object, process: pools.DaemonProcess) -> bool:
        """Tell whether a process started before its slot got its release."""
        return bool(process.started < self.moved.get(process.slot, 0))

    def ask(self, app: App, token: str = "", address: str = "") -> health.Answer:
        """Answer from the pool that the map names; its processes take turns."""
        assert address in ("", ADDRESS)
        entries = dict(line.split() for line in app.map.read_text().splitlines()[1:])
        slot = entries.get(f"probe-{token}") if token else entries["live"].split("|")[0]
        pids = [pid for pid, process in self.processes.items() if process[0] == slot]
        if not self.running or not pids:
            return health.Answer(0, error="Connection refused")
        pid = pids[next(self.clock) % len(pids)]
        release = self.processes[pid][2]
        status = 503 if release is None else 500 if release.startswith(BROKEN) else 200
        return health.Answer(status, release or "" if token else "", pid, app=app.name if token else "")


class Serial:
    """An executor without threads, for speed."""

    def __init__(self, **_: object) -> None:
        pass

    def __enter__(self) -> object:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    map = staticmethod(map)


def make_venv(venv: Path) -> None:
    """Make a virtual environment, as far as the engine checks it."""
    (venv / f"lib/python{PYTHON}/site-packages").mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin/python").write_text("")


def run_as_root(command: list[Any], **_: object) -> SimpleNamespace:
    """Make the virtual environment with pip, and nothing else."""
    if "venv" in command and "--without-pip" not in command:
        make_venv(Path(command[-1]))
    return SimpleNamespace(returncode=0, stdout=b"", stderr=b"")


class Host:
    """A host with one app, below a directory. Nothing outside it is changed; ``close`` undoes all replacements."""

    def __init__(self, root: Path, **config: object) -> None:
        self.root = root
        self.patch = pytest.MonkeyPatch()
        self.killer = Killer()
        on_another_disk(root, "etc", "srv", "var_lib", "cache")
        for name in ("ETC", "SRV", "VAR_LIB", "CACHE"):
            self.patch.setattr(paths, name, root / name.lower())
            (root / name.lower() / "shop").mkdir(parents=True)
        logs = {f"{kind}_log": str(root / f"{kind}.log") for kind in ("access", "error")}
        self.app = shop(**CHANGES | logs | config)
        self.apache = Apache(self.app)
        self.hooks: list[tuple[str, str]] = []  # what ran, and in which release
        self.failing = ""  # the hook that fails
        self.replace_the_rest()
        for name in ("SYSTEMD", "HOST_LOCK", "UNITS", "STAMPS"):
            self.patch.setattr(paths, name, root / name.lower())
        (self.app.home / "incoming").mkdir()
        (self.app.conf / "env").write_text("{}")
        for slot in paths.SLOTS:
            venv = self.app.home / "empty" / slot / "venv"
            make_venv(venv)
            (venv / "complete.json").write_text(json.dumps({"python": PYTHON, "files": {}}))

    def replace_the_rest(self) -> None:
        """Replace Apache, users, the builder and the clock."""
        apache, group = self.apache, SimpleNamespace(gr_gid=os.getgid())
        user = SimpleNamespace(pw_name="shop", pw_uid=os.getuid(), pw_gid=os.getgid())
        ticks = itertools.count()
        clock = SimpleNamespace(
            monotonic=lambda: next(ticks) / 100,
            sleep=lambda _: None,
            time_ns=time.time_ns,
            clock_gettime=time.clock_gettime,
            CLOCK_BOOTTIME=time.CLOCK_BOOTTIME,
        )
        no_programs = SimpleNamespace(
            run=run_as_root, SubprocessError=subprocess.SubprocessError, DEVNULL=subprocess.DEVNULL
        )
        replaced: tuple[tuple[ModuleType | type, str, Any], ...] = (
            (server, "pid", lambda: 7 if apache.running else None),
            (server, "addresses", lambda _app: (ADDRESS,)),
            (server, "loaded_at", lambda _app, _address: "a digest"),
            (pools, "daemon_processes", apache.daemon_processes),
            (pools, "is_outdated", apache.is_outdated),
            (health, "ask", apache.ask),
            (pools, "stop", self.killer.around(apache.stop)),
            (programs, "run", self.run),
            (Builder, "clean", lambda _builder: None),
            (Builder, "leave_nothing", lambda _builder: None),
            (hooks, "carry_out", self.killer.around(self.carry_out)),
            (interpreter, "version", lambda _app: PYTHON),
            (report, "say", lambda _text: None),
            (start, "ThreadPoolExecutor", Serial),
            (start, "BAD_ANSWERS_FOR", 0.0),
            (history, "record", self.recorded(history.record)),
            (request, "read", dict),
            (request, "of_json", lambda _json: self.request()),
        )
        for module, name, value in replaced:
            self.patch.setattr(module, name, value)
        self.replace_everywhere("pwd", SimpleNamespace(getpwnam=lambda _name: user, getpwuid=lambda _uid: user))
        self.replace_everywhere("grp", SimpleNamespace(getgrnam=lambda _name: group))
        self.replace_everywhere("time", clock)
        self.replace_everywhere("subprocess", no_programs)
        self.make_killable()

    def replace_everywhere(self, name: str, value: object) -> None:
        """Replace a module of the standard library in all modules of the engine that use it."""
        for module_name, module in sys.modules.items():
            if module_name.startswith("flask_apachectl.") and hasattr(module, name):
                self.patch.setattr(module, name, value)

    def make_killable(self) -> None:
        """Make changes of files killable, keep owners, and do not wait for the disk."""
        for name in ("chown", "lchown", "fchown", "fsync"):
            self.patch.setattr(os, name, lambda *_, **__: None)
        self.patch.setattr(files, "replace_link", self.moved(files.replace_link))
        owner: Any
        for owner, name in (
            *((files, name) for name in ("replace_link", "write", "remove")),
            *((Path, name) for name in ("mkdir", "rename", "replace", "symlink_to", "unlink")),
            (shutil, "rmtree"),
        ):
            self.patch.setattr(owner, name, self.killer.around(getattr(owner, name)))

    def close(self) -> None:
        """Undo all replacements."""
        self.patch.undo()

    def moved(self, replace_link: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        """Return a ``replace_link`` that records when a slot was changed."""

        def replacing(link: Path, target: Path) -> None:
            try:
                replace_link(link, target)
            finally:
                if link.exists() and link.resolve() == target.resolve():
                    self.apache.moved[link.name] = next(self.apache.clock)

        return replacing

    def recorded(self, record: Callable[..., None]) -> Callable[..., None]:
        """Return a ``record`` that checks that a release which is said to have visitors is complete."""

        def recording(
            app: App, action: str, release: str | None, previous: str | None = None, *, reason: str | None = None
        ) -> None:
            assert reason or release is None or release in self.releases()
            record(app, action, release, previous, reason=reason)

        return recording

    def run(self, command: list[str], *_: object, cwd: Path, **__: object) -> str:
        """Read a source's requirements, and build a virtual environment, as far as the engine checks them."""
        if list(command[1:3]) == ["-m", "venv"]:
            make_venv(Path(command[-1]))
        inputs = (cwd / "requirements.txt").read_text() if (cwd / "requirements.txt").exists() else ""
        return json.dumps({"lines": [], "steps": [["-r", "requirements.txt"]], "inputs": inputs, "tied": False})

    def carry_out(self, _app: object, release: str, command: list[str], _seconds: float) -> tuple[str, str]:
        """Run a hook."""
        assert release in self.releases() or command[0] == "before_check"
        self.hooks.append((command[0], release))
        return ("ended with 1" if command[0] == self.failing else ""), "no such table"

    def reconfigure(self, **changes: object) -> None:
        """Change the app's declaration, as the role does."""
        self.app = self.apache.app = changed(self.app, **changes)

    def declare(self, **environment: str) -> None:
        """Change the app's environment, as the role does."""
        (self.app.conf / "env").write_text(json.dumps(environment))

    def rotate(self, secret: str) -> None:
        """Change a secret, and deploy."""
        self.declare(API_TOKEN=secret)
        self.command("deploy")

    def mark(self, *, irreversible: bool) -> None:
        """Declare whether the next release is irreversible, and deploy."""
        self.reconfigure(irreversible=irreversible)
        self.command("deploy")

    def secrets(self) -> set[str | None]:
        """Return the secrets that the kept releases have on disk, and the processes that run one."""
        kept = {environments.of_release(self.app, release).get("API_TOKEN") for release in self.releases()}
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
        defaults = {"plan": False, "canary": 0, "release": None, "source": None, "keep": None, "declaration": ""}
        defaults |= {"skip_once": False, "force": False, "request": True, "index_urls": False}
        given = {**defaults, **options}
        result: dict[str, Any] = COMMANDS[name](self.app, Namespace(**given))
        return result

    def request(self) -> request.Request:
        """Return the role's request, as far as it concerns a release."""
        declared = Declared({}, (Path("none"), ""), {}, "", {})
        return request.Request(
            self.app, directories=(), files=(), users={}, apache=declared, archives={}, digest="", salt=""
        )

    def deploy(self, source: str) -> dict[str, Any]:
        """Do everything that a run of the role does."""
        release = self.prepare(source)
        self.command("before_start", release=release)
        return self.command("activate", release=release)

    def prepare(self, source: str) -> str:
        """Ship a source, build its release, and return the release's id."""
        self.ship(source)
        return str(self.command("prepare", source=source)["release"])

    def live(self) -> str | None:
        """Return the live release."""
        return routing.slot_release(self.app, routing.live_slot(self.app))

    def releases(self) -> list[str]:
        """Return the complete releases."""
        return releases.complete(self.app)

    def debris(self) -> list[str]:
        """Return the files that a completed run must not leave."""
        app = self.app
        places = (app.releases, ".*"), (app.releases, "*/.*"), (app.venvs, ".*"), (app.home, ".*"), (app.conf, ".*")
        return sorted(path.name for directory, pattern in places for path in directory.glob(pattern))


ROLLING = pytest.mark.parametrize("host", [{"strategy": "rolling"}], indirect=True)
COLD = pytest.mark.parametrize("host", [{"idle_pool": "cold"}], indirect=True)


def serving(host: Host) -> list[str | None]:
    """Return the releases that the processes of the live pool run, in their order."""
    slot = routing.live_slot(host.app)
    return [release for each, _, release in host.apache.processes.values() if each == slot]


class Meanwhile:
    """A lock during whose wait another run finishes."""

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch, other: Callable[[], object]) -> None:
        self.held, self.other, self.patch = lock.held, other, monkeypatch
        monkeypatch.setattr(lock, "held", self.wait)
        assert host.app

    @contextlib.contextmanager
    def wait(self, app: App) -> Iterator[None]:
        """Let the other run do its work, then take the lock."""
        self.patch.setattr(lock, "held", self.held)
        self.other()
        with self.held(app):
            yield
