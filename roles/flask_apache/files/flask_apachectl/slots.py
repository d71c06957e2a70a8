"""Which release a slot names, and since when; the links beside it, and whether all of that is sound."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import history, paths, routing, venvs
from flask_apachectl.host import files

if TYPE_CHECKING:
    from flask_apachectl.app import App

SINCE = re.compile(rb"[0-9a-f-]{36} \d+(\.\d+)?\n")  # a boot, and seconds of it


def assign(app: App, slot: str, target: Path) -> None:
    """Let a slot name another release, and note since when: of this boot, by a clock that nobody sets.

    What it held before is still named by a link of its own, for the static files of pages that visitors have open.
    """
    was = routing.slot_release(app, slot)
    if was and was != target.name:
        files.replace_link(app.home / "replaced", app.releases / was)
    files.write(app.home / f"{slot}.since", f"{boot()} {time.clock_gettime(time.CLOCK_BOOTTIME)}\n", mode=0o600)
    files.replace_link(app.home / slot, target)


def boot() -> str:
    """Return what tells this boot of the kernel from others."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def empty(app: App, slot: str) -> Path:
    """Return the directory that a slot without a release names: its virtual environment runs nothing."""
    return app.home / "empty" / slot


def remembered(app: App) -> str | None:
    """Return the release that was made live last, as the link ``current`` or the audit log says."""
    kept = [path.name for path in app.releases.glob("[!.]*")]
    return routing.release_of(app, app.home / "current") or history.last_live(history.read(app), None, kept)


def is_sound(app: App, slot: str) -> bool:
    """Tell whether a slot's link names a release, or nothing to run."""
    link = app.home / slot
    if not link.is_symlink() or not link.is_dir():
        return False
    return routing.release_of(app, link) is not None or link.resolve() == empty(app, slot).resolve()


def is_dated(app: App, slot: str) -> bool:
    """Tell whether it can be read since when a slot has its release."""
    path = app.home / f"{slot}.since"
    return path.is_file() and not path.is_symlink() and SINCE.fullmatch(path.read_bytes()) is not None


def is_doubtful(app: App, slot: str) -> bool:
    """Tell whether a slot that serves names another release than the one that was made live last, as all else says."""
    release, live = routing.slot_release(app, slot), routing.live_slot(app)
    if slot != live or release is None:
        return False
    logged = history.last_live(history.read(app), None, [path.name for path in app.releases.glob("[!.]*")])
    return logged not in (None, release) and routing.release_of(app, app.home / "current") in (None, logged)


def damaged(app: App) -> list[str]:
    """Return the slots' links and dates that are not as they were written, and those of what they name."""
    found = [app.home / slot for slot in paths.SLOTS if not is_sound(app, slot) or is_doubtful(app, slot)]
    found += [app.home / f"{slot}.since" for slot in paths.SLOTS if not is_dated(app, slot)]
    live = routing.slot_release(app, routing.live_slot(app))
    current, replaced = app.home / "current", app.home / "replaced"
    if live and routing.release_of(app, current) != live:
        found.append(current)
    if os.path.lexists(replaced) and routing.release_of(app, replaced) is None:
        found.append(replaced)
    return [*map(str, found), *(path for slot in paths.SLOTS for path in venvs.damage(empty(app, slot) / "venv"))]


def repair_replaced(app: App) -> bool:
    """Remove the link to the release before, unless it names one; tell whether it did not."""
    link = app.home / "replaced"
    if not os.path.lexists(link) or routing.release_of(app, link):
        return False
    files.remove(link)
    return True
