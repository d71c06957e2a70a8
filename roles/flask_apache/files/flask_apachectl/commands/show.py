"""Show the state of an app."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from flask_apachectl import history, lock, paths, releases, routing
from flask_apachectl.apache import server
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import programs, report
from flask_apachectl.serve import health, pools, units

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App


def serving(app: App, _options: argparse.Namespace) -> dict[str, Any]:
    """Say what visitors get."""
    return {"msg": routing.consequence(app)}


def probe(app: App, _options: argparse.Namespace) -> dict[str, Any]:
    """Ask every process of both pools for the health check."""
    if server.pid() is None:
        raise RefusedError("Apache is not running, so there is nothing to ask")
    rows = []
    with lock.held(app):
        for slot in (slot for slot in paths.SLOTS if routing.slot_release(app, slot)):
            made = releases.as_made(app, routing.slot_release(app, slot))
            with health.probing(made, slot) as token:
                for _ in range(4 * app.site.processes):
                    began = time.monotonic()
                    answer = health.ask(made, token)
                    milliseconds = round(1000 * (time.monotonic() - began), 1)
                    row = {
                        "slot": slot,
                        "pid": answer.pid,
                        "app": answer.app,
                        "release": answer.release,
                        "status": answer.status,
                    }
                    rows.append({**row, "healthy": health.is_healthy(made, answer), "milliseconds": milliseconds})
    latest = {(row["slot"], row["pid"]): row for row in rows}.values()
    columns = ("slot", "pid", "release", "status", "healthy", "milliseconds")
    return {"answers": list(latest), "msg": report.table(columns, latest)}


def status(app: App, _options: argparse.Namespace) -> dict[str, Any]:
    """Show which release is live, and the pools."""
    live, routes, running = routing.live_slot(app), routing.read(app), pools.daemon_processes(app)
    release = routing.slot_release(app, live)
    shown: dict[str, dict[str, Any]] = {}
    for slot in app.slots:
        pids = sorted(worker.pid for worker in running if worker.slot == slot)
        state = "live" if slot == live else f"canary {routes.percent} %" if routes.canary else "idle"
        memory = programs.resident(pids)
        shown[slot] = {"release": routing.slot_release(app, slot), "state": state, "pids": pids, "resident_mib": memory}
    lines = [f"{app.name} serves {release or 'nothing yet'} at {app.url}"]
    if server.pid() is None:
        lines.append("Apache is not running.")
    if routes.maintenance:
        lines.append(f"Closed for maintenance; to see it yourself: {app.url}?flask_apache_bypass={routes.maintenance}")
    if routes.drain:
        lines.append("Draining: the readiness address answers 503.")
    rows = [
        {**pool, "pool": slot, "release": pool["release"] or "-", "processes": len(pool["pids"])}
        for slot, pool in shown.items()
    ]
    lines.append(report.table(("pool", "state", "release", "processes", "resident_mib"), rows))
    unit_table = unit_rows(releases.as_made(app, release))
    if unit_table:
        lines += ["", report.table(("unit", "state", "pid", "restarts", "next"), unit_table)]
    flags = {"canary": routes.percent, "maintenance": bool(routes.maintenance), "drain": routes.drain}
    result = {"app": app.name, "url": app.url, "release": release, "live": live, "pools": shown, "apache": server.pid()}
    return {**result, **flags, "units": unit_table, "msg": "\n".join(lines)}


def unit_rows(app: App) -> list[dict[str, str]]:
    """Return what is to be shown of the workers and timers."""
    declared = units.declared(app)
    states = units.states(declared) if declared and paths.SYSTEMD.is_dir() else {}
    return [
        {
            "unit": unit,
            "state": state["SubState"],
            "pid": state.get("MainPID", "-"),
            "restarts": state.get("NRestarts", "-"),
            "next": state.get("NextElapseUSecRealtime", "-"),
        }
        for unit, state in states.items()
    ]


def list_releases(app: App, _options: argparse.Namespace) -> dict[str, Any]:
    """List the kept releases, newest first."""
    live = routing.slot_release(app, routing.live_slot(app))
    entries = history.read(app)
    previous = history.last_live(entries, live, releases.complete(app))
    rows = []
    for release in releases.complete(app):
        made = json.loads((app.releases / release / "release.json").read_text(encoding="utf-8"))["made"]
        state = {live: "live", previous: "previous"}.get(release, "")
        if not state and history.last_live(entries, None, [release]) is None:
            state = "never live"
        if releases.is_irreversible(app, release):
            state = f"{state}, irreversible".lstrip(", ")
        rows.append({"release": release, "made": made, "state": state})
    return {"releases": rows, "msg": report.table(("release", "made", "state"), rows)}


def show_history(app: App, _options: argparse.Namespace) -> dict[str, Any]:
    """Show who did what, and when; also what was refused or failed, and why."""
    rows = history.read(app)
    shown = [{**row, "release": row["release"] or "-", "reason": row.get("reason", "")} for row in rows]
    columns = ("time", "action", "release", "by", *(["reason"] if any(row["reason"] for row in shown) else []))
    return {"history": rows, "msg": report.table(columns, shown)}
