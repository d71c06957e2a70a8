#!/usr/bin/env python3
"""Identify and pack an application's source. Runs on the controller.

The id is a hash of the files' names, contents and executable bits: the same source has the same id on every
controller, whatever the time stamps. The archive is made once per id, in a fixed order, with safe owners and modes;
files keep their times of modification, which browsers' caches depend on.

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
import re
import subprocess
import sys
import tarfile
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Ships = Callable[[Path, bool], bool]  # tells of a path, and whether it is a directory, if it is shipped
    Members = Sequence[tuple[str, Path, tarfile.TarInfo]]

KEPT = 86400  # seconds that an archive stays for hosts that have not got it yet
NEVER_SHIPPED = (".git", ".hg", ".svn", "__pycache__", "*.py[co]")


class SourceError(Exception):
    """The source cannot be packed: the message names the file and the way out."""


# --- What version control ignores ------------------------------------------------------------------------------------


def listed_by_git(directory: Path) -> set[Path] | None:
    """Return the files of a work tree that git has or would add; None where there is no work tree or no git.

    Raises SourceError when git cannot tell, or a submodule is not there.
    """
    # Also of another user, but without a program that its configuration names.
    settings = ["-c", "safe.directory=*", "-c", "core.fsmonitor=false"]
    command = ["git", *settings, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {"LC_ALL": "C"}
    try:
        done = subprocess.run(command, cwd=directory, env=environment, check=False, capture_output=True)
    except FileNotFoundError:
        return None
    if done.returncode:
        reason = os.fsdecode(done.stderr).strip()
        if "not a git repository" in reason or "must be run in a work tree" in reason:
            return None
        raise SourceError(f"git cannot list {directory}: {reason}")
    names = {name.rstrip("/") for name in os.fsdecode(done.stdout).split("\0") if name}
    files = set()
    for name in names:
        path = directory / name
        if path.is_symlink() or not path.is_dir():
            files.add(path)
        elif (path / ".git").exists():  # a submodule, or a repository within
            files |= listed_by_git(path) or set()
        elif not any(other.startswith(f"{name}/") for other in names):
            raise SourceError(f"the submodule {path} is not checked out: say `git submodule update --init`")
    return files


def ignore_rule(line: str) -> tuple[re.Pattern[str], bool, bool] | None:
    """Translate a line of .gitignore: what it matches, below its directory; if directories only; if it ignores.

    Returns None for no rule. Classes of characters by name, such as ``[[:alpha:]]``, are not known.
    """
    line = re.sub(r"(?<!\\) +$", "", line.rstrip("\r\n"))
    ignores = not line.startswith("!")
    line = line if ignores else line[1:]
    if not line.strip("/") or line.startswith("#"):
        return None
    pattern = line.strip("/")
    expression = "" if "/" in line[:-1] else "(?:.*/)?"
    tokens = r"^\*\*/|/\*\*/|/\*\*$|\*+|\?|\[[!^]?\]?(?:\\.|[^\]\\])*\]|\\.|."
    known = {"**/": "(?:.*/)?", "/**/": "/(?:.*/)?", "/**": "/.+", "?": "[^/]"}
    for token in re.findall(tokens, pattern, re.DOTALL):
        if token in known:
            expression += known[token]
        elif token.startswith("*"):
            expression += "[^/]*"
        elif token.startswith("[") and len(token) > 1:
            inner = re.sub(r"^[!^]", "", token[1:-1])
            expression += f"(?!/)[{'^' if inner != token[1:-1] else ''}{inner.replace('[', chr(92) + '[')}]"
        else:
            expression += re.escape(token[-1])
    try:
        return re.compile(expression, re.DOTALL), line.endswith("/"), ignores
    except re.error:  # no range, which git takes for no match
        return None


class GitIgnore:
    """The .gitignore files of a directory and those below it, without git's help: what is tracked is not known."""

    def __init__(self, top: Path) -> None:
        """Begin at the directory."""
        self.top = top
        self.rules: dict[Path, list[tuple[re.Pattern[str], bool, bool]]] = {}

    def of(self, directory: Path) -> list[tuple[re.Pattern[str], bool, bool]]:
        """Return a directory's own rules."""
        if directory not in self.rules:
            path = directory / ".gitignore"
            text = path.read_text(encoding="latin-1") if path.is_file() else ""
            self.rules[directory] = [rule for line in text.split("\n") if (rule := ignore_rule(line))]
        return self.rules[directory]

    def ships(self, path: Path, is_directory: bool) -> bool:  # noqa: FBT001 - see Ships
        """Tell whether a path, whose directory is shipped, is not ignored: the last rule that matches decides."""
        for directory in path.parents:
            name = os.fsencode(path.relative_to(directory)).decode("latin-1")  # as git, which compares bytes
            for pattern, only_directories, ignores in reversed(self.of(directory)):
                if (is_directory or not only_directories) and pattern.fullmatch(name):
                    return not ignores
            if directory == self.top:
                break
        return True


def not_ignored(top: Path, directory: Path) -> Ships:
    """Return what tells if a path in a directory at or below ``top`` is shipped: git, or else the .gitignore files."""
    files = listed_by_git(directory)
    if not files:  # no work tree, or one that ignores the directory as a whole
        return GitIgnore(top).ships
    wanted = files | {parent for file in files for parent in file.parents}
    return lambda path, _is_directory: path in wanted


# --- Identify and pack -----------------------------------------------------------------------------------------------


def everything(_path: Path, _is_directory: bool) -> bool:  # noqa: FBT001 - see Ships
    """Ship every path."""
    return True


def walk(source: Path, exclude: Sequence[str], ships: Ships) -> Iterator[Path]:
    """Yield the files, links and directories to ship, parents first, in a fixed order."""
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        path = Path(entry.path)
        is_directory = entry.is_dir(follow_symlinks=False)
        if any(fnmatch.fnmatch(entry.name, pattern) for pattern in exclude) or not ships(path, is_directory):
            continue
        if is_directory:
            if (path / "pyvenv.cfg").exists():
                continue
            yield path
            yield from walk(path, exclude, ships)
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


def collect(source: Path, exclude: Sequence[str], ships: Ships = everything) -> Members:
    """Describe what is shipped as tar members, refusing what is neither file, directory nor inner link."""
    members = []
    for path in walk(source, [*NEVER_SHIPPED, *exclude], ships):
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


def identify(members: Members) -> str:
    """Return the source's id: 12 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, path, member in members:
        digest.update(f"{name}\0{member.type!r}\0{member.mode:o}\0{member.linkname}\0{member.size}\0".encode())
        if member.isreg():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def pack(members: Members, archive: Path) -> None:
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
    parser.add_argument("--gitignore", action="store_true", help="leave out what git ignores")
    parser.add_argument("--cache", type=Path, required=True, help="directory for the archive")
    options = parser.parse_args(arguments)
    source = Path(os.path.abspath(options.source))
    try:
        members = collect(source, options.exclude, not_ignored(source, source) if options.gitignore else everything)
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
