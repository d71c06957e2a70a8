"""Read Pipfile.lock."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from flask_apachectl.build.locks import lockfile
from flask_apachectl.build.locks.lockfile import DependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PIPFILE_TABLES = ("source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv")


def read(path: Path, _extras: Sequence[str]) -> list[str]:
    """Return what Pipfile.lock pins in its default group, as far as the markers hold."""
    try:
        lock: lockfile.Table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DependencyError(f"Pipfile.lock cannot be read: {error}") from None
    meta = lock.get("_meta", {})
    if meta.get("pipfile-spec") != 6:  # noqa: PLR2004
        raise DependencyError(
            f"Pipfile.lock must have pipfile-spec 6, got {meta.get('pipfile-spec')}: regenerate it with `pipenv lock`"
        )
    beside = path.with_name("Pipfile")
    if beside.is_file() and meta.get("hash", {}).get("sha256") != pipfile_hash(lockfile.read_toml(beside), meta):
        raise DependencyError("Pipfile.lock does not match Pipfile: regenerate it with `pipenv lock`")
    required = meta.get("requires", {})
    python = required.get("python_full_version") or (
        required.get("python_version", "") and f"{required['python_version']}.*"
    )
    lockfile.expect_python(f"=={python}" if python else "", "Pipfile.lock")
    lines = []
    for name, package in lock.get("default", {}).items():
        if not lockfile.holds(package.get("markers", "")):
            continue
        if "version" not in package:
            raise lockfile.elsewhere(
                name, package.get("git") or package.get("path") or package.get("file"), "Pipfile.lock"
            )
        version = package["version"].removeprefix("==") if package["version"].startswith("==") else ""
        lines.append(lockfile.pinned(lockfile.canonical(name), version, package.get("hashes", []), "Pipfile.lock"))
    return sorted(lines)


def pipfile_hash(pipfile: lockfile.Table, meta: lockfile.Table) -> str:
    """Return pipenv's digest of a Pipfile. The sources are its own, or else those of its lock file."""
    groups = {name: table for name, table in pipfile.items() if name not in PIPFILE_TABLES}
    content = {
        "_meta": {"sources": pipfile.get("source", meta.get("sources", [])), "requires": pipfile.get("requires", {})},
        "default": pipfile.get("packages", {}),
        "develop": pipfile.get("dev-packages", {}),
        **groups,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
