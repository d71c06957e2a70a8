"""The environment of each release, and the secrets that belong to the app."""

from __future__ import annotations

import contextlib
import fnmatch
import grp
import json
import re
import secrets
from typing import TYPE_CHECKING

from flask_apachectl import paths, routing, slots
from flask_apachectl.app import read_json
from flask_apachectl.declaration import DamagedError
from flask_apachectl.host import facts, files, report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flask_apachectl.app import App

KEY_BYTES = 32
GENERATED = rf"[0-9a-f]{{{2 * KEY_BYTES}}}"


def is_secret(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether an environment variable belongs to the app, not to a release."""
    return any(fnmatch.fnmatchcase(name.upper(), pattern.upper()) for pattern in ["SECRET_KEY", *patterns])


def with_secrets(mine: dict[str, str], current: dict[str, str], patterns: Sequence[str]) -> dict[str, str]:
    """Return a release's environment with the secrets of another one: changed, added and removed ones."""
    own = {name: value for name, value in mine.items() if not is_secret(name, patterns)}
    return {**{name: value for name, value in current.items() if is_secret(name, patterns)}, **own}


def _read(path: Path) -> dict[str, str]:
    """Return an environment from a file. Raises DamagedError or FileNotFoundError."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise DamagedError(f"{path} is damaged: run the role for this app")
    report.hide(map(str, found.values()))
    return {str(name): str(value) for name, value in found.items()}


def declared(app: App) -> dict[str, str]:
    """Return the environment that a run of the role declares, or the last one declared."""
    return app.environment if app.environment is not None else _read(app.conf / "env")


def wanted(app: App) -> dict[str, str]:
    """Return the environment of a release that is made now."""
    mine = declared(app)
    return mine if "SECRET_KEY" in mine else {"SECRET_KEY": secret_key(app), **mine}


def of_release(app: App, release: str) -> dict[str, str]:
    """Return the environment that a kept release runs with."""
    return _read(app.releases / release / "env")


def replace(app: App, release: str, environment: dict[str, str]) -> None:
    """Give a release that is not live another environment; the processes that run it are outdated from now on."""
    for slot in paths.SLOTS:
        if routing.slot_release(app, slot) == release:
            slots.assign(app, slot, app.releases / release)  # first: a killed run must not leave them unnoticed
    group = grp.getgrnam(app.site.user).gr_gid
    files.write(app.releases / release / "env", json.dumps(environment), mode=0o640, group=group)


def damaged(app: App) -> list[str]:
    """Return the path of the app's own SECRET_KEY, if the live release has one and the file is not one."""
    path = app.conf / "secret_key"
    try:
        live = of_release(app, _live(app)).get("SECRET_KEY", "")
        needed = "SECRET_KEY" not in declared(app) and re.fullmatch(GENERATED, live) is not None
    except (DamagedError, FileNotFoundError):
        needed = False  # whatever that is, it is named itself
    if not path.exists():
        return [str(path)] if needed else []
    return [] if re.fullmatch(GENERATED.encode(), path.read_bytes()) else [str(path)]


def _live(app: App) -> str:
    """Return the release that serves, or did until its slot's link was damaged."""
    return routing.slot_release(app, routing.live_slot(app)) or slots.remembered(app) or "none"


def conceal(app: App) -> None:
    """Let no message tell the secrets that the app has, whatever its own code prints."""
    patterns = app.site.environment_secrets
    found = [app.environment or {}, {"SECRET_KEY": facts.read(app.conf / "secret_key")}]
    for path in (app.conf / "env", *app.releases.glob("*/env"), *app.releases.glob(".*/env")):
        with contextlib.suppress(OSError, DamagedError):
            found.append(_read(path))
    report.conceal(value for each in found for name, value in each.items() if is_secret(name, patterns))


def secret_key(app: App) -> str:
    """Return the app's own SECRET_KEY: made once, and kept.

    A damaged one is replaced by that of the live release, if it has one, so that visitors stay logged in.
    """
    path = app.conf / "secret_key"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        kept = path.read_text(encoding="utf-8")
        if re.fullmatch(GENERATED, kept):
            return kept
    found = secrets.token_hex(KEY_BYTES)
    with contextlib.suppress(DamagedError, FileNotFoundError):
        live = of_release(app, _live(app)).get("SECRET_KEY", "")
        found = live if re.fullmatch(GENERATED, live) else found
    files.write(path, found, mode=0o600)
    return found
