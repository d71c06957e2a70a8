"""Playbooks that call the role: in a loop, with handlers of their own, often, from far away."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support import small_app, venv
from tests.support.commands import ROOT
from tests.support.playbooks import GROUP, play

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.hosts import Host

APPS = ("one", "two")
COUNT = """\
#!/bin/sh
case " $* " in *" exec "*) echo "$*" >>"$CALLS" ;; esac
exec {docker} "$@"
"""


@pytest.fixture(scope="module")
def host(start_host: Callable[[str], Host]) -> Host:
    """Return a host."""
    return start_host("debian-13-hot")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of both apps' sources."""
    top = tmp_path_factory.mktemp("callers")
    for app in APPS:
        small_app.write(top / app, app)
    return top


def variables(source: Path, app: str) -> dict[str, Any]:
    """Return the variables of an app; ``app`` may be a template."""
    return {
        "flask_apache_app": app,
        "flask_apache_wsgi": "app:app",
        "flask_apache_requirements": [],
        "flask_apache_server_name": f"{app}.example.com",
        "flask_apache_source": f"{source}/{app}",
    }


@pytest.fixture(scope="module")
def looped(host: Host, source: Path) -> str:
    """Run a play that includes the role in a loop, and has a handler of a common name; return its output."""
    marks = "/root/handled"
    tasks = [
        {
            "ansible.builtin.include_role": {"name": "flask_apache"},
            "vars": variables(source, "{{ item }}"),
            "loop": list(APPS),
        },
        {"ansible.builtin.meta": "flush_handlers"},
        {"name": "Nobody has called it", "ansible.builtin.command": f"test ! -e {marks}", "changed_when": False},
        {"name": "Call it", "ansible.builtin.command": "true", "notify": "Reload Apache"},
        {"ansible.builtin.meta": "flush_handlers"},
        {"name": "It was called", "ansible.builtin.command": f"test -e {marks}", "changed_when": False},
    ]
    handler = {"name": "Reload Apache", "ansible.builtin.command": f"mkdir {marks}"}  # fails when called twice
    plays = [{"hosts": GROUP, "become": True, "gather_facts": False, "tasks": tasks, "handlers": [handler]}]
    return play(host, plays).output


def test_loop_over_item(looped: str, host: Host) -> None:
    """The role may be included in a loop with Ansible's default loop variable."""
    for app in APPS:
        assert host.http("/", f"{app}.example.com").json()["mark"] == app, looped


def test_handler_of_the_callers(looped: str) -> None:
    """A handler of the caller's own is neither replaced nor called by the role, and works for the caller."""
    assert looped.count("RUNNING HANDLER [Reload Apache]") == 1


@pytest.mark.usefixtures("looped")
def test_few_calls_to_the_host(host: Host, source: Path, tmp_path: Path) -> None:
    """A run that changes nothing asks the host twice at most, one that changes the code five times."""
    assert len(calls(host, tmp_path, variables(source, "one"))) <= 2
    small_app.write(source / "one", "changed")
    assert len(calls(host, tmp_path, variables(source, "one"))) <= 5
    assert host.http("/", "one.example.com").json()["mark"] == "changed"


def calls(host: Host, scratch: Path, declared: Mapping[str, Any]) -> list[str]:
    """Run the role, and return the commands that it ran on the host."""
    record, program = scratch / "calls", scratch / "bin/docker"
    program.parent.mkdir(exist_ok=True)
    program.write_text(COUNT.format(docker=shutil.which("docker")))
    program.chmod(0o755)
    record.write_text("")
    role = {"ansible.builtin.include_role": {"name": "flask_apache"}}
    plays = [{"hosts": GROUP, "become": True, "gather_facts": False, "vars": dict(declared), "tasks": [role]}]
    environment = {"CALLS": str(record), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    result = play(host, plays, None, env=environment)
    lines = record.read_text().splitlines()
    assert lines, result.output
    return lines


PLAYBOOKS = ("site.yml", *(f"playbooks/{name}.yml" for name in ("site", "rollback", "remove", "status", "maintenance")))
INVENTORIES = {  # {its content: more arguments}
    "": "",
    "flask_apache:\n": "",
    "others: {hosts: {web1: }}\n": "",
    "all: {children: {flask_apache: , others: {hosts: {web1: , web2: }}}}\n": "--limit=web1",
}


@pytest.mark.parametrize("content", [None, *INVENTORIES], ids=str)
def test_a_play_that_reaches_no_host_fails(tmp_path: Path, content: str | None) -> None:
    """Whatever keeps a playbook from its hosts: it ends with one sentence that names the inventory."""
    inventory = tmp_path / "hosts.yml"
    if content is not None:
        inventory.write_text(content)
    for playbook in PLAYBOOKS[:2] if content is None else PLAYBOOKS[:1]:
        limit = INVENTORIES.get(content or "", "")
        program = venv.PYTHON.with_name("ansible-playbook")
        command: list[str | Path] = [program, "-i", inventory, *limit.split(), ROOT / playbook]
        done = subprocess.run(command, cwd=ROOT, env=venv.environment(), check=False, capture_output=True, text=True)
        assert done.returncode != 0, done.stdout
        message = f"There is no host to work on: {inventory} must exist and have a host in the group flask_apache."
        assert message in " ".join(done.stdout.split()), done.stdout


def test_every_playbook_checks_its_hosts() -> None:
    """Each of them starts with the check."""
    for path in (ROOT / "playbooks").glob("*.yml"):
        plays = yaml.safe_load(path.read_text())
        assert path.name == "expect_hosts.yml" or "expect_hosts.yml" in plays[0].values()


def test_deploy_from_another_directory(tmp_path: Path) -> None:
    """`deploy` takes paths as the caller's shell does, and an app without variables is told where they belong."""
    (tmp_path / "hosts.yml").write_text("flask_apache: {hosts: {nowhere: {ansible_connection: local}}}\n")
    command: list[str | Path] = [ROOT / "deploy", "-i", "hosts.yml", "--list-hosts"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "nowhere" in done.stdout
