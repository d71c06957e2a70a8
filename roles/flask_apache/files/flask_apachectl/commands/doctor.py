"""Look for what is wrong, and say what to do about it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from flask_apachectl import app as apps
from flask_apachectl import interpreter, paths, releases, routing, venvs
from flask_apachectl.apache import hardening, server
from flask_apachectl.commands import inspect
from flask_apachectl.declaration import DamagedError
from flask_apachectl.diagnosis import checks, everything
from flask_apachectl.host import facts, report
from flask_apachectl.serve import collector, condition, pools, units

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from flask_apachectl.app import App
    from flask_apachectl.diagnosis.finding import Finding

    Checked = tuple[str, str]  # what is checked, and what to do when it is wrong

LEAST_SPACE = 200 * 2**20  # bytes; a virtual environment with its cache takes about as much
SHOWN = 5  # paths


def doctor(options: argparse.Namespace) -> dict[str, Any]:
    """Look for what is wrong with one app or with all of them, and say what to do about it."""
    names = [options.app] if options.app else apps.present_apps()
    rows = [row("", *checked) for checked in of_apache()]
    damaged: list[str] = []
    looked_at: list[App] = []
    findings: list[Finding] = []
    for name in names:
        try:
            app = apps.load_app(name)
        except DamagedError as error:
            rows.append(row(name, "its declaration can be read", str(error)))
            continue
        looked_at.append(app)
        wrong = drift(app, thorough=options.thorough)
        damaged += wrong
        rows += [row(name, *checked) for checked in diagnose(app, wrong)]
        found = everything.of_app(app, wrong)
        rows += sound(name, found)
        findings += [each for subject in found.values() for each in subject]
    found = everything.of_host(looked_at)
    rows += sound("", found)
    findings = [*checks.findings(rows), *findings, *(each for subject in found.values() for each in subject)]
    findings.sort(key=lambda each: not each.is_error)
    return {
        "checks": rows,
        "findings": [each.record() for each in findings],
        "damaged": damaged,
        "failed": not all(each["ok"] for each in rows),
        "msg": told(rows, findings, with_app=len(names) > 1),
    }


def sound(app: str, found: dict[str, list[Finding]]) -> list[dict[str, Any]]:
    """Return the rows of the subjects that can have errors: each is right without one."""
    sentences = everything.SOUND if app else everything.SOUND_OF_HOST
    errors = {subject: [each for each in found[subject] if each.is_error] for subject in sentences if subject in found}
    return [
        row(app, sentences[subject], "; ".join(f"{each.wrong}: {each.fix}" for each in wrong))
        for subject, wrong in errors.items()
    ]


def told(rows: list[dict[str, Any]], findings: list[Finding], *, with_app: bool) -> str:
    """Return a line for each check, and three for each finding."""
    lines = [
        f"{'ok' if each['ok'] else 'WRONG':<6} {each['app'] + ': ' if each['app'] and with_app else ''}"
        f"{each['check']}{': ' if each['advice'] else ''}{each['advice']}"
        for each in rows
    ]
    return "\n\n".join(["\n".join(lines), *(each.lines(with_app=with_app) for each in findings)])


def row(app: str, check: str, advice: str) -> dict[str, Any]:
    """Return what was found, of an app or of the host."""
    return {"app": app, "check": check, "ok": not advice, "advice": advice}


def diagnose(app: App, drifted: Sequence[str]) -> Iterator[Checked]:
    """Yield what is checked of an app."""
    release = routing.slot_release(app, routing.live_slot(app))
    yield from of_files(drifted)
    yield "a release is live", "" if release else "run the role"
    yield from of_pools(app)
    if release:
        made = releases.as_made(app, release)
        yield from of_visitors(made, release)
        yield from of_units(made, release)
    if app.site.metrics_textfile or app.site.metrics_served:
        yield "its metrics are written", collector.problem_of(app.name, app.site)
    space = shutil.disk_usage(app.home)
    yield "there is room for releases", "" if space.free > LEAST_SPACE else f"only {space.free // 2**20} MiB are free"


def of_apache() -> Iterator[Checked]:
    """Look at Apache itself."""
    yield "Apache runs", "" if server.pid() else "see `systemctl status apache2`, or `apache2ctl configtest`"
    test = subprocess.run(["apache2ctl", "configtest"], check=False, capture_output=True, text=True)
    limits = facts.read(paths.UNITS / hardening.DROP_IN)
    if server.pid() and "NoNewPrivileges=yes" in limits:
        advice = "" if hardening.is_in_effect(server.pid()) else "at a quiet time, run `systemctl restart apache2`"
        yield "Apache runs in its sandbox", advice
    yield "Apache's configuration is valid", "" if test.returncode == 0 else report.tail(test.stderr, 3).strip()


def drift(app: App, *, thorough: bool) -> list[str]:
    """Return what is not as it was declared, installed, loaded or built: each path once."""
    return list(dict.fromkeys(inspect.drifted(app, apps.read_json(app.conf / "app.json"), thorough=thorough)))


def of_files(wrong: Sequence[str]) -> Iterator[Checked]:
    """Say what was installed, loaded and built, and is not there as it was."""
    shown = ", ".join(wrong[:SHOWN]) + (f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
    yield "all files are as declared and built", f"{shown}: run the role" if wrong else ""


def of_pools(app: App) -> Iterator[Checked]:
    """Look at the releases in the slots, and the daemon processes that run them."""
    for slot in paths.SLOTS:
        name = routing.slot_release(app, slot)
        if name:
            wrong = releases.damaged_files(app, name)
            yield f"{slot}: release {name} is whole", f"{', '.join(wrong[:SHOWN])}: run the role" if wrong else ""
        own = [each for each in pools.daemon_processes(app) if each.slot == slot and not pools.is_outdated(app, each)]
        expected = app.site.processes if slot in app.slots else 0
        if server.pid():
            advice = "" if len(own) >= expected else f"only {len(own)} processes do: see `flask-apachectl logs --error`"
            yield f"{slot}: {expected} processes run it", advice


def of_visitors(app: App, release: str) -> Iterator[Checked]:
    """Ask as a visitor does."""
    python, mine = interpreter.version(app), venvs.python_of((app.releases / release / "venv").resolve())
    advice = "" if mine == python else f"{mine or 'unknown'}, now {python}: run the role"
    yield "the release's Python is the host's", advice
    if not server.pid():
        return
    visited = condition.visit(app)
    yield "a visitor gets the app", "" if visited.state == "up" else visited.told


def of_units(app: App, release: str) -> Iterator[Checked]:
    """Look at the workers and timers of the live release: a worker by its restarts, not by this moment's state."""
    if not paths.SYSTEMD.is_dir():
        return
    due, states = units.due(app, release), units.states(units.declared(app))
    for unit in units.declared(app):
        advice, state = "", states[unit]
        if units.is_crash_looping(state):
            since = report.duration(units.seconds_up(state))
            now = f"the last time {since} ago" if state["ActiveState"] == "active" else f"now {state['SubState']}"
            advice = f"it keeps ending, and was {units.reason(state)}, {now}: see `journalctl --unit={unit}`"
        elif unit in due:
            advice = f"it is not running it: see `journalctl --unit={unit}`, and run the role"
        yield f"{unit} runs {'the live release' if unit.endswith('.service') else ''}".rstrip(), advice
