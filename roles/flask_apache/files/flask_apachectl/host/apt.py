"""The locks of the distribution's packages, which another program may hold, such as a new machine's first upgrade."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts, report

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
SECONDS = 900.0
FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, pid


def holder(lock: str) -> int | None:
    """Return the process that holds a lock (0 for one that cannot be seen from here), or None."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return None
    try:
        asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, *_, pid = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else max(0, int(pid))


def held() -> str:
    """Return which program holds one of the locks, such as ``unattended-upgr (pid 12)``, or nothing."""
    for lock in LOCKS:
        pid = holder(lock)
        if pid is not None:
            name = facts.read(Path(f"/proc/{pid}/comm")).strip() if pid else ""
            return f"{name or 'a program'} (pid {pid or 'unknown'}), which holds {lock}"
    return ""


def wait(seconds: float = SECONDS) -> bool:
    """Wait until no other program uses apt, saying for whom; tell whether it was in use. Raises RefusedError."""
    deadline, shown = time.monotonic() + seconds, ""
    while who := held():
        if who != shown:
            report.say(f"wait    for {who}")
            shown = who
        if time.monotonic() > deadline:
            raise RefusedError(f"apt is in use by {who}, for more than {seconds:.0f} s: try again later, or end it")
        time.sleep(0.5)
    return bool(shown)
