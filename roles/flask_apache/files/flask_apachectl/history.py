"""The audit log: who made which release live, and when."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from flask_apachectl.host import report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_apachectl.app import App

DEPLOYED = ("deploy", "promote")
MADE_LIVE = (*DEPLOYED, "rollback")  # the actions in the audit log after which a release was live


def crossed(history: Sequence[dict[str, Any]], release: str, irreversible: Sequence[str]) -> str | None:
    """Return the irreversible release that was deployed since a release was live, if any: the last one."""
    for entry in reversed(history):
        if entry["action"] in MADE_LIVE and entry["release"] == release:
            return None
        if entry["action"] in DEPLOYED and entry["release"] in irreversible:
            return str(entry["release"])
    return None


def last_live(history: Sequence[dict[str, Any]], live: str | None, kept: Sequence[str]) -> str | None:
    """Return the release that was live before the current one and is still kept."""
    for entry in reversed(history):
        if entry["action"] in MADE_LIVE and entry["release"] != live and entry["release"] in kept:
            return str(entry["release"])
    return None


def read(app: App) -> list[dict[str, Any]]:
    """Return the audit log, oldest first; a line cut off by a crash is skipped."""
    entries = []
    with contextlib.suppress(FileNotFoundError):
        for line in app.history.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                entries.append(json.loads(line))
    return entries


def record(app: App, action: str, release: str | None, previous: str | None = None) -> None:
    """Write down who did what, and when."""
    entry = {
        "time": report.timestamp(),
        "action": action,
        "release": release,
        "previous": previous,
        "by": report.operator(),
    }
    with app.history.open("a+", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.seek(0)
        torn = file.read()[-1:] not in ("", "\n")  # by a crash
        file.write("\n" * torn + json.dumps(entry) + "\n")
        file.flush()
        os.fsync(file.fileno())
