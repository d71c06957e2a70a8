"""Two hosts with an app that is disturbed while visitors check every answer.

The files run in alphabetical order: `test_deploys_at_once.py` leaves an archive that `test_crashes.py` must not find,
and `test_interrupted_removal.py` removes the other app.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hosts.faults.shared import asked, change, variables
from tests.support.fixtures import host_starter
from tests.support.parallel import each
from tests.support.playbooks import apply_role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.hosts import Host
    from tests.support.playbooks import Play


start_host = host_starter("package")


# As the first upgrade of a new machine does: until a run waits for it, and for a while after that.
HOLD_THE_LOCK_OF_PACKAGES = """
import fcntl, subprocess, time
with open("/var/lib/dpkg/lock-frontend", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    end = time.monotonic() + 120
    while subprocess.call(["pgrep", "-f", "await-package[s]"]) and time.monotonic() < end:
        time.sleep(0.2)
    time.sleep(14)
"""


@pytest.fixture(scope="package")
def source() -> Iterator[Path]:
    """Return the directory of a single-file app."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "requirements.txt").write_text("flask\n")
        change(Path(scratch), "first")
        yield Path(scratch)


@pytest.fixture(scope="package")
def first_plays(start_host: Callable[[str], Host], source: Path) -> tuple[list[Host], list[Play]]:
    """Deploy two apps with one server name at the same time, to two hosts that lack some of the packages.

    There, too, new users get no group of their own.
    """
    started = [start_host("debian-12-hot"), start_host("debian-13-hot")]
    for host in started:
        host.run("a2enmod --quiet ssl && dpkg --remove --force-depends python3-venv")
        host.run("sed -i 's/^USERGROUPS_ENAB.*/USERGROUPS_ENAB no/' /etc/login.defs")
        host.run(["systemd-run", "--quiet", "python3", "-c", HOLD_THE_LOCK_OF_PACKAGES])
    both = [variables(source), variables(source, app="neighbour", mount="/neighbour")]
    return started, each(both, lambda declared: apply_role(started, declared, check=False))


@pytest.fixture(scope="package")
def hosts(first_plays: tuple[list[Host], list[Play]]) -> list[Host]:
    """Return two hosts that serve the app and another app beside it."""
    started, plays = first_plays
    for play_ in plays:
        assert play_.rc == 0, play_.output[-6000:]
    return started


@pytest.fixture(autouse=True)
def steady_visitors(request: pytest.FixtureRequest, hosts: list[Host]) -> Iterator[None]:
    """Send requests to both hosts during each test, except the reboot."""
    with asked([] if "reboot" in request.node.name else hosts):
        yield
