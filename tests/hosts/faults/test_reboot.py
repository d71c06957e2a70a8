"""A release serves again after a reboot."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.hosts.faults.shared import NAME
from tests.support.hosts import attach

if TYPE_CHECKING:
    from tests.support.hosts import Host

pytestmark = pytest.mark.last


def test_a_reboot_serves_again(hosts: list[Host]) -> None:
    """After a reboot the live release serves again by itself."""
    for host in hosts:
        before = host.http("/", NAME).text
        subprocess.run(["docker", "restart", "--time=0", host.name], check=True, capture_output=True)
        rebooted = attach(host.name, host.distribution)
        end = time.monotonic() + 60
        while rebooted.run("systemctl is-active apache2", check=False).returncode and time.monotonic() < end:
            time.sleep(0.2)
        assert rebooted.http("/", "faults.example.com").text == before
