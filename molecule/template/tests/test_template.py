"""What is different in the container of the template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.hosts import attach

if TYPE_CHECKING:
    from testinfra.host import Host as Inside


def test_nothing_here_is_started_by_systemd(host: Inside) -> None:
    assert not host.file("/run/systemd/system").exists


def test_mod_wsgi_is_from_pypi(host: Inside) -> None:
    info = attach(host.backend.get_hostname()).http("/flask-apache/api/info").json()
    assert int(info["mod_wsgi"].split(".")[0]) >= 6
    assert not host.package("libapache2-mod-wsgi-py3").is_installed
