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
from typing import IO, TYPE_CHECKING, Any

from flask_apachectl.errors import FailedProgramError
from flask_apachectl.host import report
from flask_apachectl.host.builder import Builder

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
    user: str | Builder,
    group: int,
    *,
    home: Path,
    cwd: Path,
    seconds: float,
    environment: dict[str, str] | None = None,
) -> str:
    """Run a command without root's rights, in a clean environment, and return its output. It ends with this process.

    What the command has started in its session ends with it; nothing at all that a command of a `Builder` has started
    outlives it. Raises FailedProgramError with the end of the output when it fails or takes longer than ``seconds``.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if re.match(r"(?i:\w+_proxy$)", name)},
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        **(environment or {}),
    }
    identity: dict[str, Any] = {}
    if isinstance(user, Builder):
        words = user.command(group, list(command))
        environment["TMPDIR"] = str(user.tmp)
    else:
        words = ["setpriv", "--pdeathsig=KILL", "nice", *command]
        identity = {"user": user, "group": group, "extra_groups": []}
    with os.fdopen(os.memfd_create("output"), "w+b") as file:  # not a pipe, which what is left behind would keep open
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=environment,
            umask=0o027,
            start_new_session=True,
            pass_fds=inherited(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            **identity,
        )
        with contextlib.suppress(OSError):  # visitors first: where Linux weighs whole sessions, `nice` is of no effect
            Path(f"/proc/{process.pid}/autogroup").write_text("10", encoding="ascii")
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            output = _read(file)
            problem = f"did not finish within {seconds:.0f} s:\n{report.tail(output)}"
            raise FailedProgramError(problem, output) from None
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(user, Builder):
                user.end()
        output = _read(file)
    if process.returncode:
        raise FailedProgramError(report.tail(output), output)
    return output


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def resident(pids: Sequence[int]) -> int:
    """Return the resident memory of some processes, in bytes; pages that they share count for each."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
