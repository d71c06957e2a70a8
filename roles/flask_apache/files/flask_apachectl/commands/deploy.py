"""Make a release, and make it live."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask_apachectl import lock, paths, releases, routing
from flask_apachectl.build import preparation
from flask_apachectl.commands import canary
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import programs
from flask_apachectl.serve import activation, hooks, units

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App


def prepare(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Stage, build and check the release of a source that the role has shipped."""
    if options.plan:
        release = releases.wanted_release(app, options.source) if (app.conf / "env").exists() else f"{options.source}-?"
        missing = not (app.releases / release / "release.json").exists()
        return {"changed": missing, "release": release, "msg": f"would build {release}" if missing else "nothing to do"}
    if options.index_urls:
        app = replace(app, index_urls=tuple(json.load(sys.stdin)))
    with lock.held(app):
        result = preparation.prepare(app, options.source)
    return {**result, "msg": f"{'built' if result['changed'] else 'kept'} {result['release']}"}


def before_start(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Run the hooks that come before a kept release's start, such as migrations; used by the role before activate."""
    if options.plan:
        changed = options.release != routing.slot_release(app, routing.live_slot(app))
        commands = [
            shlex.join(programs.split(hook["run"]))
            for hook in hooks.declared(app, "before_start", skip_once=options.skip_once)
        ]
        changed = changed and bool(commands)
        return {"changed": changed, "msg": f"would run {', '.join(commands)}" if changed else "nothing to do"}
    with lock.held(app):
        if options.release not in releases.complete(app):
            raise RefusedError(f"no release {options.release}: see `flask-apachectl releases`")
        changed = hooks.before_start(app, options.release, skip_once=options.skip_once)
    return {"changed": changed, "msg": "its hooks have run" if changed else "nothing to do"}


def activate(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Start a kept release in the idle pool, probe it, and let it serve."""
    live = routing.slot_release(app, routing.live_slot(app))
    if options.canary and live not in (None, options.release):
        return canary.canary(app, options)
    if options.plan:
        changes = live != options.release or (paths.SYSTEMD.is_dir() and bool(units.due(app, options.release)))
        return {"changed": changes, "release": options.release, "msg": f"live is {live}, would be {options.release}"}
    with lock.held(app):
        routes = routing.read(app)
        promoted = routes.canary and options.release == dict(routes.releases).get(routes.canary)
        action = "promote" if promoted else "deploy"
        result = activation.activate(app, options.release, action, skip_once=options.skip_once)
    return {**result, "msg": f"{app.url} serves {result['release']}"}


def deploy(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Prepare and activate: the live source, with what is declared now, or another one that is on the host."""
    with lock.held(app):
        source = options.source or routing.live_release(app).partition("-")[0]
        release = preparation.prepare(app, source)["release"]
        hooks.before_start(app, release, skip_once=False)
        result = activation.activate(app, release, "deploy")
    return {**result, "msg": f"{app.url} serves {result['release']}"}
