"""A release whose static files are missing does not go live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.hosts.serving.shared import ask
from tests.support.playbooks import apply_role
from tests.support.releases import Deployed

if TYPE_CHECKING:
    from tests.support.hosts import Host


pytestmark = pytest.mark.last


def test_missing_static_files_stop_a_release(pair: list[Host], variables: dict[str, Any]) -> None:
    before = [Deployed(host, "web").live() for host in pair]
    missing = {**variables, "flask_apache_static": [{"url": "/static", "path": "dist"}]}
    refused = apply_role(pair, missing, check=False)
    assert "got dist, which is not in release" in " ".join(refused.stdout.split())
    assert [Deployed(host, "web").live() for host in pair] == before
    assert [ask(host, "/static/style.css").status for host in pair] == [200, 200]
