"""How a release is made beside the live one, also after a kill and on a full disk."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import routing, venvs
from flask_apachectl.build import preparation
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files
from tests.unit.flask_apachectl.kills import Killed
from tests.unit.flask_apachectl.model import PROCESSES, SOURCES, Host, serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("apache", [True, False])
def test_the_strategy_becomes_rolling(host: Host, *, apache: bool) -> None:
    """The release of the pool that is removed moves to the other one, whether Apache runs or not."""
    live = [host.deploy(source)["release"] for source in SOURCES[:2]][-1]
    assert routing.live_slot(host.app) == "green"
    host.apache.running = apache
    host.reconfigure(strategy="rolling")
    host.prepare(SOURCES[1])
    assert (routing.live_slot(host.app), host.live()) == ("blue", live)
    host.apache.start()  # with its new configuration
    assert serving(host) == [live] * PROCESSES
    assert host.deploy(SOURCES[1])["changed"] is False


def test_a_live_release_whose_virtual_environment_broke_is_made_again_beside_it(host: Host) -> None:
    release = host.deploy(SOURCES[0])["release"]
    venv = (host.app.releases / release / "venv").resolve()
    (venv / "bin/python").unlink()
    again = host.prepare(SOURCES[0])
    assert host.live() == release != again
    assert venvs.is_complete((host.app.releases / again / "venv").resolve())
    assert host.command("activate", release=again)["changed"] is True
    assert (host.live(), host.debris(), host.releases()) == (again, [], [again])


def test_the_live_release_stays_in_its_place_while_it_is_made_again(tmp_path: Path) -> None:
    """Killed at any moment, its directory always exists, and the next run makes another one."""
    for moment in itertools.count():
        host = Host(tmp_path / str(moment))
        try:
            preparation.make_slots(host.app, os.getgid())
            host.apache.start()
            release = host.deploy(SOURCES[0])["release"]
            venv = (host.app.releases / release / "venv").resolve()
            (venv / "complete.json").unlink()
            with contextlib.suppress(Killed), host.killer.armed(moment, hard=True):
                assert host.command("prepare", source=SOURCES[0])["changed"] is True
                break
            assert host.live() == release
            assert release in host.releases()
            again = host.command("prepare", source=SOURCES[0])["release"]
            assert venvs.is_complete((host.app.releases / again / "venv").resolve())
            assert host.debris() == []
        finally:
            host.close()
    assert moment > 5


def test_a_source_that_another_run_has_shipped_is_left_for_it(host: Host) -> None:
    """Two runs may ship before one gets the lock. What a killed run has shipped is removed after an hour."""
    host.ship(SOURCES[1])
    host.ship(SOURCES[2])
    incoming = host.app.home / "incoming"
    two_hours_ago = time.time() - 7200
    os.utime(incoming / f"{SOURCES[2]}.tar.gz", (two_hours_ago, two_hours_ago))
    host.prepare(SOURCES[0])
    assert [path.name for path in incoming.iterdir()] == [f"{SOURCES[1]}.tar.gz"]
    assert host.command("prepare", source=SOURCES[1])["changed"] is True
    assert list(incoming.iterdir()) == []


def test_a_full_disk_gives_its_room_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    good = host.deploy(SOURCES[0])["release"]
    before = sorted(host.app.venvs.iterdir())

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files, "set_ownership", full)
        with pytest.raises(RefusedError, match=f"No space left on device\nStill serving {good}"):
            host.prepare(SOURCES[3])
    assert (sorted(host.app.venvs.iterdir()), host.debris(), host.releases()) == (before, [], [good])
    assert host.deploy(SOURCES[3])["changed"] is True


def test_a_lost_map_is_written_again(host: Host) -> None:
    release = [host.deploy(source)["release"] for source in SOURCES[:2]][-1]
    before = host.app.map.read_text()
    for damage in ("", "base red\n"):
        host.app.map.write_text(damage)
        assert host.live() == release  # from the copy
        host.command("activate", release=release)
        assert (host.app.map.read_text(), host.live()) == (before, release)
        host.app.map_copy.write_text(damage)
        host.app.map.write_text(damage)
        host.command("prepare", source=SOURCES[1])
        assert (host.app.map.read_text(), host.live()) == (before, release)


def test_the_mark_follows_the_declaration(host: Host) -> None:
    """Without another release."""
    host.deploy(SOURCES[0])
    two = host.deploy(SOURCES[1])["release"]
    host.reconfigure(irreversible=True)
    assert host.command("prepare", source=SOURCES[1])["changed"]
    with pytest.raises(RefusedError, match="is irreversible"):
        host.command("rollback")
    host.reconfigure(irreversible=False)
    assert host.command("prepare", source=SOURCES[1]) == {"changed": True, "release": two, "msg": f"built {two}"}
    host.command("rollback")
