"""Space and inodes of each file system that the role, Apache or the app writes to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flask_apachectl import paths
from flask_apachectl.diagnosis.finding import ERROR, WARNING, Kind, command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_apachectl.app import App
    from flask_apachectl.diagnosis.finding import Finding

SUBJECT = "Space"
LOW, LOW_SHARE = 50 * 2**20, 0.05  # bytes, and of a small file system
FULL = 2**20  # bytes, or as few inodes as FULL_INODES
LOW_INODES, FULL_INODES = 5000, 50  # a virtual environment has some thousand files
NO_SPACE = Kind(SUBJECT, "A file system is full", ERROR, "whoever writes there fails: deploys, uploads, logs")
LITTLE_SPACE = Kind(
    SUBJECT,
    "A file system has less than 50 MiB left, or 5 % of a small one",
    WARNING,
    "deploys, uploads and logs fail when it is full",
)
NO_INODES = Kind(SUBJECT, "A file system has no inodes left", ERROR, "no file can be made, though there is space")
FEW_INODES = Kind(
    SUBJECT, f"A file system has less than {LOW_INODES} inodes left", WARNING, "no release can be built without them"
)
KINDS = (NO_SPACE, LITTLE_SPACE, NO_INODES, FEW_INODES)


class Place(NamedTuple):
    """A directory that is written to, and the command that makes room there."""

    path: Path
    fix: str


def places(app: App) -> Iterator[Place]:
    """Yield the directories that an app needs room in, the most important first."""
    yield Place(app.home, command("flask-apachectl", "--app", app.name, "prune", "--keep", "2"))
    yield Place(app.data, command("du", "-xh", "--max-depth=2", app.data))
    logs = {Path(path).parent for path in (app.site.error_log, app.site.access_log) if path.startswith("/")}
    for directory in sorted(logs):
        yield Place(directory, command("find", directory, "-name", "*.log.*", "-delete"))
    cache = paths.CACHE / app.name
    yield Place(cache, command("find", cache, "-mindepth", "1", "-delete"))
    yield Place(app.conf, command("du", "-xh", "--max-depth=2", "/etc"))
    yield Place(Path("/var/log"), "journalctl --vacuum-size=100M")
    yield Place(Path("/tmp"), "systemd-tmpfiles --clean")  # noqa: S108 - everybody's
    yield Place(paths.APACHE_PID.parent.parent, "journalctl --vacuum-size=10M")


def of_app(app: App) -> Iterator[Finding]:
    """Look at each file system once, as the first of the directories on it names it."""
    seen = set()
    for path, fix in places(app):
        try:
            device, found = path.stat().st_dev, os.statvfs(path)
        except OSError:
            continue
        if device in seen or path.is_relative_to("/dev") or path.is_relative_to("/proc"):
            continue
        seen.add(device)
        yield from judged(path, fix, found, app.name)


def judged(path: Path, fix: str, found: os.statvfs_result, app: str) -> Iterator[Finding]:
    """Judge one file system by what `statvfs` says of it."""
    free, size = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    left = f"{free / 2**20:.1f} MiB of {size / 2**20:.0f} MiB are free in {path}"
    if size and free < min(FULL, LOW_SHARE * size):
        yield NO_SPACE.found(left, fix, app)
    elif size and free < min(LOW, LOW_SHARE * size):
        yield LITTLE_SPACE.found(left, fix, app)
    inodes = f"{found.f_favail} of {found.f_files} inodes are free in {path}"
    if found.f_files and found.f_favail < min(FULL_INODES, LOW_SHARE * found.f_files):
        yield NO_INODES.found(inodes, fix, app)
    elif found.f_files and found.f_favail < min(LOW_INODES, LOW_SHARE * found.f_files):
        yield FEW_INODES.found(inodes, fix, app)
