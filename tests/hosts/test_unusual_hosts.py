"""Hosts that are no fresh virtual machines: links and mounts on the way to all files, another user for Apache."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import small_app
from tests.support.parallel import each
from tests.support.steps import Run, StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host

NAME = "odd.example.com"
# What is independent is done to each host at once.
TRAITS = {
    "/srv is a link to another disk": "rm -rf /srv && mkdir -p /disk/second/srv && ln -s /disk/second/srv /srv",
    "/etc/flask-apache is a link": "mkdir -p /disk/conf && ln -s /disk/conf /etc/flask-apache",
    "/var/cache/flask-apache is a link": "mkdir -p /disk/deep/cache && ln -s /disk/deep/cache /var/cache/flask-apache",
    "/var/lib/flask-apache is a mount": "mkdir /var/lib/flask-apache && mount -t tmpfs none /var/lib/flask-apache",
    "/var/log is a link": "cp -a /var/log /disk/log && rm -rf /var/log && ln -s /disk/log /var/log",
    "/var/log/apache2 is a link": "mv /disk/log/apache2 /disk/apache-logs && ln -s /disk/apache-logs /disk/log/apache2",
    "programs cannot run in /tmp": "mount -t tmpfs -o noexec,mode=1777 none /tmp",
    "the loopback has no IPv4 address": "ip address delete 127.0.0.1/8 dev lo",
    "Apache runs as another user": (
        "useradd --system web && sed -i 's/=www-data/=web/' /etc/apache2/envvars && systemctl restart apache2"
    ),
    "new users get no group of their own": "sed -i 's/^USERGROUPS_ENAB.*/USERGROUPS_ENAB no/' /etc/login.defs",
}
# Done between two releases: those that are there lie in a lower layer, whose directories cannot be renamed. What runs
# in a mount namespace of its own is started again, as at a boot.
OVERLAY = """
set -e
mkdir /disk/upper && mount -t tmpfs none /disk/upper && cd /disk/upper && mkdir new work
mount -t overlay -o lowerdir=/disk/second/srv,upperdir=/disk/upper/new,workdir=/disk/upper/work none /disk/second/srv
systemctl restart apache2 'flask-apache-*.service'
"""
EVIL = "a 'b' \"c\" \\d \\\\ $HOME ${HOME} %h %% {{ x }} # ; | ü \U0001f600 -"
DECLARED: dict[str, Any] = {
    "app": "odd",
    "wsgi": "app:app",
    "server_name": NAME,
    "requirements": [],
    "default_server": False,
    "environment": {"RUN": f"{EVIL}\n\tsecond line"},
    "data_directories": [{"name": "uploads", "link": "files"}, "instance"],
    "hooks": [{"at": "before_start", "run": ["sh", "-c", 'printf %s "$1" >"$FLASK_APACHE_DATA/hook"', "-", EVIL]}],
    "workers": [
        {
            "name": "evil",
            "command": ["sh", "-c", 'printf %s "$1" >"$FLASK_APACHE_DATA/worker"; exec sleep 1000', "-", EVIL],
        }
    ],
    "directives": [r"""Header always set X-Evil "a 'b' \"c\" %% $HOME # ; |" """.strip()],
    "health_body": '"run": "a \'b\' \\"c\\"',
}


@pytest.fixture(scope="module")
def hosts(start_host: Callable[..., Host]) -> list[Host]:
    """Return a host of each Debian release with all traits."""
    flags = ["--cap-add=NET_ADMIN", "--sysctl=net.ipv6.conf.all.disable_ipv6=0"]
    found = each(["debian-12-hot", "debian-13-hot"], functools.partial(start_host, flags=flags))
    for host in found:
        for trait, command in TRAITS.items():
            done = host.run(command, check=False)
            assert done.returncode == 0, f"{trait}: {done.stderr}"
    return found


def deploy(host: Host, source: Path) -> str:
    """Deploy a source; return the release."""
    return str(Run(host, {**DECLARED, "source": str(source)}).deploy()["release"])


def mark(host: Host) -> str:
    """Return which release a visitor gets."""
    return str(host.http("/", NAME).json()["mark"])


def test_releases_on_an_unusual_host(hosts: list[Host], tmp_path: Path) -> None:
    """Releases go live, a broken one does not, a rollback works, strings arrive, and nothing is left at the end."""
    first, second, third, broken = (
        small_app.write(tmp_path / name, name) for name in ("first", "second", "third", "broken")
    )
    (broken / "app.py").write_text("raise SystemExit('broken')\n")

    def check(host: Host) -> None:
        assert deploy(host, first) == Run(host, {**DECLARED, "source": str(first)}).deploy()["release"]
        assert mark(host) == "first"
        with pytest.raises(StepError):
            deploy(host, broken)
        assert mark(host) == "first"
        host.run(OVERLAY)
        for source in (second, third, second):
            deploy(host, source)
            assert mark(host) == source.name
        host.run("umask 077; LC_ALL=de_DE flask-apachectl rollback")
        assert mark(host) == "third"
        host.run("flask-apachectl prune --keep 1")
        assert len(host.run("ls -A /srv/flask-apache/odd/releases").stdout.split()) == 2
        assert host.http("/", NAME).json()["run"] == DECLARED["environment"]["RUN"]
        assert host.http("/", NAME).headers["X-Evil"] == "a 'b' \"c\" % $HOME # ; |"
        for name in ("hook", "worker"):
            assert host.run(["cat", f"/var/lib/flask-apache/odd/{name}"]).stdout == EVIL
        doctor = host.run("flask-apachectl --json doctor", check=False)
        assert json.loads(doctor.stdout)["failed"] is False, doctor.stdout
        assert host.run("stat -Lc %G /etc/flask-apache/odd/live.map").stdout.strip() == "web"
        removal = Run(host, {**DECLARED, "source": str(first), "remove_data": True})
        removal.step("remove")
        assert host.run("getent group odd build_odd", check=False).stdout == ""
        assert host.run("ls -A /disk/second/srv /disk/conf /var/lib/flask-apache").stdout.split() == [
            "/disk/conf:",
            "/disk/second/srv:",
            "/var/lib/flask-apache:",
        ]

    each(hosts, check)
