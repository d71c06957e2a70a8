#!/usr/bin/env python3
"""Identify and pack an application's source. Runs on the controller.

The id is a hash of the files' names, contents and executable bits: the same source has the same id on every
controller, whatever the time stamps. The archive is made once per id, with safe owners and modes.

Prints a JSON object: ``id`` (12 hexadecimal digits), ``archive`` (path), ``files`` (count), ``bytes``.
Ends with 1 and one line on standard error when the source cannot be packed.
"""

from __future__ import annotations

import argparse
import fnmatch
import gzip
import hashlib
import json
import os
import sys
import tarfile
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KEPT = 86400  # seconds that an archive stays for hosts that have not got it yet
NEVER_SHIPPED = (".git", ".hg", ".svn", "__pycache__", "*.py[co]")


class SourceError(Exception):
    """The source cannot be packed: the message names the file and the way out."""


def walk(source: Path, exclude: Sequence[str]) -> Iterator[Path]:
    """Yield the files, links and directories to ship, parents first, in a fixed order."""
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        path = Path(entry.path)
        if any(fnmatch.fnmatch(entry.name, pattern) for pattern in exclude):
            continue
        if entry.is_dir(follow_symlinks=False):
            if (path / "pyvenv.cfg").exists():
                continue
            yield path
            yield from walk(path, exclude)
        else:
            yield path


def check_name(name: str) -> None:
    """Refuse a name that is not the same text on every host."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SourceError(
            f"{name!r} is not named in UTF-8: rename it, or leave it out (flask_apache_source_exclude)"
        ) from None


def check_link(path: Path, source: Path) -> None:
    """Refuse a link that leaves the source: it would be broken, or worse, on the host."""
    target = path.readlink()
    leaves = target.is_absolute() or not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(source))
    depth = len(path.relative_to(source).parent.parts)
    for part in target.parts:  # out of the source and in again, by a name that is another one on the host
        depth += -1 if part == ".." else 1
        leaves = leaves or depth < 0
    if leaves:
        raise SourceError(f"{path} links to {target}, outside of the source: replace it by a copy")


def collect(source: Path, exclude: Sequence[str]) -> list[tuple[str, Path, tarfile.TarInfo]]:
    """Describe what is shipped as tar members, refusing what is neither file, directory nor inner link."""
    members = []
    for path in walk(source, exclude):
        name = PurePosixPath(path.relative_to(source)).as_posix()
        check_name(name)
        stat = path.lstat()
        member = tarfile.TarInfo(name)
        member.mtime = int(stat.st_mtime)
        if path.is_symlink():
            check_link(path, source)
            check_name(str(path.readlink()))
            member.type, member.linkname, member.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        elif path.is_dir():
            member.type, member.mode = tarfile.DIRTYPE, 0o755
        elif path.is_file():
            member.size, member.mode = stat.st_size, 0o755 if stat.st_mode & 0o100 else 0o644
        else:
            raise SourceError(f"{path} is a socket, a pipe or a device: leave it out (flask_apache_source_exclude)")
        members.append((name, path, member))
    return members


def identify(members: Sequence[tuple[str, Path, tarfile.TarInfo]]) -> str:
    """Return the source's id: 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, path, member in members:
        digest.update(f"{name}\0{member.type!r}\0{member.mode:o}\0{member.linkname}\0{member.size}\0".encode())
        if member.isreg():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def pack(members: Sequence[tuple[str, Path, tarfile.TarInfo]], archive: Path) -> None:
    """Write the gzip-compressed tar archive, whole or not at all."""
    partial = archive.with_name(f".{archive.name}.{os.getpid()}")
    try:
        with (
            partial.open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for _, path, member in members:
                if member.isreg():
                    with path.open("rb") as file:
                        tar.addfile(member, file)
                else:
                    tar.addfile(member)
        partial.replace(archive)
    finally:
        partial.unlink(missing_ok=True)
    for other in archive.parent.glob("*.tar.gz"):
        if other != archive and time.time() - other.stat().st_mtime > KEPT:
            other.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--exclude", metavar="PATTERN", nargs="*", default=[], help="names to leave out (fnmatch)")
    parser.add_argument("--cache", type=Path, required=True, help="directory for the archive")
    options = parser.parse_args(arguments)
    source = Path(os.path.abspath(options.source))
    try:
        members = collect(source, [*NEVER_SHIPPED, *options.exclude])
        identity = identify(members)
        archive = options.cache.expanduser() / f"{identity}.tar.gz"
        if not archive.exists():
            archive.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            pack(members, archive)
    except (SourceError, OSError) as error:
        print(str(error).replace("\n", "\\n"), file=sys.stderr)
        return 1
    size = sum(member.size for _, _, member in members)
    print(json.dumps({"id": identity, "archive": str(archive), "files": len(members), "bytes": size}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
