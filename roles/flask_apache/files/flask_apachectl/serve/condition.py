"""What visitors of an app get now, and the condition of its pools: asked of what runs."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl import paths, releases, routing, slots
from flask_apachectl.apache import server, visitors
from flask_apachectl.host import facts, programs
from flask_apachectl.serve import health, pools

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_apachectl.app import App
    from flask_apachectl.serve.pools import DaemonProcess

SPREAD = 10.0  # seconds within which all processes of a pool start
YOUNG = 60.0  # seconds: a pool whose processes all were restarted and are younger keeps failing


@dataclass(frozen=True)
class Visit:
    """What a visitor gets: ``state`` is up, down, or closed (for maintenance); ``told`` says it in words.

    ``ours`` tells whether the app's own configuration answered; ``status`` is that of HTTP, 0 without an answer.
    """

    state: str
    told: str
    ours: bool = False
    status: int = 0
    seconds: float = 0.0  # that the answer took


def visit(app: App) -> Visit:
    """Ask the app as visitors do, at each address at which they come; where one gets no answer, that is the state."""
    release = routing.slot_release(app, routing.live_slot(app))
    app = releases.as_made(app, release)
    visits = [_visit_at(app, release, address) for address in server.addresses(app)]
    return next((each for each in visits if each.state == "down"), visits[0])


def _visit_at(app: App, release: str | None, address: str) -> Visit:
    """Ask the app as visitors of an address do, and whose configuration answers there."""
    began = time.monotonic()
    answer = health.ask(app, address=address)
    seconds = time.monotonic() - began
    milliseconds = 1000 * seconds
    ours = bool(server.pid() and server.loaded_at(app, address))
    state, told = "down", f"no answer ({answer.error})"
    if not answer.status:
        told += "" if server.pid() else "; Apache is not running"
    elif not ours:
        told = f"another program or site answers ({answer.status})"
    elif routing.read(app).maintenance:
        state, told = "closed", f"{answer.status}, as it is closed for maintenance"
    elif release is None:
        told = f"{answer.status}, as no release is live yet"
    elif health.is_restricted(app, answer):
        state, told = "up", f"{answer.status} in {milliseconds:.0f} ms, as visits are restricted"
    elif not health.is_healthy(app, answer):
        told = health.explain(app, answer, release)
    else:
        state, told = "up", f"{answer.status} in {milliseconds:.0f} ms"
    place = "" if state != "down" or address in visitors.LOOPBACK.values() else f"at {address}: "
    return Visit(state, place + told, ours, answer.status, seconds)


def of_pool(app: App, slot: str, visited: Visit) -> dict[str, Any]:
    """Return the condition of a slot's pool: its release, state, age (seconds), restarts, processes and memory.

    The state is starting, live, idle, outdated (a process runs what was in the slot before) or failing. ``restarts`` is
    how many of its processes were started again after the pool was.
    """
    own = [process for process in pools.daemon_processes(app) if process.slot == slot]
    release, began = routing.slot_release(app, slot), since(app, slot)
    again = [process for process in own if process.started > began + SPREAD]
    pids = sorted(process.pid for process in own)
    return {
        "release": release,
        "state": state(app, slot, own, began, visited),
        "visitors": share(app, slot),
        "age": round(time.clock_gettime(time.CLOCK_BOOTTIME) - began),
        "restarts": 0 if app.site.strategy == "rolling" and len(again) < len(own) else len(again),
        "pids": pids,
        "resident_mib": programs.resident(pids) // 2**20,
    }


def state(app: App, slot: str, own: Sequence[DaemonProcess], began: float, visited: Visit) -> str:
    """Return the state of a pool with these processes, which was started at some second of this boot."""
    release, now = routing.slot_release(app, slot), time.clock_gettime(time.CLOCK_BOOTTIME)
    outdated = [process for process in own if pools.is_outdated(app, process)]
    current = [process for process in own if process not in outdated]
    has_visitors = bool(share(app, slot))
    found = "live" if has_visitors else "idle"
    if not release and not has_visitors and server.pid():
        pass  # it runs nothing
    elif len(own) < app.site.processes:
        found = "starting" if now - began < SPREAD and server.pid() else "failing"
    elif outdated:
        found = "outdated"
    elif all(process.started > began + SPREAD and now - process.started < YOUNG for process in current):
        found = "failing"  # each of them has just been restarted
    elif any(process.loading for process in current):
        found = "starting"
    elif has_visitors and visited.ours and visited.state == "down":
        found = "failing"
    return found


def share(app: App, slot: str) -> int:
    """Return the percentage of the visitors that a pool gets."""
    routes = routing.read(app)
    if routes.canary:
        return routes.percent if slot == routes.canary else 100 - routes.percent
    return 100 if slot == routes.live else 0


def since(app: App, slot: str) -> float:
    """Return when a pool was started, in seconds of this boot: it got its release, or Apache was started or reloaded.

    Apache starts the program that writes an app's log with each of its configurations.
    """
    moments, apache = [0.0], server.pid()
    with contextlib.suppress(OSError, ValueError):
        boot, second = (app.home / f"{slot}.since").read_text(encoding="ascii").split()
        moments.append(float(second) if boot == slots.boot() else 0.0)
    if apache:
        moments.append(_started(Path(f"/proc/{apache}"))[1])
        is_journal = app.site.error_log == paths.JOURNAL
        log = (paths.journal_name(app.name, "error") if is_journal else app.site.error_log).encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent, started = _started(process)
                if parent == apache and log in (process / ("environ" if is_journal else "cmdline")).read_bytes():
                    moments.append(started)
    return max(moments)


def _started(process: Path) -> tuple[int, float]:
    """Return the parent of a process, and when it started, in seconds of this boot."""
    fields = facts.read(process / "stat").rpartition(")")[2].split()
    return int(fields[1]), int(fields[19]) / os.sysconf("SC_CLK_TCK")


def of_pools(app: App, visited: Visit) -> dict[str, dict[str, Any]]:
    """Return the condition of each pool that the app has."""
    return {slot: of_pool(app, slot, visited) for slot in paths.SLOTS if slot in app.slots}
