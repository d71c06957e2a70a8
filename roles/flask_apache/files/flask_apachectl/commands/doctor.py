"""Look for what is wrong, and say what to do about it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from flask_apachectl import app as apps
from flask_apachectl import interpreter, paths, releases, routing, venvs
from flask_apachectl.apache import server
from flask_apachectl.commands import inspect
from flask_apachectl.host import report
from flask_apachectl.serve import health, pools, units

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from flask_apachectl.app import App

    Finding = tuple[str, str]  # what is checked, and what to do when it is wrong

LEAST_SPACE = 200 * 2**20  # bytes; a virtual environment with its cache takes about as much
SHOWN = 5  # paths


def doctor(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Look for what is wrong, and say what to do about it."""
    rows = [{"check": name, "ok": not advice, "advice": advice} for name, advice in diagnose(app, options)]
    lines = [
        f"{'ok' if row['ok'] else 'WRONG':<6} {row['check']}{': ' if row['advice'] else ''}{row['advice']}"
        for row in rows
    ]
    damaged = drift(app, thorough=options.thorough)
    failed = not all(row["ok"] for row in rows)
    return {"checks": rows, "damaged": damaged, "failed": failed, "msg": "\n".join(lines)}


def diagnose(app: App, options: argparse.Namespace) -> Iterator[Finding]:
    """Yield what is checked."""
    release = routing.slot_release(app, routing.live_slot(app))
    yield from of_apache()
    yield from of_files(app, thorough=options.thorough)
    yield "a release is live", "" if release else "run the role"
    yield from of_pools(app)
    if release:
        made = releases.as_made(app, release)
        yield from of_visitors(made, release)
        yield from of_units(made, release)
    space = shutil.disk_usage(app.home)
    yield "there is room for releases", "" if space.free > LEAST_SPACE else f"only {space.free // 2**20} MiB are free"


def of_apache() -> Iterator[Finding]:
    """Look at Apache itself."""
    yield "Apache runs", "" if server.pid() else "see `systemctl status apache2`, or `apache2ctl configtest`"
    test = subprocess.run(["apache2ctl", "configtest"], check=False, capture_output=True, text=True)
    yield "Apache's configuration is valid", "" if test.returncode == 0 else report.tail(test.stderr, 3).strip()


def drift(app: App, *, thorough: bool) -> list[str]:
    """Return what is not as it was declared, installed, loaded or built: each path once."""
    return list(dict.fromkeys(inspect.drifted(app, apps.read_json(app.conf / "app.json"), thorough=thorough)))


def of_files(app: App, *, thorough: bool) -> Iterator[Finding]:
    """Compare what was installed, loaded and built with what is there."""
    wrong = drift(app, thorough=thorough)
    shown = ", ".join(wrong[:SHOWN]) + (f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
    yield "all files are as declared and built", f"{shown}: run the role" if wrong else ""


def of_pools(app: App) -> Iterator[Finding]:
    """Look at the releases in the slots, and the daemon processes that run them."""
    for slot in paths.SLOTS:
        name = routing.slot_release(app, slot)
        if name:
            wrong = releases.damaged_files(app, name)
            yield f"{slot}: release {name} is whole", f"{', '.join(wrong[:SHOWN])}: run the role" if wrong else ""
        own = [each for each in pools.daemon_processes(app) if each.slot == slot and not pools.is_outdated(app, each)]
        expected = app.site.processes if slot in app.slots else 0
        if server.pid():
            advice = "" if len(own) >= expected else f"only {len(own)} processes do: see {app.site.error_log}"
            yield f"{slot}: {expected} processes run it", advice


def of_visitors(app: App, release: str) -> Iterator[Finding]:
    """Ask as a visitor does."""
    python, mine = interpreter.version(app), venvs.python_of((app.releases / release / "venv").resolve())
    advice = "" if mine == python else f"{mine or 'unknown'}, now {python}: run the role"
    yield "the release's Python is the host's", advice
    if not server.pid():
        return
    if routing.read(app).maintenance:
        yield "a visitor gets the app", "it is closed for maintenance"
        return
    yield "a visitor gets the app", health.wrong_for_visitors(app, release)


def of_units(app: App, release: str) -> Iterator[Finding]:
    """Look at the workers and timers of the live release."""
    due = units.due(app, release) if paths.SYSTEMD.is_dir() else {}
    for unit in units.declared(app):
        advice = f"it is not running it: see `journalctl --unit={unit}`, and run the role" if unit in due else ""
        yield f"{unit} runs {'the live release' if unit.endswith('.service') else ''}".rstrip(), advice
