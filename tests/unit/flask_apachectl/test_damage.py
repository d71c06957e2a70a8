"""What of an app's state is damaged, and what it is taken for."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import app as apps
from flask_apachectl import environments, history, paths, releases, routing, slots, venvs
from flask_apachectl.build import preparation, staging
from flask_apachectl.declaration import DamagedError
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import manifest
from flask_apachectl.serve import hooks, units

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App

DAMAGE = [b"", b"[", b"[]", b"{}", b"\xff", b"null"]
KEY = "ab" * environments.KEY_BYTES


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Return an app whose release r1 is live in blue, and whose release r0 was before and is in green."""
    for name in ("ETC", "SRV", "VAR_LIB", "UNITS", "STAMPS"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(paths, "SYSTEMD", tmp_path / "none")
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    monkeypatch.setattr(slots, "boot", lambda: "00000000-0000-0000-0000-000000000000")
    found = apps.unknown("shop", "shop")
    found.conf.mkdir(parents=True)
    for release in ("r0", "r1"):
        make_release(found, release)
    for slot in paths.SLOTS:
        make_venv(slots.empty(found, slot) / "venv")
    slots.assign(found, "green", found.releases / "r0")
    slots.assign(found, "blue", found.releases / "r1")
    (found.home / "current").symlink_to("releases/r1")
    for path in (found.map, found.map_copy):
        path.write_text(routing.Routes(live="blue").render())
    entries = [{"time": "", "action": "deploy", "release": each, "by": ""} for each in ("r0", "r1")]
    found.history.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    (found.conf / "env").write_text("{}")
    (found.conf / "secret_key").write_text(KEY)
    return found


def make_venv(venv: Path) -> None:
    """Make what passes for a virtual environment."""
    (venv / "lib/python3.11/site-packages").mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "bin/python").symlink_to("/bin/sh")
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\n")
    kept = {"python": "3.11", "files": manifest.of(venv, ["bin", "lib", "pyvenv.cfg"])}
    (venv / "complete.json").write_text(json.dumps(kept))


def make_release(app: App, release: str) -> None:
    """Make what passes for a whole release."""
    directory = app.releases / release
    (directory / "app").mkdir(parents=True)
    (directory / "app/app.py").write_text("app = 1\n")
    (directory / "env").write_text(json.dumps({"SECRET_KEY": KEY}))
    make_venv(directory / "venv")
    kept = {"id": release, "made": "", "spec": asdict(app.spec), "files": manifest.of(directory, ["app"])}
    (directory / "release.json").write_text(json.dumps(kept))


def test_nothing_is_damaged(app: App) -> None:
    """What is whole is not reported."""
    assert slots.damaged(app) == []
    assert history.damaged(app) == []
    assert routing.damaged(app) == []
    assert environments.damaged(app) == []
    assert releases.damaged(app) == {}
    assert units.damaged(app, "r1") == []


@pytest.mark.parametrize("content", DAMAGE)
@pytest.mark.parametrize("name", ["blue.since", "green.since"])
def test_the_date_of_a_slot(app: App, name: str, content: bytes) -> None:
    """A date that cannot be read is named."""
    (app.home / name).write_bytes(content)
    assert slots.damaged(app) == [str(app.home / name)]


@pytest.mark.parametrize("target", ["", "gone", "/tmp", "releases"])
@pytest.mark.parametrize("name", ["blue", "green", "current", "replaced"])
def test_the_links(app: App, name: str, target: str) -> None:
    """A link that is missing or leads elsewhere is named; the one to the release before may be missing."""
    link = app.home / name
    link.unlink(missing_ok=True)
    if target:
        link.symlink_to(target)
    found = slots.damaged(app)
    assert (str(link) in found) == (name != "replaced" or bool(target))
    assert set(found) <= {str(link), str(app.home / "current")}


def test_a_live_slot_with_another_release(app: App) -> None:
    """The log and the link `current` agree against a slot; a log alone does not count for more than both others."""
    (app.home / "blue").unlink()
    (app.home / "blue").symlink_to("releases/r0")
    assert str(app.home / "blue") in slots.damaged(app)
    (app.home / "current").unlink()
    (app.home / "current").symlink_to("releases/r0")
    assert str(app.home / "blue") not in slots.damaged(app)


@pytest.mark.parametrize("lost", ["current", "history"])
def test_what_was_live_is_remembered(app: App, lost: str) -> None:
    """By the link `current`, or by the log."""
    (app.home / "blue").unlink()
    if lost == "current":
        (app.home / "current").unlink()
    else:
        app.history.write_bytes(b"\xff")
    assert slots.remembered(app) == "r1"
    assert preparation.repair_slot(app, "blue")
    assert routing.slot_release(app, "blue") == "r1"
    assert not preparation.repair_slot(app, "blue")


def test_an_idle_slot_is_emptied(app: App) -> None:
    """What an idle slot named is not known."""
    (app.home / "green").unlink()
    assert preparation.repair_slot(app, "green")
    assert (app.home / "green").resolve() == slots.empty(app, "green")


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b'{"action": "deploy"}', b"\xff", b'{"release": "r1"'])
def test_the_log(app: App, content: bytes) -> None:
    """A log that has lines that cannot be read, or does not know the live release, is named."""
    app.history.write_bytes(content)
    assert history.damaged(app) == [str(app.history)]


def test_a_log_whose_last_lines_are_gone(app: App) -> None:
    """Whole lines, but the live release is not among them."""
    app.history.write_text(app.history.read_text().splitlines()[0] + "\n")
    assert history.damaged(app) == [str(app.history)]


@pytest.mark.parametrize("content", [None, *DAMAGE, KEY[:32].encode()])
def test_the_secret_key(app: App, content: bytes | None) -> None:
    """It is named, and becomes the live release's, also when the live slot's link is damaged."""
    path = app.conf / "secret_key"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    (app.home / "blue").unlink()
    assert environments.damaged(app) == [str(path)]
    assert environments.secret_key(app) == KEY
    assert environments.damaged(app) == []


def test_no_secret_key_is_needed(app: App) -> None:
    """An app that declares its own has no file."""
    (app.conf / "env").write_text('{"SECRET_KEY": "own"}')
    (app.conf / "secret_key").unlink()
    assert environments.damaged(app) == []


FILES = ("release.json", "env", "app/app.py", "venv/complete.json", "venv/pyvenv.cfg")
CASES = [(name, content) for name in FILES for content in (None, *DAMAGE)]
CASES.remove(("env", b"{}"))  # an environment without variables, so no damage


@pytest.mark.parametrize(("name", "content"), CASES)
def test_a_release(app: App, name: str, content: bytes | None) -> None:
    """Each file of a release is named, and its source is not taken for that of another one."""
    path = app.releases / "r0" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert releases.damaged(app) == {"r0": [str(path)]}
    assert releases.has_source(app, "r0") == (not name.startswith(("app", "release")))
    if releases.has_source(app, "r0"):
        return
    (app.releases / "r0").rename(app.releases / "abc-1")
    (app.home / "incoming").mkdir()
    with pytest.raises(RefusedError, match="abc is not on this host"):
        staging.stage(app, "abc", app.releases / ".abc.partial")


def test_a_virtual_environment_without_its_interpreter(app: App) -> None:
    """The interpreter is named, not the note that the environment is complete."""
    venv = app.releases / "r1/venv"
    (venv / "bin/python").unlink()
    assert venvs.damage(venv) == [str(venv / "bin/python")]


@pytest.mark.parametrize("content", DAMAGE)
def test_the_note_of_what_units_run(app: App, content: bytes) -> None:
    """A damaged note is that of no unit."""
    (app.home / "units.json").write_bytes(content)
    assert units.noted(app) == {}


@pytest.mark.parametrize(("content", "release"), [(b"r0", "r0"), (b"r1", "r1"), *((each, "r1") for each in DAMAGE)])
def test_hooks_that_wait(app: App, content: bytes, release: str) -> None:
    """They wait for the live release, unless the file names another one."""
    app.waiting.write_bytes(content)
    assert hooks.waiting_for(app) == release


@pytest.mark.usefixtures("app")
def test_a_missing_declaration_is_named() -> None:
    """An app that has a map has been declared."""
    with pytest.raises(DamagedError, match=r"shop/app\.json is missing: run the role for this app"):
        apps.load_app("shop")
