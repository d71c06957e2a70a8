"""Read pylock.toml, the standard's format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_apachectl.build.locks import lockfile
from flask_apachectl.build.locks.lockfile import DependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def read(path: Path, extras: Sequence[str]) -> list[str]:
    """Return what pylock.toml (the standard's format) pins, as far as the markers hold."""
    lock, name = lockfile.read_toml(path), path.name
    if str(lock.get("lock-version", "")).partition(".")[0] != "1":
        raise DependencyError(
            f"{name} must have lock-version 1.x, got {lock.get('lock-version')}: regenerate it with another tool"
        )
    lockfile.expect_python(lock.get("requires-python", ""), name)
    environments = lock.get("environments", [])
    if environments and not any(lockfile.holds(marker) for marker in environments):
        raise DependencyError(
            f"{name} is for {' or '.join(environments)}, which excludes this host: regenerate it for this host, too"
        )
    lockfile.expect_extras(extras, lock.get("extras", []), name)
    lines: dict[str, str] = {}
    for package in lock.get("packages", []):
        if not lockfile.holds(package.get("marker", ""), extras, lock.get("default-groups", [])):
            continue
        project = lockfile.canonical(package["name"])
        lockfile.expect_python(package.get("requires-python", ""), f"{project} of {name}")
        archive = package.get("archive", {})
        if any(kind in package for kind in ("vcs", "directory")) or (archive and "url" not in archive):
            place = package.get("vcs") or package.get("directory") or archive
            raise lockfile.elsewhere(project, place.get("url") or place.get("path"), name)
        files = [*package.get("wheels", []), *(package[kind] for kind in ("sdist", "archive") if kind in package)]
        hashes = [f"{kind}:{digest}" for file in files for kind, digest in file.get("hashes", {}).items()]
        if project in lines:
            raise DependencyError(f"{name} has two versions of {project} for this host: {lockfile.regenerate(name)}")
        lines[project] = lockfile.pinned(project, package.get("version", ""), hashes, name, archive.get("url", ""))
    return sorted(lines.values())
