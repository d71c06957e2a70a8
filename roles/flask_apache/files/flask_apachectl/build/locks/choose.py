"""Choose the files that say what a source needs.

The control node uses this module before anything is shipped.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl.build.locks.lockfile import DependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence

LOCKS = ("uv.lock", "poetry.lock", "pylock.toml", "Pipfile.lock")


def lock_kind(name: str) -> str:
    """Return which of `LOCKS` a file is, or an empty text. A pylock.toml may also be called pylock.NAME.toml."""
    base = Path(name).name
    if re.fullmatch(r"pylock\.[^.]+\.toml", base):
        return "pylock.toml"
    return base if base in LOCKS else ""


def choose(directory: Path, requested: Sequence[str] | None) -> list[str]:
    """Return the files that say what a source needs: the requested ones, or, for None, those found in its directory.

    Raises DependencyError when more than one answer is possible, because a lock file must never be ignored silently.
    """
    if requested is None:
        return find(directory)
    locks = [name for name in requested if lock_kind(name)]
    others = [name for name in requested if name not in locks and Path(name).name != "pyproject.toml"]
    if len(locks) > 1 or (locks and others):
        raise DependencyError(
            f"flask_apache_requirements must name a lock file alone, because it pins every package, "
            f"got {' and '.join([*locks, *others])}: name only the right one"
        )
    return list(requested)


def find(directory: Path) -> list[str]:
    """Return the file that says what a source needs, if there is one."""
    locks = [name for name in LOCKS if (directory / name).is_file()]
    locks += sorted(path.name for path in directory.glob("pylock.*.toml"))
    listed = [*locks, *(["requirements.txt"] if (directory / "requirements.txt").is_file() else [])]
    if locks and len(listed) > 1:
        raise DependencyError(
            f"the source has {' and '.join(listed)}, which may differ; name the right one in flask_apache_requirements"
        )
    if listed:
        return listed
    project = directory / "pyproject.toml"
    tables = r"(?m)^\s*\[\s*(project|tool\s*\.\s*poetry)\s*\]"
    is_project = project.is_file() and re.search(tables, project.read_text(encoding="utf-8", errors="replace"))
    return ["pyproject.toml"] if is_project else []
