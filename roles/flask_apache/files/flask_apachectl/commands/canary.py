"""Give a share of the visitors to a release, then promote or abort it."""

from __future__ import annotations

import argparse
import contextlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask_apachectl import history, lock, paths, releases, routing
from flask_apachectl.commands import apply
from flask_apachectl.errors import RefusedError
from flask_apachectl.serve import activation, hooks, start

if TYPE_CHECKING:
    from flask_apachectl.app import App


def canary(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Give a share of the visitors to a release in the idle pool; end it with promote or abort."""
    if app.site.strategy == "rolling":
        raise RefusedError("a canary needs two pools: flask_apache_strategy is rolling")
    with contextlib.ExitStack() as stack:
        if not options.plan:
            stack.enter_context(history.attempt(app, "canary", options.release))
            stack.enter_context(lock.held(app))
            if options.declaration:
                apply.expect_declaration(app, options.declaration)
        routes, live = routing.read(app), routing.live_release(app)
        running = dict(routes.releases).get(routes.canary)
        release = options.release or running or routing.slot_release(app, routing.other(routing.live_slot(app)))
        if release in (None, live):
            raise RefusedError(
                "a RELEASE is required: run `flask-apachectl canary PERCENT RELEASE`; see `flask-apachectl releases`"
            )
        if release not in releases.complete(app):
            raise RefusedError(f"there is no release {release}; kept releases: {', '.join(releases.complete(app))}")
        percent = options.canary
        message = f"{percent} % of the visitors of {app.url} get {release}, the others {live}"
        if (running, routes.percent) == (release, percent):
            return {"changed": False, "release": release, "canary": percent, "msg": message}
        if options.plan:
            return {"changed": True, "release": release, "canary": percent, "msg": f"would be: {message}"}
        slot = routing.other(routing.live_slot(app))
        if running != release:
            was_live = history.last_live(history.read(app), None, [release]) is not None
            if was_live:
                releases.refuse_to_cross(app, release)
            at = "" if was_live else "before_switch"
            made = releases.as_made(app, release)
            start.start(made, slot, release, lambda: hooks.run_hooks(made, at, release, skip_once=options.skip_once))
        both = tuple((each, str(routing.slot_release(app, each))) for each in paths.SLOTS)
        routing.write(app, replace(routing.read(app), canary=slot, percent=percent, releases=both))
        history.record(app, f"canary {percent} %", release)
    return {"changed": True, "release": release, "canary": percent, "msg": message}


def promote(app: App, _options: argparse.Namespace) -> dict[str, Any]:
    """Let the canary's release serve all visitors."""
    candidate = dict(routing.read(app).releases).get(routing.read(app).canary)
    with history.attempt(app, "promote", candidate), lock.held(app):
        routes = routing.read(app)
        if not routes.canary:
            raise RefusedError("there is no canary to promote: see `flask-apachectl canary --help`")
        release = dict(routes.releases)[routes.canary]
        result = activation.activate(app, release, "promote")
    return {**result, "msg": f"{app.url} serves {release}"}


def abort(app: App, _options: argparse.Namespace) -> dict[str, Any]:
    """End the canary: the live release serves all visitors again."""
    with lock.held(app):
        changed = bool(routing.read(app).canary)
        routing.end_canary(app)
        if changed:
            history.record(app, "abort", None)
    return {
        "changed": changed,
        "release": routing.live_release(app),
        "msg": f"{app.url} serves {routing.live_release(app)}",
    }


def percentage(text: str) -> int:
    """Return a canary's share of the visitors, in percent."""
    if not re.fullmatch("[1-9][0-9]?", text):
        raise argparse.ArgumentTypeError(f"PERCENT must be a number from 1 to 99, got {text}")
    return int(text)
