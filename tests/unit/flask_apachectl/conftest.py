"""Fixtures of the engine's tests: an app in temporary directories, and a host that runs it."""

from __future__ import annotations

import contextlib
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import paths
from flask_apachectl.apache import others
from flask_apachectl.build import preparation
from flask_apachectl.host import desired, facts
from tests.unit.flask_apachectl.model import Host
from tests.unit.flask_apachectl.samples import on_another_disk, shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask_apachectl.app import App


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Return an app in temporary directories."""
    on_another_disk(tmp_path, "etc", "srv", "var_lib", "cache")
    for name in ("ETC", "SRV", "VAR_LIB", "CACHE"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
        (tmp_path / name.lower() / "shop").mkdir(parents=True)
    return shop()


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file be root's, whoever runs the tests, and nothing wait for a disk."""
    for name in ("chown", "fchown", "lchown", "fsync"):
        monkeypatch.setattr(os, name, lambda *_, **__: None)
    monkeypatch.setattr(facts, "apache_group", lambda: 0)
    monkeypatch.setattr(desired, "_user", lambda _uid: "root")
    monkeypatch.setattr(desired, "_group", lambda _gid: "root")
    monkeypatch.setattr(desired, "pwd", SimpleNamespace(getpwnam=lambda _name: SimpleNamespace(pw_uid=0)))
    monkeypatch.setattr(desired, "grp", SimpleNamespace(getgrnam=lambda _name: SimpleNamespace(gr_gid=0)))


@pytest.fixture
def apache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return Apache's configuration on a host, as Debian lays it out; the host has no packages."""
    path = tmp_path / "apache2"
    for kind in ("conf", "sites", "mods"):
        for place in ("available", "enabled"):
            (path / f"{kind}-{place}").mkdir(parents=True)
    (path / "ports.conf").write_text("Listen 80\n")
    monkeypatch.setattr(paths, "APACHE", path)
    monkeypatch.setattr(paths, "ETC", tmp_path / "etc")
    (tmp_path / "etc/vhosts").mkdir(parents=True)
    monkeypatch.setattr(others, "PAGE", tmp_path / "html")
    monkeypatch.setattr(others, "everything", lambda: others.BARE)
    monkeypatch.setattr(others, "forget", lambda: None)
    monkeypatch.setattr(facts, "output", lambda *_command: "")
    return path


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Record the owner and group of each written file, without changing them."""
    given_to: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _file, owner, group: given_to.append((owner, group)))
    return given_to


@pytest.fixture
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """Return a host with a running Apache and nothing deployed; the parameter changes the app's declaration."""
    made = Host(tmp_path / "host", **getattr(request, "param", {}))
    with contextlib.closing(made):
        preparation.make_slots(made.app, os.getgid())
        made.apache.start()
        yield made
