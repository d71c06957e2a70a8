"""The power goes at the moment at which a deploy says that it is done: the host boots and serves what was deployed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.hosts.test_damage import APP, NAME, declared, variables, write_source
from tests.support import hosts, images, steps
from tests.support.playbooks import apply_role
from tests.support.releases import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.hosts import Host

DISTRIBUTION = "debian-13-hot"
DISK_BYTES = 2**30  # of a sparse file
# The directories of the host that are on the disk; the rest of a container is no disk that could lose anything.
ON_DISK = "etc srv usr/local usr/share/bash-completion var"
FILL = f"for d in {ON_DISK}; do mkdir -p /$d /disk/$d && cp -a /$d/. /disk/$d/; done && sync"
BOOT = f"for d in {ON_DISK}; do mkdir -p /$d && mount --bind /disk/$d /$d; done && exec /lib/systemd/systemd"
# Ends all writes of a file system at once, its journal's included, as xfstests do it: what is in memory only is lost.
CUT = """
import fcntl, os, struct
EXT4_IOC_SHUTDOWN, WITHOUT_FLUSHING_THE_LOG = 0x8004587D, 2
fcntl.ioctl(os.open("/disk", os.O_RDONLY), EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING_THE_LOG))
"""


class Machine:
    """A host with a disk: a container, and an ext4 file system with default options on a loop device."""

    def __init__(self, volume: str) -> None:
        """Remember the volume, which is the disk."""
        self.volume = volume
        self.host: Host | None = None

    def boot(self) -> Host:
        """Start a new host with the disk, after the kernel has replayed its journal."""
        flags, command = [f"--volume={self.volume}:/disk"], ["sh", "-c", BOOT]
        self.host = hosts.start(DISTRIBUTION, sync=True, flags=flags, command=command)
        return self.host

    def end(self) -> None:
        """End the host that runs, if any."""
        if self.host is not None:
            self.host.remove()

    def cut(self) -> None:
        """Cut the power."""
        assert self.host is not None
        self.host.run(["python3", "-c", CUT])
        self.host.remove()


def run(*command: str) -> str:
    """Run a command on this machine, and return its output."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def machine(image: Callable[[str], str]) -> Iterator[Machine]:
    """Return a machine that has never been deployed to."""
    if os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        pytest.skip("a disk needs a loop device, and root's rights")
    tag = image(DISTRIBUTION) or images.ensure(DISTRIBUTION)
    volume = f"flask-apache-test-{uuid.uuid4().hex[:8]}"
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile(dir="/var/tmp", prefix=volume))
        file.truncate(DISK_BYTES)
        run("mkfs.ext4", "-q", file.name)
        device = run("losetup", "--find", "--show", file.name)
        stack.callback(run, "losetup", "--detach", device)
        run("docker", "volume", "create", "--opt=type=ext4", f"--opt=device={device}", volume)
        stack.callback(run, "docker", "volume", "rm", "--force", volume)
        run("docker", "run", "--rm", f"--volume={volume}:/disk", tag, "sh", "-c", FILL)
        found = Machine(volume)
        stack.callback(found.end)
        yield found


def test_a_deploy_survives_a_power_cut(machine: Machine, tmp_path: Path) -> None:
    """The first deploy, and one of new code: each is on the disk when it says that it is done."""
    source = tmp_path / "source"
    write_source(source, "first")
    host = machine.boot()
    apply_role(host, variables(source))
    machine.cut()
    host = machine.boot()
    expect_serving(host, "first")

    write_source(source, "second")
    assert steps.deploy(host, declared(source)) == ["prepare", "activate"]
    machine.cut()
    host = machine.boot()
    expect_serving(host, "second")
    assert steps.deploy(host, declared(source)) == []


def expect_serving(host: Host, marker: str) -> None:
    """See that the host serves a release that is whole."""

    def serves() -> bool:
        with contextlib.suppress(OSError):
            return host.http("/", NAME, timeout=5).status == 200
        return False

    assert wait_until(serves, 30), host.logs()
    assert host.http("/", NAME).json() == {"marker": marker}
    told = host.run(["flask-apachectl", "--app", APP, "doctor", "--thorough"], check=False)
    assert told.returncode == 0, told.stdout + told.stderr
