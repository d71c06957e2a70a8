"""The engine is killed at each step of a removal: the next run completes it, and the other app serves."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from tests.hosts.faults.shared import (
    ENDING,
    engine,
    report,
    short,
)
from tests.support.parallel import each
from tests.support.playbooks import play

if TYPE_CHECKING:
    from tests.support.hosts import Host


def test_the_engine_killed_at_each_step_of_a_removal(hosts: list[Host]) -> None:
    """The next run ends the remaining processes and completes the removal; the other app keeps serving."""

    def matrix(host: Host) -> list[str]:
        steps: list[str] = []
        request = json.dumps({"user": "neighbour", "data": True})
        while True:
            host.run("runuser -u neighbour -- sleep 600 >/dev/null 2>&1 &")
            killed = engine(host, "remove", kill_at=len(steps) + 1, steps=ENDING, app="neighbour", stdin=request)
            if killed.returncode == 0:
                return steps
            assert killed.returncode in {137, -signal.SIGKILL}, killed.stderr
            steps += killed.stdout.split()

    steps = report(hosts, "removal", each(hosts, matrix))
    assert set(steps) == short(*ENDING)
    for host in hosts:
        assert host.run(["pgrep", "-u", "neighbour"], check=False).stdout == ""
    play(hosts, "playbooks/remove.yml", {"flask_apache_app": "neighbour", "flask_apache_remove_data": True})
    assert play(hosts, "playbooks/remove.yml", {"flask_apache_app": "neighbour"}).changed == 0
    for host in hosts:
        assert host.run("ls -d /etc/flask-apache/neighbour /srv/flask-apache/neighbour", check=False).stdout == ""
