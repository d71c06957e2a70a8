"""Who decides where a path leads: root alone, or somebody else, too. Reads only."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_LINKS = 40  # as many as Linux follows
OF_THE_KERNEL = ("/dev/std", "/dev/null", "/dev/fd/", "/proc/self/fd/")  # streams of the process itself


def not_only_root(path: str, users: Iterable[str]) -> str:
    """Return why others than root can decide where a path leads, or nothing.

    Each directory and link on its way must be root's, and none may be writable to everybody or to a group of ``users``.
    What does not exist yet is made by root.
    """
    if path.startswith(OF_THE_KERNEL):
        return ""
    groups = {group: user for user in users for group in _groups(user)}
    here, rest, links = Path("/"), list(Path(path).parts[1:]), 0
    while rest:
        if problem := _problem(here, groups):
            return problem
        part = rest.pop(0)
        if part == "..":
            here = here.parent
            continue
        here /= part
        try:
            status = here.lstat()
        except OSError:
            return ""
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if status.st_uid or links > MOST_LINKS:
                return f"{here} is a link of {_name(status.st_uid)}" if status.st_uid else f"{here} leads in a circle"
            target = Path(os.readlink(here))
            rest = [*target.parts[int(target.is_absolute()) :], *rest]
            here = Path("/") if target.is_absolute() else here.parent
    return ""


def _problem(directory: Path, groups: dict[int, str]) -> str:
    status = directory.stat()
    if status.st_uid:
        return f"{directory} belongs to {_name(status.st_uid)}"
    if status.st_mode & stat.S_IWOTH:
        return f"{directory} is writable to everybody"
    if status.st_mode & stat.S_IWGRP and status.st_gid in groups:
        return f"{directory} is writable to a group of {groups[status.st_gid]}"
    return ""


def _groups(user: str) -> list[int]:
    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        return []
    return os.getgrouplist(entry.pw_name, entry.pw_gid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"
