"""Deploys at the same time: of two apps, and of one."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hosts.faults.shared import NAME, change, variables
from tests.support.parallel import each
from tests.support.playbooks import apply_role

if TYPE_CHECKING:
    from tests.support.hosts import Host
    from tests.support.playbooks import Play


def test_two_apps_at_once(first_plays: tuple[list[Host], list[Play]], hosts: list[Host]) -> None:
    """Two first deploys at the same time share Apache, apt's package lists and a virtual host; both succeed.

    They wait for a program that uses apt, and say for which.
    """
    said = "".join(play_.output for play_ in first_plays[1])
    for host in hosts:
        assert re.search(rf"{host.name}: wait    for python3 \(pid \d+\), which holds /var/lib/dpkg/lock", said), said
    assert [play_.changed > 6 for play_ in first_plays[1]] == [True, True]
    for host in hosts:
        assert [host.http(path, NAME).status for path in ("/", "/neighbour/")] == [200, 200]
        assert host.run(["dpkg", "--verify", "python3-venv"]).stdout == ""


def test_two_deploys_of_one_app_at_once(hosts: list[Host], source: Path) -> None:
    """The second one fails and says who has held the lock since when; if it may wait, both succeed."""
    for wait, name in ((0, "refused"), (90, "waited")):
        sources = [Path(shutil.copytree(source, tempfile.mkdtemp() + "/app")) for _ in range(2)]
        for number, path in enumerate(sources):
            change(path, f"{name} {number}", import_seconds=4)
        declared = [variables(path, lock_wait=wait) for path in sources]
        plays = each(declared, lambda each_: apply_role(hosts, each_, check=False))
        for host in hosts:
            failed = [play_.recap[host.name].failed for play_ in plays]
            assert sorted(failed) == ([0, 0] if wait else [0, 1]), plays[0].output[-3000:] + plays[1].output[-3000:]
            won = f"marker {name} {failed.index(0)}"
            assert host.http("/", NAME).text in ({f"marker {name} 0", f"marker {name} 1"} if wait else {won})
        if not wait:
            said = "".join(play_.output for play_ in plays)
            assert re.search(
                r"faults is being changed by root \(pid \d+\) since 20\S+Z(, at the step `[^`]+`)?: try again later",
                said,
            )
