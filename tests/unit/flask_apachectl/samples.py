"""What the engine's tests share: a declaration, and helpers for files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask_apachectl.app import App

if TYPE_CHECKING:
    from pathlib import Path

# Of an app.json: what makes a release, and where the app is.
DECLARED: dict[str, Any] = {
    "wsgi": "app:app",
    "requirements": ["requirements.txt"],
    "pip_args": [],
    "constraints": [],
    "extras": [],
    "index_url": "",
    "extra_index_urls": [],
    "index_private": False,
    "wheelhouse": "",
    "installer": "pip",
    "uv_version": "1.2.3",
    "python": "/usr/bin/python3",
    "server_name": "www.example.com",
    "port": 80,
    "mount": "/",
    "health_path": "/",
    "strategy": "blue_green",
    "static": [],
    "lock_wait": 0,
}


def shop(**changes: object) -> App:
    """Return an app as it is declared, but for some changes."""
    return App("shop", DECLARED | changes)


def changed(app: App, **changes: object) -> App:
    """Return an app with another declaration."""
    return replace(app, config=app.config | changes)


def listed(directory: Path) -> list[str]:
    """Return the names in a directory."""
    return sorted(path.name for path in directory.iterdir())


def declare(app: App, name: str, text: str) -> None:
    """Write the app.json of an app, beside that of another one."""
    path = app.conf.with_name(name) / "app.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
