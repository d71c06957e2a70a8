"""Which release is in a slot, and since when."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import slots

if TYPE_CHECKING:
    from flask_apachectl.app import App

pytestmark = pytest.mark.usefixtures("owners")


@pytest.fixture(autouse=True)
def releases(app: App) -> None:
    """Create two releases."""
    for name in ("r1", "r2"):
        (app.releases / name).mkdir(parents=True)


def test_a_slot_names_a_release_since_now(app: App) -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    slots.assign(app, "blue", app.releases / "r1")
    assert (app.home / "blue").readlink() == Path("releases/r1")
    boot, since = (app.home / "blue.since").read_text().split()
    assert boot == slots.boot()
    assert before <= float(since) <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_release_before_keeps_a_name(app: App) -> None:
    """Pages that visitors have open still need its static files."""
    for release, replaced in (("r1", None), ("r2", "r1"), ("r2", "r1"), ("r1", "r2")):
        slots.assign(app, "blue", app.releases / release)
        link = app.home / "replaced"
        assert (link.resolve().name if link.is_symlink() else None) == replaced


def test_a_slot_without_a_release_leaves_no_other_name(app: App) -> None:
    empty = app.home / "empty/green"
    empty.mkdir(parents=True)
    slots.assign(app, "green", empty)
    slots.assign(app, "green", app.releases / "r1")
    assert not (app.home / "replaced").is_symlink()
