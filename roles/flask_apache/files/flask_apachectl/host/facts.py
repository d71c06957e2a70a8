"""What the host says of itself. Reads only."""

from __future__ import annotations

import grp
import pwd
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from flask_apachectl import paths


def output(*command: str) -> str:
    """Return a command's output, or nothing when it fails or does not exist."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def read(path: Path) -> str:
    """Return a file's text, or nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def distribution() -> tuple[str, str]:
    """Return the distribution's name and version as Ansible names them, such as ``Debian`` and ``12``."""
    found = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)', read(Path("/etc/os-release")), re.MULTILINE))
    return found.get("ID", "unknown").capitalize(), found.get("VERSION_ID", "")


def packages(names: list[str]) -> dict[str, str]:
    """Return the installed ones of the named Debian packages with their upstream versions."""
    lines = output("dpkg-query", "-W", "-f", r"${binary:Package} ${db:Status-Abbrev} ${Version}\n").splitlines()
    installed = {}
    for line in lines:
        name, state, version = line.split()[:3]
        if state[1:] == "i":  # whatever is wanted of it: a package that is held is "hi"
            installed[name.partition(":")[0]] = re.sub(r"^\d+:|[-+~].*", "", version)
    return {name: installed[name] for name in names if name in installed}


def user(name: str) -> dict[str, Any] | None:
    """Return what is known of a Unix user."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None
    same = [each.pw_name for each in pwd.getpwall() if each.pw_uid == entry.pw_uid and each.pw_name != name]
    found = {"uid": entry.pw_uid, "home": entry.pw_dir, "shell": entry.pw_shell, "group": group(entry.pw_gid)}
    return {**found, "same_uid": same}


def group(wanted: str | int) -> str | None:
    """Return the name of a Unix group, if there is one."""
    try:
        return (grp.getgrnam(wanted) if isinstance(wanted, str) else grp.getgrgid(wanted)).gr_name
    except (KeyError, ValueError):
        return None


def apache_group() -> int:
    """Return the group as which Apache runs, which its file envvars names."""
    found = re.findall(r"(?m)^\s*export\s+APACHE_RUN_GROUP=[\"']?([\w.-]+)", read(paths.APACHE / "envvars"))
    return grp.getgrnam(found[-1] if found else "www-data").gr_gid


def interpreter(path: str) -> str | None:
    """Return the minor version of a Python interpreter, such as ``3.11``, or None when it does not run."""
    try:
        return output(path, "-c", "import sys; print('{}.{}'.format(*sys.version_info))") or None
    except ValueError:
        return None


def is_calendar(text: str) -> bool:
    """Tell whether systemd reads a text as times of a calendar; without it no timer is declared."""
    return shutil.which("systemd-analyze") is None or bool(output("systemd-analyze", "calendar", "--", text))
