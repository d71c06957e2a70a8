"""A deploy on a full disk fails with a clear message, and the live release stays."""

from __future__ import annotations

import contextlib
import functools
import os
from typing import TYPE_CHECKING

import pytest

from tests.hosts.faults.shared import APP, NAME, asked, assert_no_debris, change, ctl, engine, ship, variables
from tests.support.parallel import each
from tests.support.playbooks import apply_role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.hosts import Host

COUNT = """
import os, sys
paths = [os.path.join(top, name) for top, below, files in os.walk(sys.argv[1]) for name in below + files]
sizes = [os.path.getsize(path) for path in paths if os.path.isfile(path) and not os.path.islink(path)]
print(sum(-(-size // 4096) for size in sizes), len(paths) + 1)
"""


@contextlib.contextmanager
def full(host: Host, path: str, kind: str, room: int) -> Iterator[None]:
    """Mount a file system on a directory that leaves ``room`` free pages or inodes beside its content."""
    kept = f"/var/tmp/kept{path.replace('/', '-')}"
    pages, inodes = map(int, host.run(["python3", "-c", COUNT, path]).stdout.split())
    size = f"size={4 * max(1, pages + room)}k" if kind == "room" else f"nr_inodes={inodes + room}"
    host.run(f"cp -a {path} {kept} && mount -t tmpfs -o mode=0755,{size} tmpfs {path} && cp -a {kept}/. {path}/")
    try:
        yield
    finally:
        host.run(f"umount --lazy {path} && rm -rf {kept}")


@pytest.fixture(scope="module")
def full_disks(hosts: list[Host], source: Path) -> dict[str, list[str]]:
    """Deploy without free space or inodes for the copy, the build or the switch. Return the messages."""
    said: dict[str, list[str]] = {}

    def entries(*names: str) -> list[str]:
        return [host.run(f"cd {APP} && ls -A {' '.join(names)}").stdout for host in hosts]

    def deploy(host: Host, path: str, room: int) -> str:
        with full(host, path, kind, room):
            done = engine(host, "deploy", identities[host.name])
            assert done.returncode == 1
            return done.stderr

    with asked(hosts):
        for kind, more in (("room", "click"), ("inodes", "blinker")):
            live, built, shipped = each(hosts, live_release), entries("releases", "venvs"), entries("incoming")
            change(source, f"no {kind}")
            (source / "requirements.txt").write_text(f"flask\n{more}\n")  # another virtual environment
            (source / "large").write_bytes(os.urandom(500_000))
            with contextlib.ExitStack() as stack:
                for host in hosts:
                    stack.enter_context(full(host, f"{APP}/incoming", kind, 0))
                said[f"fetch, {kind}"] = [apply_role(hosts, variables(source), check=False).output]
            assert entries("incoming") == shipped
            identities = {host.name: ship(host, source) for host in hosts}
            for step, path, room in (
                ("stage", f"{APP}/releases", 3),
                ("build", f"{APP}/venvs", 100),
                ("switch", "/etc/flask-apache/faults", 0),
            ):
                said[f"{step}, {kind}"] = each(hosts, functools.partial(deploy, path=path, room=room))
                assert step == "switch" or entries("releases", "venvs") == built
            assert each(hosts, live_release) == live
    return said


def live_release(host: Host) -> str:
    """Return the live release."""
    return str(ctl(host, "status")["release"])


@pytest.mark.parametrize("kind", ["room", "inodes"])
@pytest.mark.parametrize("step", ["fetch", "stage", "build", "switch"])
def test_a_full_disk(full_disks: dict[str, list[str]], step: str, kind: str) -> None:
    """The message says so, the live release stays, and partial work is removed."""
    for said in full_disks[f"{step}, {kind}"]:
        assert "No space left on device" in said
        if step != "fetch":
            assert "Still serving" in said
            assert "Traceback" not in said


def test_after_a_full_disk(full_disks: dict[str, list[str]], hosts: list[Host], source: Path) -> None:
    """With free space again the next run succeeds, and leaves no temporary file, not even an old archive."""
    assert len(full_disks) == 8
    for host in hosts:
        host.run(f"touch --date='2 hours ago' {APP}/incoming/*")
    (source / "large").unlink()
    assert [host.http("/", NAME).text for host in hosts] != ["marker no inodes"] * len(hosts)
    apply_role(hosts, variables(source))
    for host in hosts:
        assert host.http("/", NAME).text == "marker no inodes"
        assert_no_debris(host)
