"""Manifests: what tells whether a tree's files are as they were written."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Manifest = Mapping[str, Sequence[Any]]


def of(directory: Path, parts: Sequence[str]) -> dict[str, list[Any]]:
    """Return the manifest of the files and links below some parts of a directory.

    {path: [size, time of modification (nanoseconds), SHA-256]}, and for a link its target alone.
    """
    found: dict[str, list[Any]] = {}
    for part in parts:
        for path in sorted(_entries(directory / part)):
            status = path.lstat()
            name = str(path.relative_to(directory))
            if stat.S_ISLNK(status.st_mode):
                found[name] = [os.readlink(path)]
            else:
                found[name] = [status.st_size, status.st_mtime_ns, _digest(path)]
    return found


def damage(directory: Path, manifest: Manifest, *, thorough: bool = False) -> list[str]:
    """Return the paths below a directory that are not as its manifest says.

    A file whose size and time of modification are right is believed, unless all digests are asked for.
    """
    return [str(directory / name) for name, kept in manifest.items() if not _is_whole(directory / name, kept, thorough)]


def _is_whole(path: Path, kept: Sequence[Any], thorough: bool) -> bool:  # noqa: FBT001 - private
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return [os.readlink(path)] == list(kept)
        if not stat.S_ISREG(status.st_mode) or status.st_size != kept[0]:
            return False
        return bool((not thorough and status.st_mtime_ns == kept[1]) or _digest(path) == kept[2])
    except (OSError, IndexError, TypeError):
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _entries(top: Path) -> Iterator[Path]:
    """Yield the files and links at and below a path."""
    if top.is_symlink() or not top.is_dir():
        if os.path.lexists(top):
            yield top
        return
    for directory, names, others in os.walk(top):
        for name in [*names, *others]:
            path = Path(directory, name)
            if path.is_symlink() or path.is_file():
                yield path
