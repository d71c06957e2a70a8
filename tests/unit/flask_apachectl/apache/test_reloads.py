"""Whether Apache has reloaded is told by mod_wsgi's sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_apachectl.apache import server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return where the sockets of two pools are to be."""
    monkeypatch.setattr(server, "SOCKETS", tmp_path)
    return [tmp_path / "wsgi.1.u33.1.sock", tmp_path / "wsgi.1.u33.2.sock"]


def test_sockets_that_are_made_anew(sockets: list[Path]) -> None:
    for path in sockets:
        path.touch()
    reloads = server.Reloads()
    assert not reloads.happened()
    for path in sockets:
        path.unlink()
    assert [reloads.happened(), reloads.happened()] == [True, True], "as long as there are none"
    for path in sockets:
        path.touch()
    assert [reloads.happened(), reloads.happened()] == [True, False]


def test_a_reload_that_is_under_way_at_first(sockets: list[Path]) -> None:
    reloads = server.Reloads()
    sockets[0].touch()
    assert [reloads.happened(), reloads.happened()] == [True, False]
    sockets[0].unlink()
    assert [reloads.happened(), reloads.happened()] == [True, True]


@pytest.mark.usefixtures("sockets")
def test_sockets_that_are_elsewhere_tell_nothing() -> None:
    """Otherwise a broken release would be forgiven for its whole time-out."""
    reloads = server.Reloads()
    assert [reloads.happened(), reloads.happened()] == [False, False]
