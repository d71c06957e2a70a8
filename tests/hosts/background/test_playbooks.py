"""The operator's playbooks: status and maintenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hosts.background.shared import APP, NAME
from tests.support.playbooks import play

if TYPE_CHECKING:
    from tests.support.releases import Deployed

pytestmark = pytest.mark.last


def test_the_operators_playbooks(apps: list[Deployed]) -> None:
    """status.yml shows what is live, and fails if it is down; maintenance.yml closes the app, and changes it once."""
    hosts = [app.host for app in apps]
    status = play(hosts, "playbooks/status.yml", {"flask_apache_app": APP})
    assert status.changed == 0
    for app in apps:
        assert f"shop serves {app.live()} at http://{NAME}/" in status.stdout
    for state, code, changes in (("on", 503, 1), ("on", 503, 0), ("off", 200, 1)):
        done = play(hosts, "playbooks/maintenance.yml", {"flask_apache_app": APP, "maintenance": state})
        assert [host.changed for host in done.recap.values()] == [changes, changes]
        assert [host.http("/", NAME).status for host in hosts] == [code, code]
        assert [host.http("/beside/", NAME).status for host in hosts] == [200, 200]
    assert play(hosts, "playbooks/status.yml", {"flask_apache_app": "nobody"}, check=False).rc != 0
    hosts[0].run("systemctl stop apache2")
    down = play(hosts, "playbooks/status.yml", {"flask_apache_app": APP}, check=False)
    hosts[0].run("systemctl start apache2")
    assert [recap.failed for recap in down.recap.values()] == [1, 0]
    assert f"shop is DOWN at http://{NAME}/" in down.stdout
