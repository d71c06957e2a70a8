"""Which release a slot names, and since when."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl.host import files

if TYPE_CHECKING:
    from flask_apachectl.app import App


def assign(app: App, slot: str, target: Path) -> None:
    """Let a slot name another release, and note since when: of this boot, by a clock that nobody sets.

    What it held before is still named by a link of its own, for the static files of pages that visitors have open.
    """
    if (was := (app.home / slot).resolve()).parent == app.releases and was != target:
        files.replace_link(app.home / "replaced", was)
    files.write(app.home / f"{slot}.since", f"{boot()} {time.clock_gettime(time.CLOCK_BOOTTIME)}\n", mode=0o600)
    files.replace_link(app.home / slot, target)


def boot() -> str:
    """Return what tells this boot of the kernel from others."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
