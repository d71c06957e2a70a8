"""The Unix user of an app's builds, and the place where its commands run.

A build runs code of other people. Its user belongs to one app, gets no further rights, and nothing that it starts
outlives its command. Where the host permits namespaces, a command also sees no other process, has /tmp and shared
memory of its own, and no D-Bus. Most containers do not permit them; there the user alone has to do.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files

UNSHARE = ("unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child=KILL", "--mount-proc")
# $0 is the user's own temporary directory, the arguments are the command. This shell ends last, and all with it.
OWN_PLACES = """
for place in /tmp /var/tmp /dev/shm; do [ ! -d $place ] || mount --bind "$0" $place; done
[ ! -d /run/dbus ] || mount -t tmpfs -o mode=0555,size=4k none /run/dbus
"$@"
exit $?
"""
EVERYBODYS = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")  # noqa: S108 - where any user may leave files
STATIC_SYSTEM_UIDS = 100  # Debian's policy: those below belong to the system
ENDS_WITHIN = 10.0  # seconds, for a killed process


@dataclass(frozen=True)
class Builder:
    """The user of an app's builds, as the host knows it."""

    name: str
    uid: int
    home: Path  # its caches, which no other app's builds use

    @property
    def tmp(self) -> Path:
        """Its temporary directory: on disk, because builds can be large."""
        return self.home / "tmp"

    def clean(self) -> None:
        """End what an earlier command may have left, and make an empty temporary directory.

        What another user left in the caches is removed: all apps of a host once had one build user.
        """
        self.end()
        for path in self.home.iterdir():
            if path.lstat().st_uid != self.uid or path == self.tmp:
                files.remove(path)
        self.tmp.mkdir(mode=0o700)
        os.chown(self.tmp, self.uid, -1)

    def leave_nothing(self) -> None:
        """End what still runs, and remove its temporary files, also those in directories of everybody's."""
        self.end()
        files.remove(self.tmp)
        for directory in EVERYBODYS:
            with contextlib.suppress(OSError):
                for entry in os.scandir(directory):
                    if entry.stat(follow_symlinks=False).st_uid == self.uid:
                        is_tree = entry.is_dir(follow_symlinks=False)
                        shutil.rmtree(entry.path) if is_tree else os.unlink(entry.path)

    def end(self) -> None:
        """End all processes of the user. One signal reaches all at once, so that none can fork away from it.

        Raises RefusedError when one does not end.
        """
        self._expect_own()
        deadline = time.monotonic() + ENDS_WITHIN
        while pids := processes(self.uid):
            if time.monotonic() > deadline:
                raise RefusedError(f"a process of {self.name} does not end, even if it is killed: pid {pids[0]}")
            identity = {"user": self.uid, "group": self.uid, "extra_groups": []}
            subprocess.run(["sh", "-c", "kill -KILL -1"], check=False, capture_output=True, cwd="/", **identity)  # type: ignore[call-overload]
            time.sleep(0.01)

    def command(self, group: int, words: list[str]) -> list[str]:
        """Return what runs a command as this user. It ends with the process that starts it."""
        self._expect_own()
        rights = [f"--reuid={self.uid}", f"--regid={group}", "--clear-groups", "--no-new-privs", "--inh-caps=-all"]
        inner = ["setpriv", "--pdeathsig=KILL", *rights, "nice", *words]
        if not are_namespaces_permitted():
            return inner
        return ["setpriv", "--pdeathsig=KILL", *UNSHARE, "sh", "-ec", OWN_PLACES, str(self.tmp), *inner]

    def _expect_own(self) -> None:
        if self.uid < STATIC_SYSTEM_UIDS:
            raise RefusedError(f"the build user {self.name} must not be a user of the system, got uid {self.uid}")


def of(app: str) -> Builder:
    """Return the user of an app's builds. Raises RefusedError when the host has none."""
    name, home = paths.build_user(app), paths.CACHE / app
    try:
        return Builder(name, pwd.getpwnam(name).pw_uid, home)
    except KeyError:
        raise RefusedError(f"the build user {name} does not exist on this host: run the role") from None


@functools.cache
def are_namespaces_permitted() -> bool:
    """Tell whether this process may give a command process and mount namespaces of its own."""
    return subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0


def processes(uid: int) -> list[int]:
    """Return the pids of a user's processes. A process can hide its owner in /proc, but not in its status."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (path / "status").read_text(encoding="utf-8", errors="replace")
            uids = re.search(r"(?m)^Uid:\s+(.*)$", status)
            is_dead = re.search(r"(?m)^State:\s+[ZX]", status)
            if uids and not is_dead and str(uid) in uids[1].split():
                found.append(int(path.name))
    return found
