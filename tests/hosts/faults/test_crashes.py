"""The engine or Ansible is killed at each step: the live release still answers, and the next run succeeds."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hosts.faults.shared import (
    APP,
    AS_OFTEN_AS_NEEDED,
    NAME,
    STEPS,
    assert_no_debris,
    change,
    ctl,
    engine,
    report,
    ship,
    short,
    variables,
)
from tests.support.parallel import each
from tests.support.playbooks import GROUP, apply_role, play_until

if TYPE_CHECKING:
    from tests.support.hosts import Host


def shares(hosts: list[Host]) -> list[tuple[Host, int]]:
    """Return each host with the first step at which it is killed; the hosts take turns and together cover all."""
    return [(host, 1 + number) for number, host in enumerate(hosts)]


def test_the_engine_killed_at_each_step_of_a_deploy(hosts: list[Host], source: Path) -> None:
    """After every kill the app still answers, the same command again succeeds, and no temporary file is left."""

    def matrix(share: tuple[Host, int]) -> list[str]:
        host, step = share
        steps: list[str] = []
        while True:
            mine = Path(shutil.copytree(source, tempfile.mkdtemp() + "/app"))
            change(mine, f"{host.name} {len(steps)}")
            identity = ship(host, mine)
            if steps:
                killed = engine(host, "deploy", identity, kill_at=step)
                step += len(hosts)
            else:
                killed = engine(host, "deploy", identity, kill_at=1, steps=AS_OFTEN_AS_NEEDED)
            if killed.returncode == 0:
                return steps
            assert killed.returncode in {137, -signal.SIGKILL}, killed.stderr
            steps += killed.stdout.split()
            again = engine(host, "deploy", identity)
            assert again.returncode == 0, f"after a kill at {killed.stdout.strip()}: {again.stderr}"
            assert host.http("/", NAME).text == f"marker {host.name} {len(steps) - 1}"
            assert_no_debris(host)

    steps = report(hosts, "deploy", each(shares(hosts), matrix))
    assert len(steps) > 30
    assert set(steps) == short(*STEPS, *AS_OFTEN_AS_NEEDED), sorted(steps)


def test_the_engine_killed_at_each_step_of_a_rollback(hosts: list[Host]) -> None:
    """The live release answers, and the next rollback succeeds."""

    def matrix(share: tuple[Host, int]) -> list[str]:
        host, step = share
        steps: list[str] = []
        while True:
            target = next(row["release"] for row in ctl(host, "releases")["releases"] if row["state"] == "previous")
            killed = engine(host, "rollback", target, kill_at=step)
            if killed.returncode == 0:
                return steps
            steps += killed.stdout.split()
            again = json.loads(engine(host, "--json", "rollback", target).stdout)
            assert not again.get("failed"), again
            assert_no_debris(host)
            step += len(hosts)

    steps = report(hosts, "rollback", each(shares(hosts), matrix))
    assert {"write", "start", "probe", "switch", "confirm", "record", "prune"} <= set(steps)


def test_the_engine_killed_at_each_step_of_a_prune(hosts: list[Host]) -> None:
    """Kept releases stay complete, the next run removes the rest, and a partly removed release is never listed."""

    def matrix(share: tuple[Host, int]) -> list[str]:
        host, step = share
        steps: list[str] = []
        ctl(host, "prune", "--keep", "1")
        stay = {row["release"] for row in ctl(host, "releases")["releases"] if row["state"] in ("live", "previous")}
        while True:
            live = ctl(host, "status")["release"]
            for copy in ("old1", "old2"):  # each with its own virtual environment
                venv_ = f"{APP}/venvs/{copy}"
                host.run(
                    f"cp -a {APP}/releases/{live} {APP}/releases/{copy} && cp -a {APP}/releases/{live}/venv/. {venv_} "
                    f"&& ln -sfn {venv_} {APP}/releases/{copy}/venv"
                )
            killed = engine(host, "prune", "--keep", "1", kill_at=step)
            if killed.returncode != 0:
                assert killed.returncode in {137, -signal.SIGKILL}, killed.stderr
                steps += killed.stdout.split()
                kept = {row["release"] for row in ctl(host, "releases")["releases"]}
                assert stay <= kept <= {*stay, "old1", "old2"}
                engine(host, "prune", "--keep", "1")
            assert {row["release"] for row in ctl(host, "releases")["releases"]} == stay
            assert host.run(f"ls -A {APP}/releases").stdout.split() == sorted(stay)
            assert len(host.run(f"ls -A {APP}/venvs").stdout.split()) == 1
            assert_no_debris(host)
            if killed.returncode == 0:
                return steps
            step += len(hosts)

    steps = report(hosts, "prune", each(shares(hosts), matrix))
    assert (steps.count("prune"), steps.count("remove")) == (1, 8)  # two releases, each with its own environment


def test_ansible_killed_at_each_task(hosts: list[Host], source: Path) -> None:
    """Every run gets past the task at which the one before was killed; the last succeeds, the next changes nothing."""
    change(source, "killed")
    playbook = [{"hosts": GROUP, "become": True, "gather_facts": False, "roles": ["flask_apache"]}]

    def matrix(share: tuple[Host, int]) -> list[str]:
        host, task = share
        tasks: list[str] = []
        while play_until(host, playbook, variables(source), task):
            tasks.append(str(task))
            task += len(hosts)
        return tasks

    tasks = sorted(map(int, report(hosts, "tasks of the role", each(shares(hosts), matrix))))
    assert tasks == list(range(1, len(tasks) + 1))
    assert len(tasks) > 12
    for host in hosts:
        assert host.http("/", NAME).text == "marker killed"
    again = apply_role(hosts, variables(source))
    assert again.changed == 0, again.changed_tasks
    for host in hosts:
        assert_no_debris(host)
