"""The Unix users of builds: one for each app. Only those that the role made are removed; their homes tell."""

from __future__ import annotations

import pwd
import subprocess
from typing import TYPE_CHECKING

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts, files
from flask_apachectl.host.builder import Builder

if TYPE_CHECKING:
    from pathlib import Path


def remove(app: str) -> None:
    """Remove the user of an app's builds, with all that it runs and has left in temporary directories."""
    _remove(paths.build_user(app), paths.CACHE / app)


def is_shared_one_unused() -> bool:
    """Tell whether the host still has the one build user that all apps shared once, though no app needs it."""
    try:
        entry = pwd.getpwnam(paths.SHARED_BUILD_USER)
    except KeyError:
        return False
    if entry.pw_dir != str(paths.CACHE):
        return False
    return not [path for path in paths.CACHE.glob("*") if path.lstat().st_uid == entry.pw_uid]


def remove_shared_one() -> None:
    """Remove the build user that all apps shared once, and what it built for all of them."""
    _remove(paths.SHARED_BUILD_USER, paths.CACHE)
    if not (paths.ETC / "tools").exists():  # otherwise it is the cache of an app with this name
        files.remove(paths.CACHE / "tools")
        files.remove(paths.CACHE / "tools.lock")


def remove_user(name: str) -> None:
    """Remove a user and its group. Raises RefusedError when that cannot be."""
    _run("userdel", name, what="user")
    if facts.group(name):  # where new users get no group of their own, they take none with them
        _run("groupdel", name, what="group")


def _run(program: str, name: str, *, what: str) -> None:
    done = subprocess.run([program, name], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RefusedError(f"the {what} {name} cannot be removed: {done.stderr.strip()}")


def _remove(name: str, home: Path) -> None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return
    if entry.pw_dir == str(home):
        Builder(name, entry.pw_uid, home).leave_nothing()
        remove_user(name)
