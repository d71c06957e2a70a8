"""Deploying a source that is on the host again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.flask_apachectl.model import SOURCES, Host, Meanwhile

if TYPE_CHECKING:
    import pytest


def test_who_waited_for_a_deploy_does_not_undo_it(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """`flask-apachectl deploy` deploys the source that is live when it gets the lock."""
    host.deploy(SOURCES[0])
    Meanwhile(host, monkeypatch, lambda: host.deploy(SOURCES[1]))
    host.command("deploy")
    assert (host.live() or "").startswith(SOURCES[1])
