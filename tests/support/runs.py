"""The role's steps without ansible-playbook: the action plugin itself, whose engine calls go to a test host.

For tests that make many runs, of which Ansible's start and its other tasks are not the point: a run takes a second.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import yaml

from controller import artefact
from tests.support.commands import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.hosts import Host

ROLE = ROOT / "roles/flask_apache"
ENGINE = "/usr/local/lib/flask-apachectl.role"  # where the user of builds can read it, too


class StepError(AssertionError):
    """A step failed: its message."""


def plugin() -> Any:  # noqa: ANN401 - Ansible has no types
    """Return the action plugin's class."""
    loader = importlib.machinery.SourceFileLoader("plugin", str(ROLE / "action_plugins/flask_apache_engine.py"))
    spec = importlib.util.spec_from_loader("plugin", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module.ActionModule


class Steps:
    """Runs of the role for one app on one host, whose packages and users are there already."""

    def __init__(self, host: Host, variables: Mapping[str, Any], cache: Path) -> None:
        """Copy the role's engine to the host. ``variables`` must set each whose default is a template."""
        self.host, self.cache = host, cache
        read = [yaml.safe_load((ROLE / path).read_text()) for path in ("defaults/main.yml", "vars/main.yml")]
        names = {"inventory_hostname": host.name, "ansible_play_hosts": [host.name], "role_path": str(ROLE)}
        self.task_vars = {**read[0], **read[1], **variables, **names}
        host.run(["sh", "-c", f"cat > {ENGINE}"], stdin=artefact.build(ROLE / "files"))

    def engine(self, command: list[str], request: Mapping[str, Any]) -> dict[str, Any]:
        """Run the role's engine on the host, as the module does."""
        done = self.host.run(["python3", "-I", ENGINE, "--json", *command], check=False, stdin=json.dumps(request))
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise StepError(f"{command} gave no answer: {done.stdout}{done.stderr}") from None
        return answer

    def run(self) -> list[str]:
        """Deploy, in the steps of tasks/main.yml. Returns the names of the steps that changed something."""
        action = plugin().__new__(plugin())
        action._task = SimpleNamespace(check_mode=False, diff=False, args={})  # noqa: SLF001 - as Ansible sets it
        action._templar = SimpleNamespace(template=lambda value: value)  # noqa: SLF001
        action._cache = lambda: self.cache  # noqa: SLF001
        action.task_vars, action.role, action.engine = self.task_vars, ROLE, self.engine
        changed: list[str] = []

        def step(name: str, **arguments: Any) -> Any:  # noqa: ANN401 - whatever the plugin answers
            answer = getattr(action, f"step_{name}")(**arguments)
            if answer.get("failed"):
                raise StepError(f"{name}: {answer['msg']}")
            changed.extend([name] if answer["changed"] else [])
            return answer

        plan = step("plan")
        source = step("fetch", plan=plan)
        release = step("prepare", plan=plan, source=source)["release"]
        step("apply", plan=plan, source=source)
        step("before_start", plan=plan, source=source, release=release)
        step("activate", plan=plan, source=source, release=release)
        return changed
