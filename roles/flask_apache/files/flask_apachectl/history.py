"""The audit log: who made which release live, and when; and what was refused or failed, and why."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from flask_apachectl import routing
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flask_apachectl.app import App

DEPLOYED = ("deploy", "promote")
KEYS = ("time", "action", "release", "by")  # of an entry
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
    """Return the audit log, oldest first; a line that is cut off or damaged is skipped."""
    return [entry for entry in map(_entry, _lines(app)) if entry]


def _lines(app: App) -> list[str]:
    with contextlib.suppress(OSError):
        return app.history.read_text(encoding="utf-8", errors="replace").splitlines()
    return []


def _entry(line: str) -> dict[str, Any] | None:
    """Return what a line records, unless it is damaged."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_whole = isinstance(found, dict) and isinstance(found.get("action"), str) and {*KEYS} <= set(found)
    return found if is_whole and "\ufffd" not in line else None


def damaged(app: App) -> list[str]:
    """Return the log's path, if it has lines that cannot be read, or does not know that the live release is live."""
    live = routing.slot_release(app, routing.live_slot(app))
    unreadable = any(line and _entry(line) is None for line in _lines(app))
    known = live is None or last_live(read(app), None, [live]) == live
    return [str(app.history)] if unreadable or not known else []


def repair(app: App) -> bool:
    """Leave the readable lines alone in the log; tell whether there were others."""
    if not damaged(app):
        return False
    text = "".join(json.dumps(entry) + "\n" for entry in read(app))
    files.write(app.history, text, mode=0o600)
    return True


@contextlib.contextmanager
def attempt(app: App, action: str, release: str | None) -> Iterator[None]:
    """Write down when an action is refused or fails, and why in short. ``release`` may also be a source's id."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        outcome = "refused" if isinstance(error, RefusedError) else "failed"
        reason = str(error) or type(error).__name__
        if not isinstance(error, (RefusedError, OSError, KeyboardInterrupt)):
            reason = f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):  # before the first deploy, or on a full disk
            record(app, f"{action} {outcome}", release, reason=report.short(reason))
        raise


def record(
    app: App, action: str, release: str | None, previous: str | None = None, *, reason: str | None = None
) -> None:
    """Write down who did what, and when; of what was refused or failed, also why."""
    entry = {
        "time": report.timestamp(),
        "action": action,
        "release": release,
        "previous": previous,
        "by": report.operator(),
        **({"reason": reason} if reason else {}),
    }
    with app.history.open("a+", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.seek(0)
        torn = file.read()[-1:] not in ("", "\n")  # by a crash
        file.write("\n" * torn + json.dumps(entry) + "\n")
        file.flush()
        os.fsync(file.fileno())
