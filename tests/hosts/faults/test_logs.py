"""Log rotation."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.hosts.faults.shared import NAME
from tests.support.parallel import each
from tests.support.releases import apache_process, reloads

if TYPE_CHECKING:
    from tests.support.hosts import Host


def test_rotation_reloads_nothing(hosts: list[Host]) -> None:
    """A request of 10 seconds is answered although logs are rotated meanwhile, and Apache does not reload."""
    for host in hosts:
        host.run("apt-get update -q && apt-get install -q --yes --no-install-recommends logrotate faketime")
    before = [(reloads(host), apache_process(host)) for host in hosts]

    def rotate(host: Host) -> int:
        with ThreadPoolExecutor() as executor:
            answer = executor.submit(host.http, "/slow?seconds=10", NAME)
            time.sleep(1)
            size = int(host.run("stat --format=%s /var/log/apache2/error.log").stdout)
            host.run("logrotate --force /etc/logrotate.d/apache2")
            assert size > 0
            assert host.read("/var/log/apache2/error.log") == ""
            assert "resuming normal operations" in host.read("/var/log/apache2/error.log.1")
            return answer.result().status

    assert each(hosts, rotate) == [200] * len(hosts)
    after = [(reloads(host), apache_process(host)) for host in hosts]
    assert [process for _, process in after] == [process for _, process in before]
    assert [count for count, _ in after] == [0] * len(hosts)  # since the log was emptied


def test_old_logs_go(hosts: list[Host]) -> None:
    """The app's daily log files are removed when they are older than the declared number of days, not sooner."""
    for host in hosts:
        old = "/var/log/flask-apache/faults/access.2001-01-01.log"
        host.write(old, "")
        clean = "systemd-tmpfiles --clean --prefix=/var/log/flask-apache"
        host.run(f"NO_FAKE_STAT=1 faketime -f +13d {clean}")
        assert host.exists(old)
        host.run(f"NO_FAKE_STAT=1 faketime -f +15d {clean}")
        assert not host.exists(old)
