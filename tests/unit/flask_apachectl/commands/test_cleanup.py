"""Old releases are removed, also when the disk is full."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flask_apachectl.host import report
from tests.unit.flask_apachectl.model import SOURCES, Host

if TYPE_CHECKING:
    import pytest


def test_releases_can_be_removed_when_the_disk_is_full(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is not even room for the name of the lock's holder."""
    for source in SOURCES[:3]:
        host.deploy(source)
    with monkeypatch.context() as patch:
        patch.setattr(report, "operator", lambda: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
        assert host.command("prune", keep=0)["changed"] is False
        old = host.prepare(SOURCES[3])
        assert host.command("prune", keep=0)["removed"] == [old]
