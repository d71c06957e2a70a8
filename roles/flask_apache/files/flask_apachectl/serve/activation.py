"""Make a kept release live: start, probe, switch, verify, record, prune."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask_apachectl import environments, history, paths, releases, routing, slots
from flask_apachectl.apache import server
from flask_apachectl.declaration import DamagedError
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, report
from flask_apachectl.serve import health, hooks, logs, pools, start, units

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_apachectl.app import App


def share_secrets(app: App) -> bool:
    """Give all releases the live one's secrets, so that an old one is on no disk and in no process.

    Returns whether there was one.
    """
    patterns, current = (
        app.site.environment_secrets,
        environments.of_release(app, routing.live_release(app)),
    )
    changed = False
    for release in releases.complete(app):
        try:
            before = environments.of_release(app, release)
        except (DamagedError, FileNotFoundError):
            continue  # it cannot go live before it is made again
        after = environments.with_secrets(before, current, patterns)
        if after != before:
            environments.replace(app, release, after)
            changed = True
    generated = app.conf / "secret_key"
    if generated.exists() and generated.read_bytes() != current["SECRET_KEY"].encode():
        generated.unlink()
        files.sync_directory(app.conf)
    pools.stop_outdated(app)
    return changed


def activate(app: App, release: str, action: str, *, skip_once: bool = False) -> dict[str, Any]:
    """Make a kept release the live one, judged and with the hooks as it was made; a rollback runs no hook."""
    app = releases.as_made(app, release)
    live = routing.live_slot(app)
    before = routing.slot_release(app, live)
    if before and slots.is_doubtful(app, str(live)):
        slots.assign(app, str(live), app.releases / before)  # its processes may run another release
    if before == release and not (server.pid() and has_outdated_processes(app, live)):
        changed = stay(app, release, action, skip_once=skip_once)
        return {"changed": changed, "release": release, "live": live}
    if release not in releases.complete(app):
        raise RefusedError(
            f"there is no release {release}; kept releases: {', '.join(releases.complete(app)) or 'none'}"
        )
    if damage := releases.damaged_files(app, release):
        raise RefusedError(f"release {release} is not whole ({damage[0]}): deploy its source again")
    earlier = releases.as_made(app, before)
    slot = candidate_slot(app)
    if server.pid() is None:
        server.expect_none(app)
        slots.assign(app, slot, app.releases / release)
        routing.switch(app, slot)
        units.follow(app)
    elif before and slot == live:
        start.roll(app, slot, release, lambda: hooks.before_switch(app, release, action, skip_once=skip_once))
        confirm(app, release, lambda: start.roll(earlier, slot, str(before)))
    else:
        start.start(app, slot, release, lambda: hooks.before_switch(app, release, action, skip_once=skip_once))
        routing.switch(app, slot)
        confirm(app, release, lambda: routing.switch(earlier, routing.other(slot)) if before else None)
    history.repair(app)
    history.record(app, action, release, before)
    if app.site.idle_pool == "cold":
        start.cool(app)
    reconcile(app)
    releases.prune(app)
    share_secrets(app)
    if action != "rollback":
        hooks.after_switch(app, skip_once=skip_once)
    return {"changed": True, "release": release, "live": slot, "previous": before}


def has_outdated_processes(app: App, slot: str | None) -> bool:
    """Tell whether processes of a pool started before what they run was replaced, such as the entry script."""
    return any(process.slot == slot and pools.is_outdated(app, process) for process in pools.daemon_processes(app))


def stay(app: App, release: str, action: str, *, skip_once: bool) -> bool:
    """Finish what a killed run has begun, and end a canary: the release is live. Tells whether anything changed."""
    changed = routing.end_canary(app) | history.repair(app) | reconcile(app)
    if routing.damaged(app) or routing.read(app).ready != app.url_path:
        routing.write(app, replace(routing.read(app), ready=app.url_path))
        changed = True
    health.verify(app, release)
    changed |= units.follow(app)
    if history.last_live(history.read(app), None, [release]) != release:  # killed between a switch and its record
        history.record(app, action, release, None)
        changed = True
    changed |= share_secrets(app)
    return changed | hooks.after_switch(app, skip_once=skip_once)


def reconcile(app: App) -> bool:
    """Make what is beside the live release sound again: links, and kept releases that are damaged, which go.

    Tells whether anything was not.
    """
    changed = slots.repair_replaced(app)
    idle, live = routing.other(routing.live_slot(app)), routing.slot_release(app, routing.live_slot(app))
    if not slots.is_sound(app, idle) or not slots.is_dated(app, idle):
        start.vacate(app, idle)
        changed = True
    for release in releases.damaged(app).keys() - {live}:
        report.say(f"discard {release}, which is damaged")
        start.discard(app, release)
        changed = True
    return changed | slots.repair_replaced(app)


def candidate_slot(app: App) -> str:
    """Return the slot for the next release: the one that does not serve, or the only one."""
    live = routing.live_slot(app)
    never = routing.slot_release(app, live) is None and slots.remembered(app) is None
    if app.site.strategy == "rolling" or never:
        return paths.SLOTS[0]
    return routing.other(live)


def confirm(app: App, release: str, go_back: Callable[[], None]) -> None:
    """Ask as a visitor does after a switch, and watch the visitors' errors for the app's soak; go back if need be."""
    try:
        seen = logs.AccessLog(app)
        health.verify(app, release)
        units.follow(app)
        routes = routing.read(app)
        soak = 0 if routes.maintenance or routes.drain else app.spec.soak  # their 503 are Apache's own
        deadline = time.monotonic() + soak
        if soak:
            report.say(f"soak    {soak} s")
        while time.monotonic() < deadline:
            time.sleep(0.2)
            seen.refuse_more_than(app.spec.soak_errors, release)
    except RefusedError as failure:
        go_back()
        problem = str(failure)
        if routing.slot_release(app, routing.live_slot(app)) != release:
            try:
                units.follow(app)
            except RefusedError as another:
                problem += f"\nBack again, {another}"
        raise RefusedError(f"{problem}\n{routing.consequence(app)}") from None
