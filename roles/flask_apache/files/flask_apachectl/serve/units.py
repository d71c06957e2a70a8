"""Workers and timers, which run the live release."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import causes, paths, releases, routing
from flask_apachectl.app import read_json
from flask_apachectl.declaration import DamagedError
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, files, report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from flask_apachectl.app import App

WORKERS_STAY_FOR = 3.0  # seconds of its own for which a restarted worker must live on
STAY_WITHIN = 60.0  # seconds after which a worker that lives on is believed, however busy the host is
CALM = 60.0  # seconds that a worker must have run for each of its restarts, so that it does not count as crash-looping
MOST_RESTARTS = 10  # that count so


def systemctl(*arguments: str) -> str:
    """Run systemctl, and return what it prints: the units' states tell whether it did what it should."""
    return subprocess.run(["systemctl", *arguments], check=False, capture_output=True, text=True).stdout


def declared(app: App) -> list[str]:
    """Return the names of the app's units: an instance of a worker each, and the timers."""
    prefix = f"flask-apache-{app.name}-"
    instances = [
        f"{prefix}{worker.name}@{number}.service"
        for worker in app.spec.workers
        for number in range(1, worker.instances + 1)
    ]
    return instances + [f"{prefix}{name}.timer" for name in app.spec.timers]


def running(app: App, *, all_of_them: bool = False) -> list[str]:
    """Return the app's workers and timers that systemd runs, declared or not, and their target.

    With ``all_of_them`` also timers' jobs that run now, and what has failed.
    """
    instance, ended = ("(@\\d+)?", ()) if all_of_them else ("@\\d+", ("failed",))
    own = rf"flask-apache-{app.name}(-[a-z0-9_]+({instance}\.service|\.timer)|\.target)"
    lines = systemctl("list-units", "--all", "--plain", "--no-legend", f"flask-apache-{app.name}*").splitlines()
    running = [line.split()[0] for line in lines if line.split()[2] not in ("inactive", *ended)]
    return [unit for unit in running if re.fullmatch(own, unit)]


def files_of(unit: str) -> list[str]:
    """Return the names of the files that make a unit: a worker's instance has that of all, a timer has its job's."""
    service = re.sub(r"(@)?\d*\.\w+$", r"\1.service", unit)
    return [service, unit] if unit.endswith(".timer") else [service]


def wanted(app: App, release: str) -> dict[str, str]:
    """Return what each unit is to run: a digest of its files, and of the release's environment if it is a worker's."""
    environment, found = app.releases / release / "env", {}
    release_env = environment.read_text(encoding="utf-8", errors="replace") if environment.exists() else ""
    for unit in declared(app):
        texts = [app.spec.units.get(name, "") for name in files_of(unit)]
        worker = None if unit.endswith(".timer") else [release, release_env]
        found[unit] = files.short_hash([texts, worker], 12)
    return found


def outdated_files(app: App) -> dict[Path, str | None]:
    """Return which of the app's files below systemd's directory differ: {path: what it is to hold, or None}."""
    own = re.compile(rf"(stamp-)?flask-apache-{app.name}(-[a-z0-9_]+(@?\.service|\.timer)|\.target)")
    found: dict[Path, str | None] = {}
    for path in [*paths.UNITS.glob("flask-apache-*"), *paths.STAMPS.glob("stamp-flask-apache-*")]:
        if own.fullmatch(path.name) and path.name.removeprefix("stamp-") not in app.spec.units:
            found[path] = None
    for name, text in app.spec.units.items():
        path = paths.UNITS / name
        if path.is_symlink() or not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
            found[path] = text
    return found


def differences(app: App) -> list[desired.Change]:
    """Return what differs in the app's files below systemd's directory, for people to read."""
    found = []
    for path, text in outdated_files(app).items():
        before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() and not path.is_symlink() else ""
        found.append(desired.Change(str(path), before, text or ""))
    return found


def install(app: App) -> bool:
    """Write the units' files, remove those of former releases, and enable the target; tell whether any differed."""
    found = outdated_files(app)
    for path, text in found.items():
        if text is None:
            path.unlink(missing_ok=True)
            files.sync_directory(path.parent)
        else:
            files.write(path, text)
    target, link = target_name(app), target_link(app)
    if target in app.spec.units and not (link.is_symlink() and os.readlink(link) == f"../{target}"):
        link.parent.mkdir(exist_ok=True)
        files.replace_link(link, paths.UNITS / target)
        found[link] = None
    elif target not in app.spec.units and link.is_symlink():
        link.unlink()
        found[link] = None
    if found and paths.SYSTEMD.is_dir():
        systemctl("daemon-reload")
    return bool(found)


def states(units: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return systemd's properties of some units."""
    names = (
        "Id,ActiveState,SubState,MainPID,NRestarts,Result,ExecMainStatus,NextElapseUSecRealtime,"
        "ActiveEnterTimestampMonotonic"
    )
    blocks = systemctl("show", f"--property={names}", "--", *units).strip().split("\n\n") if units else []
    states = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in blocks]
    return {state["Id"]: state for state in states}


def restarts(state: Mapping[str, str]) -> int:
    """Return how often systemd has restarted a worker that ended by itself, since it was started on purpose."""
    return int(state.get("NRestarts") or 0)


def seconds_up(state: Mapping[str, str]) -> float:
    """Return for how long a unit has been active, by the clock that systemd and this process share; 0 if it is not."""
    since = int(state.get("ActiveEnterTimestampMonotonic") or 0)
    return max(0.0, time.monotonic() - since / 1e6) if since and state["ActiveState"] == "active" else 0.0


def seconds_starved(state: Mapping[str, str]) -> float:
    """Return for how long a worker's main process was ready to run and got no processor."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int(state.get("MainPID") or 0)
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    return 0.0


def is_crash_looping(state: Mapping[str, str]) -> bool:
    """Tell whether a worker keeps ending: its restarts say so, though it may be running at this moment."""
    count = min(restarts(state), MOST_RESTARTS)
    return count > 0 and seconds_up(state) < count * CALM


def noted(app: App) -> dict[str, str]:
    """Return what each unit was last seen to run. One that is being changed is not among them."""
    try:
        found = read_json(app.home / "units.json")
    except (DamagedError, FileNotFoundError):
        return {}
    return {str(unit): str(digest) for unit, digest in found.items()} if isinstance(found, dict) else {}


def damaged(app: App, release: str) -> list[str]:
    """Return the paths of units that are not as a release has them, and the note of what runs if it is damaged."""
    found = list(outdated_files(app))
    link = target_link(app)
    wanted_there = target_name(app) in app.spec.units
    if (os.readlink(link) if link.is_symlink() else "") != (f"../{target_name(app)}" if wanted_there else ""):
        found.append(link)
    if paths.SYSTEMD.is_dir() and declared(app) and not set(noted(app)) >= set(wanted(app, release)):
        found.append(app.home / "units.json")
    return [str(path) for path in found]


def target_name(app: App) -> str:
    """Return the name of the target that starts the app's units."""
    return f"flask-apache-{app.name}.target"


def target_link(app: App) -> Path:
    """Return the link that enables it."""
    return paths.UNITS / "multi-user.target.wants" / target_name(app)


def due(app: App, release: str) -> dict[str, str]:
    """Return those of the wanted units that do not run, or not what they should."""
    aims, seen = wanted(app, release), noted(app)
    now = states(aims)
    asleep = [] if app.site.manage_service else ["inactive"]  # then nothing is started, but at boot
    return {
        unit: digest
        for unit, digest in aims.items()
        if (seen.get(unit) != digest or now[unit]["ActiveState"] != "active") and now[unit]["ActiveState"] not in asleep
    }


def follow(app: App) -> bool:
    """Let the workers run the live release, and the units be those that are declared; tell whether any was changed.

    A worker's old process ends before the new one starts. Raises RefusedError when one does not stay up.
    """
    release = routing.slot_release(app, routing.live_slot(app))
    if release is None:
        return False
    app = releases.as_made(app, release)
    renamed = (app.home / "current").resolve() != (app.releases / release).resolve()
    if renamed:
        files.replace_link(app.home / "current", app.releases / release)
    if not paths.SYSTEMD.is_dir():
        return install(app) or renamed
    own = declared(app)
    target = target_name(app)
    dropped = sorted(set(running(app)) - {*own, *([target] if own else [])})
    changed = due(app, release)
    if dropped:
        report.say(f"stop    {' '.join(dropped)}")
        systemctl("stop", *dropped)
    installed = install(app)
    if changed:
        stay = {unit: digest for unit, digest in noted(app).items() if unit not in changed}
        files.write(app.home / "units.json", json.dumps(stay), mode=0o600)
        seconds = max((worker.stop_timeout for worker in app.spec.workers), default=0)
        report.say(f"restart {' '.join(changed)}; a running job has up to {seconds} s to end")
        systemctl("reset-failed", *changed)  # also the count of restarts
        systemctl("restart", *changed)
        stays_up(release, list(changed))
        if app.site.manage_service:
            systemctl("start", target)  # this would start what does not run
        files.write(app.home / "units.json", json.dumps({**stay, **changed}), mode=0o600)
    return bool(dropped or changed or installed or renamed)


def stays_up(release: str, units: Sequence[str]) -> None:
    """See the restarted units run on for a while. Raises RefusedError, with the journal's last lines, otherwise.

    What counts is systemd's count of restarts, and each worker's own time: since its own start, without the time for
    which it got no processor. On a busy host, a worker may need long until it fails.
    """
    deadline = time.monotonic() + STAY_WITHIN
    while True:
        settled = True
        for unit, state in states(units).items():
            if state["ActiveState"] != "active" or restarts(state):
                last = journal(unit)
                told = (f"release {release}: {unit} does not stay up ({reason(state)}):", last, causes.of_app(last))
                raise RefusedError("\n".join(filter(None, told)))
            if unit.endswith(".service"):
                settled &= seconds_up(state) - seconds_starved(state) >= WORKERS_STAY_FOR
        if settled or time.monotonic() >= deadline:
            return
        time.sleep(0.2)


def reason(state: Mapping[str, str]) -> str:
    """Say in systemd's words why a worker is not up."""
    count = restarts(state)
    times = f"restarted {count} time{'s' if count > 1 else ''}" if count else ""
    return (
        ", ".join(filter(None, [state["Result"] if state["Result"] != "success" else "", times])) or state["SubState"]
    )


def journal(unit: str) -> str:
    """Return the last lines that a unit's processes wrote, or systemd's own about it."""
    for match in (f"_SYSTEMD_UNIT={unit}", f"--unit={unit}"):
        command = ["journalctl", "--boot", "--quiet", "--output=cat", f"--lines={report.LOG_LINES}", match]
        found = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        if found:
            break
    return report.tail(found, report.LOG_LINES)
