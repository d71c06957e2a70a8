"""The wheels that the role has shipped: directories that are named by their content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flask_apachectl.app import read_json
from flask_apachectl.declaration import DamagedError
from flask_apachectl.host import files, manifest

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App

NOTE = ".files.json"


def place(app: App) -> Path:
    """Return the directory of the wheelhouse that is declared."""
    return app.home / "wheelhouses" / app.spec.wheelhouse


def seal(directory: Path, group: int) -> None:
    """Note of what files a wheelhouse is made."""
    kept = manifest.of(directory, sorted(path.name for path in directory.iterdir()))
    files.write(directory / NOTE, json.dumps(kept), mode=0o640, group=group)


def damage(directory: Path) -> list[str]:
    """Return the files of a wheelhouse that are missing, cut or changed."""
    try:
        kept = read_json(directory / NOTE)
    except (DamagedError, FileNotFoundError):
        kept = None
    return manifest.damage(directory, kept) if isinstance(kept, dict) else [str(directory / NOTE)]


def damaged(app: App) -> list[str]:
    """Return the files of the declared wheelhouse that are not as they were shipped."""
    return damage(place(app)) if app.spec.wheelhouse else []


def whole(home: Path) -> list[str]:
    """Return the ids of the wheelhouses in an app's home that can be used."""
    return [path.name for path in home.glob("wheelhouses/[0-9a-f]*") if path.is_dir() and not damage(path)]
