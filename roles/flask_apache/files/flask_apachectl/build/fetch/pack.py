"""Identify and pack a directory.

The id is a hash of the files' names, contents and executable bits: the same source has the same id on every
control node, whatever the time stamps. The archive is made once per id, in a fixed order, with safe owners and modes;
files keep their modification times, because browsers' caches depend on them.
"""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import os
import re
import subprocess
import tarfile
import threading
import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Ships = Callable[[Path, bool], bool]  # tells whether a path is shipped, given whether it is a directory
    Members = Sequence[tuple[str, Path, tarfile.TarInfo]]

KEPT = 86400  # seconds for which an archive is kept for hosts that do not have it yet
NEVER_SHIPPED = (".git", ".hg", ".svn", "__pycache__", "*.py[co]")


class SourceError(Exception):
    """The source cannot be fetched or packed. The message says why, and what to do."""


def listed_by_git(directory: Path) -> set[Path] | None:
    """Return the files of a work tree that git tracks or would add; None without a work tree or git.

    Raises SourceError when git cannot list them, or a submodule is not checked out.
    """
    # Accept a work tree of another user, but run no program that its configuration names.
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
        elif (path / ".git").exists():  # a submodule, or a nested repository
            files |= listed_by_git(path) or set()
        elif not any(other.startswith(f"{name}/") for other in names):
            raise SourceError(f"the submodule {path} is not checked out: run `git submodule update --init`")
    return files


def ignore_rule(line: str) -> tuple[re.Pattern[str], bool, bool] | None:
    """Translate a line of .gitignore.

    Returns what it matches below its directory, whether it matches directories only, and whether it ignores them;
    None for a line without a rule. Named classes of characters, such as ``[[:alpha:]]``, are not supported.
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
    except re.error:  # an invalid range, which matches nothing in git
        return None


class GitIgnore:
    """The .gitignore files of a directory and those below it, read without git, so that tracked files are not known."""

    def __init__(self, top: Path) -> None:
        """Start at the top directory."""
        self.top = top
        self.rules: dict[Path, list[tuple[re.Pattern[str], bool, bool]]] = {}

    def of(self, directory: Path) -> list[tuple[re.Pattern[str], bool, bool]]:
        """Return the rules of a directory's own file."""
        if directory not in self.rules:
            path = directory / ".gitignore"
            text = path.read_text(encoding="latin-1") if path.is_file() else ""
            self.rules[directory] = [rule for line in text.split("\n") if (rule := ignore_rule(line))]
        return self.rules[directory]

    def ships(self, path: Path, is_directory: bool) -> bool:  # noqa: FBT001 - see Ships
        """Tell whether a path in a shipped directory is not ignored. The last rule that matches decides."""
        for directory in path.parents:
            name = os.fsencode(path.relative_to(directory)).decode("latin-1")  # git compares bytes
            for pattern, only_directories, ignores in reversed(self.of(directory)):
                if (is_directory or not only_directories) and pattern.fullmatch(name):
                    return not ignores
            if directory == self.top:
                break
        return True


def not_ignored(top: Path, directory: Path) -> Ships:
    """Return a function that tells whether a path below ``top`` is shipped, by git, or else by the .gitignore files."""
    files = listed_by_git(directory)
    if not files:  # no work tree, or one that ignores the whole directory
        return GitIgnore(top).ships
    wanted = files | {parent for file in files for parent in file.parents}
    return lambda path, _is_directory: path in wanted


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
    """Refuse a file name that is not valid UTF-8, because it would differ between hosts."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SourceError(
            f"the file name {name!r} must be valid UTF-8: rename it, or exclude it with flask_apache_source_exclude"
        ) from None


def check_link(path: Path, source: Path) -> None:
    """Refuse a link to a target outside of the source, which would be broken or unsafe on the host."""
    target = path.readlink()
    leaves = target.is_absolute() or not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(source))
    depth = len(path.relative_to(source).parent.parts)
    for part in target.parts:  # out of the source and back in, through a name that differs on the host
        depth += -1 if part == ".." else 1
        leaves = leaves or depth < 0
    if leaves:
        raise SourceError(f"{path} links to {target}, outside of the source: replace the link with a copy")


def collect(source: Path, exclude: Sequence[str], ships: Ships = everything) -> Members:
    """Describe what is shipped as tar members. Raises SourceError unless it is a file, a directory or an inner link."""
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
            raise SourceError(f"{path} is a socket, a pipe or a device: exclude it with flask_apache_source_exclude")
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


def write(members: Members, archive: Path) -> None:
    """Write the gzip-compressed tar archive atomically, and delete old archives beside it."""
    partial = archive.with_name(f".{archive.name}.{os.getpid()}-{threading.get_ident()}")
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


def pack(directory: Path, cache: Path, exclude: Sequence[str] = (), *, gitignore: bool = False) -> dict[str, Any]:
    """Identify a directory, and pack it unless the cache has its archive.

    ``exclude`` are names to leave out (fnmatch patterns); with ``gitignore``, also what git ignores. Returns ``id``
    (12 hexadecimal digits), ``archive`` (path), ``files`` (count) and ``bytes``. Raises SourceError, in one line.
    """
    directory = Path(os.path.abspath(directory))
    try:
        members = collect(directory, exclude, not_ignored(directory, directory) if gitignore else everything)
        identity = identify(members)
        archive = cache.expanduser() / f"{identity}.tar.gz"
        if not archive.exists():
            archive.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write(members, archive)
    except (SourceError, OSError) as error:
        raise SourceError(str(error).replace("\n", "\\n")) from None
    size = sum(member.size for _, _, member in members)
    return {"id": identity, "archive": str(archive), "files": len(members), "bytes": size}
