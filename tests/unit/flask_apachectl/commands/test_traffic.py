"""Maintenance and drain."""

from __future__ import annotations

from flask_apachectl import routing
from flask_apachectl.routing import Routes
from tests.unit.flask_apachectl.model import SOURCES, Host


def test_maintenance_and_drain_outlast_a_deploy(host: Host) -> None:
    host.deploy(SOURCES[0])
    bypass = host.command("maintenance", state="on")["bypass"]
    host.command("drain", state="on")
    host.deploy(SOURCES[1])
    assert host.command("maintenance", state="on") == {
        "changed": False,
        "maintenance": True,
        "bypass": bypass,
        "msg": f"http://www.example.com/ is closed; to see it yourself: {bypass}",
    }
    assert host.command("drain", state="on")["changed"] is False
    assert host.command("maintenance", state="off")["changed"] is True
    assert routing.read(host.app) == Routes(live=routing.live_slot(host.app) or "", drain=True, ready="/")
