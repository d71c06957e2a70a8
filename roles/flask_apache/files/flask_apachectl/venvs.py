"""Virtual environments: whether one was built to its end, is whole, and still has its interpreter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flask_apachectl.app import read_json
from flask_apachectl.declaration import DamagedError
from flask_apachectl.host import files, manifest, report

if TYPE_CHECKING:
    from pathlib import Path


def seal(venv: Path, python: str, group: int = 0, mode: int = 0o640) -> None:
    """Note that a virtual environment was built to its end, for which minor version of Python, and of what files."""
    kept = {"python": python, "built": report.timestamp(), "files": manifest.of(venv, ["bin", "lib", "pyvenv.cfg"])}
    files.write(venv / "complete.json", json.dumps(kept), mode=mode, group=group)


def python_of(venv: Path) -> str:
    """Return the minor version of Python that a virtual environment was built for, or nothing."""
    try:
        found = read_json(venv / "complete.json")
    except (DamagedError, FileNotFoundError):
        return ""
    return str(found.get("python", "")) if isinstance(found, dict) else ""


def is_complete(venv: Path) -> bool:
    """Tell whether a virtual environment was built to its end and its interpreter still runs it."""
    python = python_of(venv)
    return bool(python) and (venv / "bin/python").exists() and (venv / f"lib/python{python}/site-packages").is_dir()


def damage(venv: Path, *, thorough: bool = False) -> list[str]:
    """Return the files of a virtual environment that are missing, cut or changed; its interpreter, if it is gone."""
    note = venv / "complete.json"
    kept = read_json(note) if python_of(venv) else {}
    if not isinstance(kept.get("files"), dict):
        return [str(note)]
    wrong = manifest.damage(venv, kept["files"], thorough=thorough)
    return wrong or ([] if is_complete(venv) else [str(venv / "bin/python")])


def is_whole(venv: Path, python: str) -> bool:
    """Tell whether a virtual environment can be used by an interpreter of this minor version."""
    return python_of(venv) == python and not damage(venv)
