"""The app's interpreter, and commands that run as the app."""

from __future__ import annotations

import os
import pwd
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_apachectl.app import App


def version(app: App) -> str:
    """Return the minor version of the app's interpreter, such as ``3.11``."""
    code = "import sys; print('{}.{}'.format(*sys.version_info))"
    return subprocess.run(
        [app.spec.python, "-I", "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def entry(app: App, release: str) -> list[str]:
    """Return the beginning of a command in a release: the entry script, which gives it the release's environment."""
    return [f"{app.releases / release}/venv/bin/python", str(app.conf / "entry.wsgi")]


def environment_of_commands(app: App) -> dict[str, str]:
    """Return what a command's environment has besides the release's own."""
    kept = {name: os.environ[name] for name in ("TERM", "COLUMNS", "LINES") if name in os.environ}
    names = {"USER": app.site.user, "LOGNAME": app.site.user, "LANG": "C.UTF-8"}
    return {**kept, **names, "PATH": "/usr/local/bin:/usr/bin:/bin"}


def umask(app: App) -> int:
    """Return the app's umask."""
    return int(app.site.umask or "0022", 8)


def become(app: App, release: str, command: Sequence[str]) -> None:
    """Replace this process by a command of the app's, in one of its releases."""
    user = pwd.getpwnam(app.site.user)
    program, script = entry(app, release)
    os.chdir(app.releases / release / "app")
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.umask(umask(app))
    os.execve(program, ["python", script, *command], environment_of_commands(app))  # noqa: S606
