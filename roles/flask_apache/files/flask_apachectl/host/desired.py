"""Directories, files and links as they are to be: compare, show the difference, and make it so.

Everything here lies in directories that only root may write; nothing is followed or changed below an app's data.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, report

LONGEST_SHOWN = 100_000  # characters of a file in a difference


@dataclass(frozen=True)
class Directory:
    """A directory with its owner, group and mode."""

    path: Path
    owner: str
    group: str
    mode: int


@dataclass(frozen=True)
class File:
    """A file with its whole content. ``secret`` content is never shown."""

    path: Path
    content: bytes
    group: str = "root"
    mode: int = 0o644
    secret: bool = False


@dataclass(frozen=True)
class Link:
    """A symbolic link by the text of its target; without one there is to be nothing at the path."""

    path: Path
    target: str = ""


Wanted = Directory | File | Link


@dataclass(frozen=True)
class Change:
    """What differs at a path, for people: texts before and after, unless they are secret."""

    path: str
    before: str
    after: str

    def shown(self) -> dict[str, str]:
        """Return it as Ansible's callbacks show it with ``--diff``."""
        heads = {"before_header": self.path, "after_header": self.path}
        return {**heads, "before": report.redact(self.before), "after": report.redact(self.after)}


def of_json(value: dict[str, Any]) -> Wanted:
    """Return what the control node declared, of its JSON."""
    path = Path(value["path"])
    if "target" in value:
        return Link(path, value["target"])
    if "content" in value:
        return File(path, value["content"].encode(), value["group"], int(value["mode"], 8), secret=value["secret"])
    return Directory(path, value["owner"], value["group"], int(value["mode"], 8))


def to_json(wanted: Wanted) -> dict[str, Any]:
    """Return JSON of which `of_json` makes the same again."""
    if isinstance(wanted, Link):
        return {"path": str(wanted.path), "target": wanted.target}
    if isinstance(wanted, File):
        content = {"content": wanted.content.decode(), "group": wanted.group, "secret": wanted.secret}
        return {"path": str(wanted.path), "mode": f"{wanted.mode:04o}", **content}
    owners = {"owner": wanted.owner, "group": wanted.group}
    return {"path": str(wanted.path), "mode": f"{wanted.mode:04o}", **owners}


def difference(wanted: Wanted) -> Change | None:
    """Return what differs from what is wanted, if anything."""
    before = _present(wanted)
    after = _described(wanted)
    if before == after:
        return None
    if isinstance(wanted, File) and wanted.secret:
        hidden = "(secret)\n"
        return Change(str(wanted.path), hidden if before else "", hidden + ("" if not before else "(it differs)\n"))
    return Change(str(wanted.path), _text(before, after), _text(after, before))


def make(wanted: Wanted) -> None:
    """Make it so. A file and a link change at once, or not at all."""
    path = wanted.path
    if isinstance(wanted, Directory):
        if os.path.lexists(path) and not path.is_dir():
            raise RefusedError(f"{path} must be a directory, but something else is there: move it away")
        path.mkdir(exist_ok=True)
        os.chown(path, pwd.getpwnam(wanted.owner).pw_uid, grp.getgrnam(wanted.group).gr_gid)
        path.chmod(wanted.mode)
    elif isinstance(wanted, File):
        if path.is_dir() and not path.is_symlink():
            raise RefusedError(f"{path} must be a file, but a directory is there: move it away")
        files.write(path, wanted.content, mode=wanted.mode, group=grp.getgrnam(wanted.group).gr_gid)
    elif wanted.target:
        files.replace_link(path, wanted.target)
    else:
        files.remove(path)
        if path.parent.is_dir():
            files.sync_directory(path.parent)


def _present(wanted: Wanted) -> tuple[object, ...]:
    """Return what is at a path, in the terms of what is wanted there; nothing when nothing is."""
    path = wanted.path
    try:
        status = path.lstat() if isinstance(wanted, (Link, File)) else path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    if stat.S_ISLNK(status.st_mode):
        return ("link", os.readlink(path))
    owner, group = _user(status.st_uid), _group(status.st_gid)
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    if stat.S_ISREG(status.st_mode):
        return ("file", owner, group, mode, path.read_bytes())
    return ("directory" if stat.S_ISDIR(status.st_mode) else "something else", owner, group, mode)


def _described(wanted: Wanted) -> tuple[object, ...]:
    if isinstance(wanted, Link):
        return ("link", wanted.target) if wanted.target else ()
    if isinstance(wanted, File):
        return ("file", "root", wanted.group, f"{wanted.mode:04o}", wanted.content)
    return ("directory", wanted.owner, wanted.group, f"{wanted.mode:04o}")


def _text(described: tuple[object, ...], other: tuple[object, ...]) -> str:
    """Return a description as text that a person reads beside another: of a file, its content says most."""
    if not described:
        return ""
    kind, *rest = described
    if kind == "link":
        return f"link to {rest[0]}\n"
    head = f"{kind} owner={rest[0]} group={rest[1]} mode={rest[2]}\n"
    if kind != "file":
        return head
    content = rest[3] if isinstance(rest[3], bytes) else b""
    text = content.decode(errors="replace")
    if "\0" in text or len(text) > LONGEST_SHOWN:
        text = f"({len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()[:12]})\n"
    same = not other or (other[0] == "file" and other[1:4] == described[1:4])
    return text if same and text else head + text


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
