"""An app is removed without a trace, and without a lost request of another app."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING

import pytest

from tests.hosts.background.shared import APP, DATA, NAME, NEIGHBOUR, PLACES
from tests.support import killing
from tests.support.load import Client, visitors
from tests.support.playbooks import play
from tests.support.releases import Deployed, reloads

if TYPE_CHECKING:
    from tests.support.hosts import FileState, Host

pytestmark = pytest.mark.last

# The engine is killed at the start of each of these steps of the removal, one after the other.
KILLED_AT = (
    "apache.proof.prove",
    "commands.apply.make",
    "apache.server.load",
    "serve.pools.end_all",
    "commands.removal._remove_files",
    "commands.removal._remove_users",
)


def traces(host: Host, name: str) -> list[str]:
    """Return the paths that contain an app's name, except its data."""
    found = host.run(f"find /etc /srv /usr/local /run /var -xdev -name '*{name}*'").stdout.splitlines()
    others = ("/var/lib/flask-apache/", "/var/log/journal/")
    return [path for path in found if not path.startswith(others) and NEIGHBOUR not in path and NAME not in path]


def test_removal(apps: list[Deployed]) -> None:
    """A removal that was killed at several tasks completes: only data is left, and the other app loses no request."""
    hosts = [app.host for app in apps]
    declared = {"flask_apache_app": APP}
    before = [host.snapshot(("/etc", "/srv")) for host in hosts]
    plan = play(hosts, "playbooks/remove.yml", declared, "--check", "--diff")
    assert plan.changed_tasks == ["flask_apache : remove | Remove the app from the host"]
    assert [host.snapshot(("/etc", "/srv")) for host in hosts] == before
    for host in hosts:
        assert traces(host, "shop") != []
    pid = [host.pid_of_apache() for host in hosts]
    reloaded = [reloads(host) for host in hosts]
    clients = [Client("single", 5, 0.1, "/beside/")]  # a reload closes keep-alive connections
    with visitors(hosts[0].ip, NAME, clients) as one, visitors(hosts[1].ip, NAME, clients) as two:
        for step in KILLED_AT:
            request = json.dumps({"user": APP, "data": False})
            for host in hosts:
                killed = killing.run(
                    host, ["--app", APP, "remove"], kill_at=1, steps=[step], settings={}, stdin=request
                )
                assert killed.returncode == 137, (step, killed)
        play(hosts, "playbooks/remove.yml", declared)
    for host, crowd in zip(hosts, (one, two), strict=True):
        assert len(crowd.answers) > 200
        assert crowd.failed_beside_a_reload(host) == []
    assert [reloads(host) for host in hosts] == [count + 1 for count in reloaded]
    assert [host.pid_of_apache() for host in hosts] == pid
    assert play(hosts, "playbooks/remove.yml", declared).changed == 0
    for host in hosts:
        assert traces(host, "shop") == []
        assert host.run(["stat", "-c", "%U", DATA, f"{DATA}/scheduler"]).stdout == "shop\nshop\n"
        assert host.run("pgrep -u shop", check=False).stdout == ""
        assert "flask-apache-shop." not in host.run("systemctl list-units --all --plain").stdout
        assert host.http("/?of-no-app", NAME).status == 404
        with socket.create_connection((host.ip, 80), timeout=30) as connection:
            connection.sendall(b"MALFORMED\r\n\r\n")
            assert b"400" in connection.recv(1000)
        log = host.read("/var/log/apache2/other_vhosts_access.log")
        assert '"GET /?of-no-app HTTP/1.1" 404' in log
        assert '"MALFORMED' in log
        assert "/beside/" not in log
        assert host.http("/beside/", NAME).status == host.http("/beside/", "unknown.example.com").status == 200
        other = Deployed(host, NEIGHBOUR).ctl("doctor")
        assert not other["failed"]


def test_removal_of_the_last_app(apps: list[Deployed], before: dict[str, dict[str, FileState]]) -> None:
    """With its data removed too, a host is as it was before the role, except for packages and Apache's own modules."""
    hosts = [app.host for app in apps]
    for name in (NEIGHBOUR, APP):
        play(hosts, "playbooks/remove.yml", {"flask_apache_app": name, "flask_apache_remove_data": True})
    for host in hosts:
        now, was = host.snapshot(PLACES), before[host.name]
        ours = (
            r"/etc/apache2/mods-enabled(/(headers|rewrite|unique_id|filter|deflate|brotli)\.load)?$",
            r"/var/lib/systemd",
            r"/var/log",
            r".*(-|-old)$",
        )
        changed = [path for path in sorted({*now, *was}) if content(now, path) != content(was, path)]
        assert [path for path in changed if not any(re.match(pattern, path) for pattern in ours)] == []
        assert [path for path in now if "flask" in path] == []
        assert host.http("/").status == 200  # the distribution's own page again
    assert play(hosts, "playbooks/remove.yml", {"flask_apache_app": APP}).changed == 0


def content(states: dict[str, FileState], path: str) -> tuple[str, ...]:
    """Return the parts of a path's state that do not change by themselves."""
    state = states.get(path)
    return (state.mode, state.owner, state.group, state.content) if state else ()
