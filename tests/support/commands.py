"""Run other programs, and say what went wrong in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]


class SetupError(Exception):
    """The machine cannot run these tests; the message is for the person who typed the command."""


def cache_directory() -> Path:
    """Return the directory that outlives a run: downloads, bootstrapped systems, dockerd's log."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(home) / "flask_apache-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def say(message: str) -> None:
    """Tell the person at the terminal what takes time now."""
    print(f"-- {message}", file=sys.stderr, flush=True)


def run(
    argv: Sequence[str | Path],
    *,
    check: bool = True,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program and capture what it prints.

    Raises SetupError, with the end of the output, when it fails and ``check`` is true.
    """
    done = subprocess.run(
        [str(part) for part in argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=cwd,
        env=None if env is None else dict(env),
        timeout=timeout,
    )
    if check and done.returncode != 0:
        raise SetupError(f"`{' '.join(str(part) for part in argv)}` ended with {done.returncode}:\n{tail(done)}")
    return done


def tail(done: subprocess.CompletedProcess[str], lines: int = 20) -> str:
    """Return the last lines that a program printed."""
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-lines:])


def errors(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a program itself calls an error, as pip, apt and mmdebstrap do; else its last lines."""
    found = [line for line in done.stderr.splitlines() if line.startswith(("ERROR:", "E:"))]
    return "\n".join(found) or tail(done)


def is_root() -> bool:
    """Say whether this process may do everything on this machine."""
    return os.geteuid() == 0


def apt_install(*packages: str) -> None:
    """Install packages of Debian or Ubuntu on this machine.

    Raises SetupError when apt is missing, this user may not use it, or the packages cannot be reached.
    """
    wanted = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise SetupError(f"needed on this machine: {wanted} (it has no apt-get, so install that by hand)")
    become = [] if is_root() else ["sudo", "-n"]
    if not is_root() and run(["sudo", "-n", "true"], check=False).returncode != 0:
        raise SetupError(f"needed on this machine: apt-get install {wanted} (this user is not root and may not sudo)")
    say(f"apt-get install {wanted}")
    env = [*become, "env", "DEBIAN_FRONTEND=noninteractive"]
    install = [*env, "apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    if run(install, check=False).returncode == 0:
        return
    run([*env, "apt-get", "update", "--quiet"], check=False)
    done = run(install, check=False)
    if done.returncode != 0:
        raise SetupError(f"Debian's packages cannot be reached: {errors(done)}")
