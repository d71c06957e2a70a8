"""Run `ansible-playbook` against test hosts as a person would, and read its recap."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import venv
from tests.support.commands import ROOT
from tests.support.hosts import Host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

GROUP = "flask_apache"
RECAP_LINE = re.compile(r"^(\S+)\s+:\s+((?:\w+=\d+\s*)+)$", re.MULTILINE)
TASK_LINE = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.*)\] \**$")
STATUS_LINE = re.compile(r"^(changed|fatal|failed): \[([^\]\s]+)")


@dataclasses.dataclass(frozen=True)
class Recap:
    """One host's line of the PLAY RECAP."""

    ok: int = 0
    changed: int = 0
    unreachable: int = 0
    failed: int = 0
    skipped: int = 0
    rescued: int = 0
    ignored: int = 0


@dataclasses.dataclass(frozen=True)
class Play:
    """What one run of `ansible-playbook` did."""

    rc: int
    stdout: str
    stderr: str
    recap: dict[str, Recap]
    changed_tasks: list[str]
    failed_tasks: list[str]

    @property
    def changed(self) -> int:
        """How many tasks changed something, on all hosts together."""
        return sum(host.changed for host in self.recap.values())

    @property
    def output(self) -> str:
        """All that was printed."""
        return self.stdout + self.stderr

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON knows it."""
        return dataclasses.asdict(self)


def play(
    hosts: Host | Sequence[Host],
    playbook: str | Path | Sequence[Mapping[str, Any]],
    extra_vars: Mapping[str, Any] | None = None,
    *arguments: str,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    timeout: float = 900,
) -> Play:
    """Run a playbook on hosts, which become the group ``flask_apache`` of a generated inventory.

    The playbook is a path below the project's root or a list of plays. ``arguments`` go to ansible-playbook
    (``--check``, ``--diff``, ``--tags=…``), ``env`` into its environment.
    Raises AssertionError with the output when it fails and ``check`` is true.
    """
    with _started(hosts, playbook, extra_vars, arguments, env) as process:
        stdout, stderr = process.communicate(timeout=timeout)
    done = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
    result = read(done)
    assert "[DEPRECATION WARNING]" not in result.output, result.output
    if check and result.rc != 0:
        raise AssertionError(f"ansible-playbook ended with {result.rc}\n{result.output[-6000:]}")
    return result


def play_until(
    hosts: Host | Sequence[Host],
    playbook: str | Path | Sequence[Mapping[str, Any]],
    extra_vars: Mapping[str, Any] | None,
    task: int | str,
) -> bool:
    """Run a playbook as `play` does, and kill Ansible at the start of a task, given by its number or its name.

    Returns False when there was no such task and the playbook came to its end; raises AssertionError when it failed.
    """
    unbuffered = {"PYTHONUNBUFFERED": "1"}
    with _started(hosts, playbook, extra_vars, (), unbuffered, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        lines, tasks = [], 0
        for line in process.stdout:
            lines.append(line)
            if match := TASK_LINE.match(line):
                tasks += 1
                if task in (tasks, match[1].removeprefix("flask_apache : ")):
                    return True
        assert process.wait() == 0, "".join(lines)[-3000:]
    return False


@contextlib.contextmanager
def _started(
    hosts: Host | Sequence[Host],
    playbook: str | Path | Sequence[Mapping[str, Any]],
    extra_vars: Mapping[str, Any] | None,
    arguments: Sequence[str],
    env: Mapping[str, str] | None,
    *,
    stderr: int = subprocess.PIPE,
) -> Iterator[subprocess.Popen[str]]:
    """Start `ansible-playbook`; at the end it is gone, with all its processes."""
    members = [hosts] if isinstance(hosts, Host) else list(hosts)
    with tempfile.TemporaryDirectory(prefix="flask-apache-play-") as scratch:
        inventory_file = Path(scratch, "inventory.json")
        inventory_file.write_text(json.dumps(inventory(members)))
        variables = Path(scratch, "extra_vars.json")
        variables.write_text(json.dumps(dict(extra_vars or {})))
        if isinstance(playbook, (str, Path)):
            path = ROOT / playbook
        else:
            path = Path(scratch, "playbook.json")
            path.write_text(json.dumps([dict(item) for item in playbook]))
        program = venv.PYTHON.with_name("ansible-playbook")
        process = subprocess.Popen(
            [program, f"--inventory={inventory_file}", f"--extra-vars=@{variables}", *arguments, path],
            cwd=ROOT,
            env=venv.environment(ANSIBLE_ROLES_PATH=str(ROOT / "roles"), **(env or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def apply_role(
    hosts: Host | Sequence[Host],
    variables: Mapping[str, Any],
    *arguments: str,
    tasks_from: str = "main",
    check: bool = True,
) -> Play:
    """Run the role, with variables as a playbook's ``vars`` give them, by the entry point ``tasks_from``."""
    role = {"ansible.builtin.include_role": {"name": "flask_apache", "tasks_from": tasks_from}}
    playbook = [{"hosts": GROUP, "become": True, "gather_facts": False, "vars": dict(variables), "tasks": [role]}]
    return play(hosts, playbook, None, *arguments, check=check)


def inventory(hosts: Sequence[Host]) -> dict[str, Any]:
    """Return an Ansible inventory with the hosts in the group ``flask_apache``."""
    variables = {
        "ansible_connection": "community.docker.docker",
        "ansible_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    return {GROUP: {"hosts": {host.name: {} for host in hosts}, "vars": variables}}


def read(done: subprocess.CompletedProcess[str]) -> Play:
    """Read what ansible-playbook printed."""
    recap = {
        name: Recap(**{key: int(value) for key, value in (pair.split("=") for pair in counts.split())})
        for name, counts in RECAP_LINE.findall(done.stdout)
    }
    task = ""
    tasks: dict[str, list[str]] = {"changed": [], "failed": []}
    for line in done.stdout.splitlines():
        if match := TASK_LINE.match(line):
            task = match[1]
        elif match := STATUS_LINE.match(line):
            seen = tasks["changed" if match[1] == "changed" else "failed"]
            if task not in seen:
                seen.append(task)
    return Play(done.returncode, done.stdout, done.stderr, recap, tasks["changed"], tasks["failed"])
