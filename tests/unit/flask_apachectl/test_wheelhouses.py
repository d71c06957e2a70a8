"""The wheels that the role has shipped: whole, or shipped again."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import wheelhouses
from flask_apachectl.build import environment
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    from flask_apachectl.app import App

ID = "0123456789ab"


@pytest.fixture
def app(app: App, as_root: None) -> App:  # noqa: ARG001 - files are root's
    """Return an app whose wheelhouse has been shipped and unpacked."""
    found = replace(app, spec=replace(app.spec, wheelhouse=ID))
    (app.home / "wheelhouses").mkdir()
    ship(found)
    environment.wheelhouse(found, os.getgid())
    return found


def ship(app: App) -> None:
    """Lay the archive where the role does."""
    with tarfile.open(app.home / f"wheelhouses/{ID}.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("click-8.0-py3-none-any.whl")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"wheel"))


def test_it_is_whole(app: App) -> None:
    """Once unpacked, its archive is gone."""
    assert wheelhouses.damaged(app) == []
    assert wheelhouses.whole(app.home) == [ID]
    assert [path.name for path in (app.home / "wheelhouses").iterdir()] == [ID]


@pytest.mark.parametrize("name", ["click-8.0-py3-none-any.whl", wheelhouses.NOTE])
@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff"])
def test_a_damaged_one_is_shipped_again(app: App, name: str, content: bytes | None) -> None:
    """It is named, not counted as there, and replaced by what is shipped."""
    path = wheelhouses.place(app) / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert wheelhouses.damaged(app) == [str(path)]
    assert wheelhouses.whole(app.home) == []
    with pytest.raises(RefusedError, match="run the role, which ships it"):
        environment.wheelhouse(app, os.getgid())
    ship(app)
    environment.wheelhouse(app, os.getgid())
    assert wheelhouses.damaged(app) == []
