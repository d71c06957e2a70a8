"""The environment of each release, and the secrets that belong to the app."""

from __future__ import annotations

import fnmatch
import grp
import json
import secrets
from typing import TYPE_CHECKING

from flask_apachectl import paths, routing, slots
from flask_apachectl.host import files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_apachectl.app import App


def is_secret(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether an environment variable belongs to the app, not to a release."""
    return any(fnmatch.fnmatchcase(name.upper(), pattern.upper()) for pattern in ["SECRET_KEY", *patterns])


def with_secrets(mine: dict[str, str], current: dict[str, str], patterns: Sequence[str]) -> dict[str, str]:
    """Return a release's environment with the secrets of another one: changed, added and removed ones."""
    own = {name: value for name, value in mine.items() if not is_secret(name, patterns)}
    return {**{name: value for name, value in current.items() if is_secret(name, patterns)}, **own}


def declared(app: App) -> dict[str, str]:
    """Return the environment that the role declared."""
    return {name: str(value) for name, value in json.loads((app.conf / "env").read_text(encoding="utf-8")).items()}


def wanted(app: App) -> dict[str, str]:
    """Return the environment of a release that is made now."""
    mine = declared(app)
    return mine if "SECRET_KEY" in mine else {"SECRET_KEY": secret_key(app), **mine}


def of_release(app: App, release: str) -> dict[str, str]:
    """Return the environment that a kept release runs with."""
    found: dict[str, str] = json.loads((app.releases / release / "env").read_text(encoding="utf-8"))
    return found


def assign(app: App, release: str, environment: dict[str, str]) -> None:
    """Give a release that is not live another environment; the processes that run it are stale from now on."""
    for slot in paths.SLOTS:
        if routing.slot_release(app, slot) == release:
            slots.assign(app, slot, app.releases / release)  # first: a killed run must not leave them unnoticed
    group = grp.getgrnam(app.config["user"]).gr_gid
    files.write(app.releases / release / "env", json.dumps(environment), mode=0o640, group=group)


def secret_key(app: App) -> str:
    """Return the app's own SECRET_KEY: made once, and kept."""
    path = app.conf / "secret_key"
    if not path.exists():
        files.write(path, secrets.token_hex(32), mode=0o600)
    return path.read_text(encoding="utf-8")
