"""Fixtures of the engine's tests: an app whose directories are the test's, and a host that runs it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from flask_apachectl import paths
from flask_apachectl.build import preparation

from tests.unit.flask_apachectl.model import Host
from tests.unit.flask_apachectl.samples import shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask_apachectl.app import App


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Return an app whose directories are the test's."""
    for name in ("ETC", "SRV", "VAR_LIB", "CACHE"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
        (tmp_path / name.lower() / "shop").mkdir(parents=True)
    return shop()


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return a list that gets the owner and group of each written file, instead of the file."""
    given_to: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _file, owner, group: given_to.append((owner, group)))
    return given_to


@pytest.fixture
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """Return a host with a running Apache and nothing deployed; the parameter is what the app declares besides."""
    made = Host(tmp_path / "host", **getattr(request, "param", {}))
    preparation.make_slots(made.app, os.getgid())
    made.apache.start()
    yield made
    made.close()
