"""Users of a login, in files for Apache: with hashes of their passwords, which no one but root and Apache can read.

A hash has a salt, so it differs each time that it is made. One that is still right stays.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from functools import lru_cache
from typing import TYPE_CHECKING

from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts, report
from flask_apachectl.host.desired import File, Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

PROGRAM = "htpasswd"  # of apache2-utils, without which there is no apache2
GROUP = "www-data"
# Apache checks the password with each request. This takes 3 ms, as SHA-512 does in Debian's /etc/shadow, and is
# harder to guess from.
COST = 6
HASH = re.compile(rf"\$2y\$0?{COST}\$[./A-Za-z0-9]{{53}}")


def files(declared: Mapping[Path, Mapping[str, str]], *, plan: bool = False) -> list[File]:
    """Return the files of users: ``declared`` has their passwords, by names, for each path.

    If it is a ``plan``, Apache's programs may be still missing. Raises RefusedError without them, otherwise.
    """
    if plan and not shutil.which(PROGRAM):
        return [File(path, b"", GROUP, 0o640, secret=True) for path in declared]
    return [
        File(path, content(path, tuple(sorted(names.items()))).encode(), GROUP, 0o640, secret=True)
        for path, names in declared.items()
    ]


def unneeded(directory: Path, declared: Iterable[Path]) -> list[Link]:
    """Return the removal of an app's other files of users."""
    return [Link(path) for path in sorted(directory.glob("users-*")) if path not in set(declared)]


@lru_cache(maxsize=64)
def content(path: Path, users: tuple[tuple[str, str], ...]) -> str:
    """Return what a file is to have. The same, however often it is asked for."""
    lines = [line.partition(":") for line in facts.read(path).splitlines()]
    kept = {name: found for name, _, found in lines if HASH.fullmatch(found)}
    made = {
        name: kept[name] if name in kept and _is_right(path, name, password) else _hash(name, password)
        for name, password in users
    }
    return "".join(f"{name}:{found}\n" for name, found in made.items())


def _is_right(path: Path, name: str, password: str) -> bool:
    """Tell whether a file has the hash of a user's password."""
    return _htpasswd("-vi", str(path), name, password=password).returncode == 0


def _hash(name: str, password: str) -> str:
    """Return a new hash of a password."""
    done = _htpasswd("-niBC", str(COST), name, password=password)
    found = done.stdout.decode(errors="replace").partition(":")[2].strip()
    if done.returncode or not HASH.fullmatch(found):
        raise RefusedError(f"{PROGRAM} cannot hash a password:\n{report.tail(done.stderr.decode(errors='replace'), 3)}")
    return found


def _htpasswd(*arguments: str, password: str) -> subprocess.CompletedProcess[bytes]:
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run([PROGRAM, *arguments], input=password.encode(), capture_output=True, check=False)
    raise RefusedError(f"{PROGRAM} is missing on this host: install apache2-utils")
