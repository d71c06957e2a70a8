"""Runs of the role without Ansible: the action plugin's own steps, one by one, against the engine on a host.

A play takes seconds to start, and cannot be stopped between two calls. Here a test decides what happens between them.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import io
import json
import tempfile
import threading
import zipfile
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jinja2
import yaml
from ansible.parsing.dataloader import DataLoader

from controller import artefact
from flask_apachectl import paths
from tests.support.commands import ROOT, cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.support.hosts import Host

ROLE = ROOT / "roles/flask_apache"
# Runs the engine as if from its one file, but from byte code that Python keeps: half of a short command is compiling.
# New processes need not live on for as long as they must for people, before they are believed to be well.
LAUNCH = """
import sys
sys.path.insert(0, sys.argv.pop(1))
sys.argv[0] = sys.path[0] + "/engine.pyz"
from flask_apachectl.cli import main
from flask_apachectl.serve import start
start.STAYS_FOR = 0.3
sys.exit(main())
"""
DEPLOY = ("plan", "fetch", "users", "prepare", "apply", "before_start", "activate")  # as tasks/main.yml has them


_placed: set[tuple[str, str]] = set()  # a host's name, and where an engine is on it
_placing = threading.Lock()


class StepError(AssertionError):
    """The role, or the engine, refused or failed."""


@lru_cache
def _plugin() -> Any:  # noqa: ANN401 - a module
    spec = importlib.util.spec_from_file_location("flask_apache_engine", ROLE / "action_plugins/flask_apache_engine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@lru_cache
def _defaults() -> dict[str, Any]:
    return {
        name: value
        for path in ("defaults/main.yml", "vars/main.yml")
        for name, value in yaml.safe_load((ROLE / path).read_text()).items()
    }


@dataclass
class Run:
    """One run of the role for one app on one host: `deploy` it, or take its steps one by one.

    ``variables`` are the role's without ``flask_apache_``. ``engine`` is another zip application than the role's.
    """

    host: Host
    variables: Mapping[str, Any]
    engine: bytes = b""
    without: Sequence[str] = ()  # capabilities that root does not have, as in most containers
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)  # the commands of the engine that ran on the host
    before_call: Callable[[list[str]], object] = lambda _: None  # called with the engine's command

    @property
    def app(self) -> str:
        """The app's name."""
        return str(self.variables["app"])

    def deploy(self) -> dict[str, Any]:
        """Take all steps of a deploy. Returns the result of the last one. Raises StepError."""
        for name in DEPLOY:
            self.step(name)
        if self.variables.get("tls") == "acme":
            self.step("await_certificate")
        return self.results["activate"]

    @property
    def changed(self) -> bool:
        """Whether a step changed something."""
        return any(result.get("changed") for result in self.results.values())

    def step(self, name: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - the step's own
        """Take one step. Raises StepError with its message when it fails."""
        if name == "users":
            return self._users()
        if name not in ("plan", "rollback", "remove"):
            arguments["plan"] = self.results["plan"]
        if name in ("prepare", "apply", "before_start", "activate"):
            arguments["source"] = self.results["fetch"]
        if name in ("before_start", "activate"):
            arguments["release"] = self.results["prepare"]["release"]
        result: dict[str, Any] = getattr(self._action(), f"step_{name}")(**arguments)
        self.results[name] = result
        if result.get("failed"):
            raise StepError(result["msg"])
        return result

    def _users(self) -> dict[str, Any]:
        """Create the users that were missing when the host was inspected, as tasks/users.yml does."""
        found = self.results["plan"]["host"]
        users = {
            "user": (self.app, f"/var/lib/flask-apache/{self.app}"),
            "build_user": (paths.build_user(self.app), f"/var/cache/flask-apache/{self.app}"),
        }
        for user, home in (users[kind] for kind in users if found[kind] is None):
            create = (
                f"useradd --system --no-create-home --home-dir {home} --shell /usr/sbin/nologin --gid {user} {user}"
            )
            other = f"{{ sleep 1; id {user}; }}"  # another run may create it at the same time
            self.host.run(f"groupadd --force --system {user}; {create} || {other}")
        return {}

    def _action(self) -> Any:  # noqa: ANN401 - the action plugin, as Ansible would have made it
        action = object.__new__(_plugin().ActionModule)
        given = {f"flask_apache_{name}": value for name, value in self.variables.items()}
        known = {"playbook_dir": str(ROOT), "inventory_hostname": self.host.name, **_defaults(), **given}
        action.task_vars = {**known, "ansible_play_hosts": [self.host.name]}
        action.role = ROLE
        action._task = SimpleNamespace(check_mode=False, diff=False)
        action._loader = DataLoader()
        action._templar = SimpleNamespace(template=lambda value: _template(value, known))
        action._cache = lambda: cache_directory() / "sources" / self.app
        action._execute_module = self._execute
        return action

    def _execute(self, *, module_name: str, module_args: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401
        """Run the engine, as the module does, and answer as it does."""
        assert module_name == "flask_apache_engine"
        command = module_args["command"]
        self.before_call(command)
        self.calls.append(" ".join(command))
        engine = self.engine or _unpacked(module_args["engine"])
        return run_engine(self.host, command, _unpacked(module_args["request"]), engine, self.without)


def deploy(host: Host, variables: Mapping[str, Any]) -> list[str]:
    """Make one run. Returns the names of the steps that changed something. Raises StepError."""
    run = Run(host, variables)
    run.deploy()
    return [name for name, result in run.results.items() if result.get("changed")]


def role_engine() -> bytes:
    """Return the engine as the role ships it."""
    return artefact.build(ROLE / "files")


def run_engine(
    host: Host, command: list[str], request: bytes, engine: bytes, without: Sequence[str] = ()
) -> dict[str, Any]:
    """Run a zip application on a host; return its answer, or how it ended.

    It is not in a temporary directory, because a build has its own.
    """
    path = f"/opt/engine-{hashlib.sha256(engine).hexdigest()[:12]}"
    with _placing:
        if (host.name, path) not in _placed:
            _place(host, path, engine)
            _placed.add((host.name, path))
    drop = ["setpriv", f"--bounding-set={','.join(f'-{name}' for name in without)}"] if without else []
    done = host.run([*drop, "python3", "-I", "-c", LAUNCH, path, "--json", *command], stdin=request, check=False)
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        answer = {"failed": True, "msg": f"the engine ended with {done.returncode}"}
    return {**answer, "progress": done.stderr}


def _place(host: Host, path: str, engine: bytes) -> None:
    """Copy a zip application to a host, and its modules beside it."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)  # the user of builds runs it, too
        Path(scratch, "engine.pyz").write_bytes(engine)
        zipfile.ZipFile(io.BytesIO(engine)).extractall(scratch)
        host.put(Path(scratch), path)


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def _template(value: object, known: Mapping[str, Any]) -> object:
    """Return a variable's value; defaults may name other variables."""
    if isinstance(value, str) and "{{" in value and "__flask_apache_" not in value:
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined)  # noqa: S701 - no HTML
        return environment.from_string(value).render(**known)
    return value
