"""The daemon processes of an app's pools."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import paths, slots
from flask_apachectl.apache import server
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts, report, sockets
from flask_apachectl.serve import units

if TYPE_CHECKING:
    from flask_apachectl.app import App

CLOCK_TICK = 0.02  # seconds by which the kernel's time of a process's start may be early
ENDS_WITHIN = 20.0  # seconds that Apache's own end of the pools may take before they are killed


@dataclass(frozen=True)
class DaemonProcess:
    """A daemon process of the app: a child of Apache that runs as the app's user.

    ``slot`` comes from the beginning of its display name, which only that process itself could change; names alone
    prove nothing, as Linux cuts them. ``started`` is in seconds of this boot. ``loading`` tells that it has one thread
    only: it still loads the app, can have no visitor's request, and would heed no signal but SIGKILL.
    """

    pid: int
    slot: str
    started: float
    loading: bool = False


def daemon_processes(app: App) -> list[DaemonProcess]:
    """Return the app's daemon processes."""
    try:
        apache, uid = server.pid(), str(pwd.getpwnam(app.site.user).pw_uid)
    except KeyError:  # without its user it has no processes
        return []
    ticks = os.sysconf("SC_CLK_TCK")
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[1]) != apache:
                continue
            owner = re.search(r"(?m)^Uid:\t(\d+)", (process / "status").read_text(encoding="utf-8", errors="replace"))
            slot = (process / "cmdline").read_bytes().partition(b":")[0].decode(errors="replace")
        except OSError:
            continue
        if owner and owner[1] == uid and slot in paths.SLOTS:
            found.append(DaemonProcess(int(process.name), slot, int(fields[19]) / ticks, loading=fields[17] == "1"))
    return found


def requests(app: App) -> dict[str, tuple[int, int]]:
    """Return how many requests each slot's pool has accepted and not finished, and how many wait for a free thread.

    mod_wsgi has a connection for each, to the pool's socket. It names the sockets after Apache's process, the app's
    user, and the pools' order in the configuration. Where that does not fit, such as without Apache, nothing is told.
    """
    user = facts.user(app.site.user)
    own = re.compile(rf"{server.SOCKETS}/wsgi\.{server.pid()}\.u{user['uid'] if user else None}\.(\d+)\.sock")
    found = sorted(
        (int(name[1]), told) for path, told in sockets.connections().items() if (name := own.fullmatch(path))
    )
    return (
        {slot: told for slot, (_, told) in zip(app.slots, found, strict=True)} if len(found) == len(app.slots) else {}
    )


def is_outdated(app: App, process: DaemonProcess) -> bool:
    """Tell whether a daemon process started before its slot got its release."""
    try:
        of_boot, since = (app.home / f"{process.slot}.since").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return False
    return of_boot == slots.boot() and process.started < float(since) + CLOCK_TICK


def current(app: App, slot: str) -> set[int]:
    """Return the daemon processes of a slot that started after it got its release."""
    return {process.pid for process in daemon_processes(app) if process.slot == slot and not is_outdated(app, process)}


def outdated(app: App, slot: str) -> list[int]:
    """Return the daemon processes of a slot that started before it got its release."""
    return [process.pid for process in daemon_processes(app) if process.slot == slot and is_outdated(app, process)]


def stop_outdated(app: App, slot: str = "") -> None:
    """End the daemon processes of replaced releases, of one slot or of both, letting their requests finish."""
    for process in daemon_processes(app):
        if slot in ("", process.slot) and is_outdated(app, process):
            stop(process.pid, at_once=process.loading)


def stop(pid: int, *, at_once: bool = False) -> None:
    """End a daemon process, after its requests unless at once; Apache starts another one instead."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL if at_once else signal.SIGUSR1)


def own_processes(app: App) -> list[int]:
    """Return the processes that end with the app: those of its pools, and all of the user that was made for it."""
    pools = {process.pid for process in daemon_processes(app)}
    with contextlib.suppress(KeyError):
        user = pwd.getpwnam(app.site.user)
        if user.pw_dir == str(paths.VAR_LIB / app.name):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if process.stat().st_uid == user.pw_uid:
                        pools.add(int(process.name))
    return sorted(pools)


def end_all(app: App) -> None:
    """Stop the units, and see the other processes end. Raises RefusedError when some do not."""
    found = units.running(app, all_of_them=True) if paths.SYSTEMD.is_dir() else []
    if found:
        report.say(f"stop    {' '.join(found)}")
        units.systemctl("stop", *found)
        units.systemctl("reset-failed", *found)
    deadline = time.monotonic() + ENDS_WITHIN
    while processes := own_processes(app):
        if time.monotonic() > deadline + ENDS_WITHIN:
            raise RefusedError(f"processes of {app.name} do not stop: {processes}")
        for pid in processes if time.monotonic() > deadline else []:
            stop(pid, at_once=True)
        time.sleep(0.2)
