"""Show the state of an app."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from flask_apachectl import history, lock, paths, releases, routing
from flask_apachectl.apache import server
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import report
from flask_apachectl.serve import health

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
