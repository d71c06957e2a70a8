"""Look for what is wrong, and say what to do about it."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from flask_apachectl import interpreter, paths, routing
from flask_apachectl.apache import server
from flask_apachectl.build import environment
from flask_apachectl.host import report
from flask_apachectl.serve import health, pools, units

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from flask_apachectl.app import App

LEAST_SPACE = 200 * 2**20  # bytes; a virtual environment with its cache takes about as much


def doctor(app: App, _options: argparse.Namespace) -> dict[str, Any]:
    """Look for what is wrong, and say what to do about it."""
    rows = [{"check": name, "ok": not advice, "advice": advice} for name, advice in diagnose(app)]
    lines = [
        f"{'ok' if row['ok'] else 'WRONG':<6} {row['check']}{': ' if row['advice'] else ''}{row['advice']}"
        for row in rows
    ]
    return {"checks": rows, "failed": not all(row["ok"] for row in rows), "msg": "\n".join(lines)}


def diagnose(app: App) -> Iterator[tuple[str, str]]:
    """Yield what is checked, and what to do when it is wrong."""
    running = server.pid() is not None
    yield "Apache runs", "" if running else "see `systemctl status apache2`, or `apache2ctl configtest`"
    test = subprocess.run(["apache2ctl", "configtest"], check=False, capture_output=True, text=True)
    yield "Apache's configuration is valid", "" if test.returncode == 0 else report.tail(test.stderr, 3).strip()
    live = routing.live_slot(app)
    release = routing.slot_release(app, live)
    yield "a release is live", "" if release else "run the role"
    for slot in paths.SLOTS:
        name = routing.slot_release(app, slot)
        venv = (app.home / slot / "venv").resolve()
        if name:
            good = environment.is_complete(venv)
            yield f"{slot}: release {name} is whole", "" if good else "its virtual environment is not: run the role"
        count = len(
            [worker for worker in pools.workers(app) if worker.slot == slot and not pools.is_stale(app, worker)]
        )
        expected = app.site.processes if slot in app.slots else 0
        if running:
            yield (
                f"{slot}: {expected} processes run it",
                "" if count >= expected else f"{count} do: see {app.site.error_log}",
            )
    if running and release:
        answer = health.ask(app)
        closed = routing.read(app).maintenance
        yield (
            "a visitor gets the app",
            "it is closed for maintenance"
            if closed
            else ("" if health.is_healthy(app, answer) else health.explain(app, answer, release)),
        )
    due = units.due(app, release) if release and paths.SYSTEMD.is_dir() else {}
    for unit in units.declared(app):
        advice = f"it does not: see `journalctl --unit={unit}`, and run the role" if unit in due else ""
        yield f"{unit} runs {'the live release' if unit.endswith('.service') else ''}".rstrip(), advice
    space = shutil.disk_usage(app.home)
    yield "there is room for releases", "" if space.free > LEAST_SPACE else f"only {space.free // 2**20} MiB are free"
    python = interpreter.version(app)
    mine = release and json.loads((app.releases / release / "release.json").read_text(encoding="utf-8"))["python"]
    yield "the release's Python is the host's", "" if mine in (None, python) else f"{mine}, now {python}: run the role"
