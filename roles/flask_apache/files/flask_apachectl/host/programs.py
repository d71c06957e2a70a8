"""Other programs, run without root's rights."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl.errors import RefusedError
from flask_apachectl.host import report

if TYPE_CHECKING:
    from collections.abc import Sequence


def itself() -> list[str]:
    """Return the command that runs this engine again, in a child process that gets `inherited`."""
    return [sys.executable, "-I", "-X", "utf8", sys.argv[0]]


def inherited() -> tuple[int, ...]:
    """Return the file descriptor that holds this engine, if it runs from memory instead of from a file."""
    found = re.fullmatch(r"/proc/self/fd/(\d+)", sys.argv[0])
    return (int(found[1]),) if found else ()


def split(command: str | Sequence[str]) -> list[str]:
    """Return a command's words; a string is split as a shell does, but nothing else is done to it."""
    return shlex.split(command) if isinstance(command, str) else list(command)


def run(
    command: Sequence[str],
    user: str,
    group: int,
    *,
    home: Path,
    cwd: Path,
    seconds: float,
    environment: dict[str, str] | None = None,
) -> str:
    """Run a command without root's rights, in a clean environment, and return its output. It ends with this process.

    Raises RefusedError with the end of the output when it fails or takes longer than ``seconds``.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if re.match(r"(?i:\w+_proxy$)", name)},
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        **(environment or {}),
    }
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "nice", *command],
        cwd=cwd,
        env=environment,
        user=user,
        group=group,
        extra_groups=[],
        umask=0o027,
        start_new_session=True,
        pass_fds=inherited(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    with contextlib.suppress(OSError):  # visitors first: where Linux weighs whole sessions, `nice` is of no effect
        Path(f"/proc/{process.pid}/autogroup").write_text("10", encoding="ascii")
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise RefusedError(f"did not finish within {seconds:.0f} s:\n{report.tail(output)}") from None
    if process.returncode:
        raise RefusedError(report.tail(output))
    return output


def resident(pids: Sequence[int]) -> int:
    """Return the resident memory of some processes, in MiB; pages that they share count for each."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
