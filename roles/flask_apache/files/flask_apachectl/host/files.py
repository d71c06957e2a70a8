"""Files that are replaced as a whole: written aside, on disk, renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from flask_apachectl.errors import RefusedError


def short_hash(value: object, digits: int) -> str:
    """Return the first hexadecimal digits of a value's SHA-256."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:digits]


def write(path: Path, content: str | bytes, *, mode: int = 0o644, group: int = 0, newer_than: int = 0) -> None:
    """Replace a file: aside, on disk, renamed; with a time of modification after ``newer_than`` (nanoseconds)."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            os.fchmod(file.fileno(), mode)
            os.fchown(file.fileno(), 0, group)
            file.flush()
            now = max(time.time_ns(), newer_than + 2_000_000)  # Apache compares microseconds
            os.utime(file.fileno(), ns=(now, now))
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # so that a full disk is told by its name
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Bring a directory's entries to disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_filesystem(path: Path) -> None:
    """Bring everything of a path's file system to disk."""
    subprocess.run(["sync", "--file-system", path], check=True, capture_output=True)


def replace_link(link: Path, target: Path | str) -> None:
    """Let a link name another target, atomically: a path, which is made relative, or a text as it is.

    A directory on the way may be a link, such as /srv to another disk: then only real paths lead from one to the other.
    """
    aside = link.with_name(f".{link.name}.new")
    aside.unlink(missing_ok=True)
    if isinstance(target, Path):
        target = os.path.relpath(target.parent.resolve() / target.name, link.parent.resolve())
    aside.symlink_to(target)
    aside.replace(link)
    sync_directory(link.parent)


def set_ownership(tree: Path, group: int, *, others: int = 0, made_by: int = 0) -> None:
    """Make a tree root's, readable to the app's group and as far as ``others`` say, writable to nobody else.

    Raises RefusedError for what is not of the user who made the tree, if one is given: it could be a link to a file of
    somebody else. No process of that user may run meanwhile.
    """
    for directory, names, files in os.walk(tree):
        top = [directory] if directory == str(tree) else []
        for path in [*top, *(os.path.join(directory, name) for name in [*names, *files])]:
            if made_by and os.lstat(path).st_uid != made_by:
                raise RefusedError(f"{path} does not belong to the build user, which made what is around it")
            os.lchown(path, 0, group)
            if not os.path.islink(path):
                is_program = os.path.isdir(path) or os.stat(path).st_mode & 0o100
                os.chmod(path, (0o750 if is_program else 0o640) | others & (0o005 if is_program else 0o004))


def remove(path: Path) -> None:
    """Remove a file, a link or a tree; a tree is renamed first, so that half of it is never taken for the whole."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        if not path.name.startswith("."):
            aside = doomed(path)
            remove(aside)
            path = _renamed(path, aside)
        _remove_tree(path)


def doomed(path: Path) -> Path:
    """Return where a tree is while it is being removed."""
    return path.with_name(f".{path.name}.removed")


def _renamed(path: Path, doomed: Path) -> Path:
    """Rename a tree that is to go, where that is possible, and return where it is then.

    A mount point cannot be renamed, nor a directory of a lower layer of an overlay, such as a container's image. What
    tells that a tree is whole, and its other files, go first there.
    """
    try:
        return path.rename(doomed)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EBUSY):
            raise
    for entry in path.iterdir():
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink()
    return path


def _remove_tree(path: Path) -> None:
    """Remove a tree; of a mount point, what is in it."""
    if not path.is_mount():
        shutil.rmtree(path)
        return
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            _remove_tree(entry)
        else:
            entry.unlink()


def copy_tree(source: str, copy: Path) -> None:
    """Copy a tree that another run may be changing: a file of it can be gone before it is copied."""
    for last in (False, False, True):
        try:
            shutil.copytree(source, copy, symlinks=True)
        except shutil.Error:
            if last:
                raise
            shutil.rmtree(copy)
        else:
            return
