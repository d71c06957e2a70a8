"""What visitors of each app get now, and what runs it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from flask_apachectl import app as apps
from flask_apachectl import lock, paths, releases, routing
from flask_apachectl.apache import server
from flask_apachectl.declaration import DamagedError
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import report
from flask_apachectl.serve import condition, units

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App


def status(options: argparse.Namespace) -> dict[str, Any]:
    """Show what visitors of each app get now: exit code 1 when one is down. With --app, also its pools and units."""
    if options.app:
        found = of_app(apps.load_app(options.app))
        return {**found, "failed": found["state"] == "down", "msg": detail(found)}
    with ThreadPoolExecutor(max_workers=8) as executor:
        all_of_them = list(executor.map(of_name, apps.present_apps()))
    failed = any(found["state"] == "down" for found in all_of_them)
    return {"apps": all_of_them, "failed": failed, "msg": overview(all_of_them)}


def of_name(name: str) -> dict[str, Any]:
    """Return the status of an app, or what keeps it from being known."""
    try:
        return of_app(apps.load_app(name))
    except (DamagedError, RefusedError) as error:
        return {"app": name, "state": "down", "visitors_get": str(error), "deploy": ""}


def of_app(app: App) -> dict[str, Any]:
    """Return the status of an app."""
    live, routes = routing.live_slot(app), routing.read(app)
    release = routing.slot_release(app, live)
    visited = condition.visit(app)
    return {
        "app": app.name,
        "url": app.url,
        "state": visited.state,
        "visitors_get": visited.told,
        "release": release,
        "live": live,
        "pools": condition.of_pools(app, visited),
        "apache": server.pid(),
        "canary": routes.percent,
        "maintenance": bool(routes.maintenance),
        "bypass": f"{app.url}?flask_apache_bypass={routes.maintenance}" if routes.maintenance else "",
        "drain": routes.drain,
        "deploy": lock.holder(app),
        "units": unit_rows(releases.as_made(app, release)),
    }


def overview(all_of_them: list[dict[str, Any]]) -> str:
    """Return the table of all apps; below it, what a table has no room for, and the details of an only one."""
    if not all_of_them:
        return "there is no app on this host"
    rows = [
        {
            "app": found["app"],
            "state": shown_state(found),
            "release": found.get("release") or "-",
            **{slot: pool_in_short(found, slot) for slot in paths.SLOTS},
            "visitors get": found["visitors_get"].partition("\n")[0],
            "url": found.get("url", "-"),
        }
        for found in all_of_them
    ]
    lines = [report.table(("app", "state", "release", *paths.SLOTS, "url", "visitors get"), rows)]
    lines += [f"{found['app']}: being changed by {found['deploy']}" for found in all_of_them if found["deploy"]]
    lines += [
        f"{found['app']}: {row['unit']} is failing: see `flask-apachectl --app {found['app']} logs`"
        for found in all_of_them
        for row in found.get("units", [])
        if row["state"] == "failing"
    ]
    if len(all_of_them) == 1 and "pools" in all_of_them[0]:
        lines += ["", detail(all_of_them[0])]
    return "\n".join(lines)


def shown_state(found: dict[str, Any]) -> str:
    """Return an app's state as the eye is to find it."""
    return str(found["state"]).replace("down", "DOWN")


def pool_in_short(found: dict[str, Any], slot: str) -> str:
    """Return a pool's state and age, and its restarts if there were some."""
    pool = found.get("pools", {}).get(slot)
    if pool is None:
        return "-"
    restarts = f", {pool['restarts']} restarted" if pool["restarts"] else ""
    return f"{pool['state']} {report.duration(pool['age'])}{restarts}"


def detail(found: dict[str, Any]) -> str:
    """Return all that is known of one app."""
    if found["state"] == "down":
        lines = [f"{found['app']} is DOWN at {found['url']}: {found['visitors_get']}"]
    elif found["state"] == "closed":
        lines = [f"{found['app']} is closed at {found['url']}: visitors get {found['visitors_get']}"]
    else:
        lines = [f"{found['app']} serves {found['release']} at {found['url']}: visitors get {found['visitors_get']}"]
    if found["apache"] is None:
        lines.append("Apache is not running.")
    if found["maintenance"]:
        lines.append(f"Closed for maintenance; to see it yourself: {found['bypass']}")
    if found["drain"]:
        lines.append("Draining: the readiness address answers 503.")
    if found["deploy"]:
        lines.append(f"Being changed by {found['deploy']}.")
    rows = [
        {
            **pool,
            "pool": slot,
            "release": pool["release"] or "-",
            "age": report.duration(pool["age"]),
            "visitors": f"{pool['visitors']} %",
            "processes": len(pool["pids"]),
        }
        for slot, pool in found["pools"].items()
    ]
    columns = ("pool", "state", "release", "visitors", "age", "restarts", "processes", "resident_mib")
    lines.append(report.table(columns, rows))
    if found["units"]:
        lines += ["", report.table(("unit", "state", "pid", "up", "restarts", "next"), found["units"])]
    return "\n".join(lines)


def unit_rows(app: App) -> list[dict[str, str]]:
    """Return what is to be shown of the workers and timers."""
    declared = units.declared(app)
    states = units.states(declared) if declared and paths.SYSTEMD.is_dir() else {}
    return [
        {
            "unit": unit,
            "state": "failing" if units.is_crash_looping(state) else state["SubState"],
            "pid": state.get("MainPID", "-"),
            "up": report.duration(units.seconds_up(state)) if unit.endswith(".service") else "-",
            "restarts": state.get("NRestarts", "-"),
            "next": state.get("NextElapseUSecRealtime", "-"),
        }
        for unit, state in states.items()
    ]
