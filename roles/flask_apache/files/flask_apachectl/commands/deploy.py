"""Make a release, and make it live."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask_apachectl import bytecode, environments, history, lock, paths, releases, routing
from flask_apachectl.app import load_app
from flask_apachectl.build import fetch, preparation
from flask_apachectl.commands import apply, canary, request
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import builder, desired, programs
from flask_apachectl.serve import activation, hooks, units

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App


def fetch_source(_options: argparse.Namespace) -> dict[str, Any]:
    """Get the source on the host, as the user of the app's builds."""
    asked = request.read()
    wanted = fetch.Wanted.from_json(asked["wanted"])
    with contextlib.ExitStack() as stack:
        if not wanted.plan:
            user = builder.of(asked["app"])
            with lock.host_held():
                apply.make(map(desired.of_json, asked["directories"]))
            stack.enter_context(lock.app_held(asked["app"], asked["lock_wait"]))
            user.clean()
            stack.callback(user.leave_nothing)
        try:
            answer = fetch.get_on_host(wanted, [*programs.itself(), "fetch-as-build-user"])
        except fetch.SourceError as error:
            raise RefusedError(str(error)) from None
    return {"changed": answer["archive"] is not None, "msg": f"the source is {answer['id']}", **answer}


def prepare(options: argparse.Namespace) -> dict[str, Any]:
    """Stage, build and check the release of a source that is on the host: as the role's request declares it, if any."""
    wanted = request.of_json(request.read()) if options.request else None
    app, source = wanted.app if wanted else load_app(options.app), options.source
    if options.index_urls:
        app = replace(app, index_urls=tuple(json.load(sys.stdin)))
    if options.plan:
        release = releases.release_id(source, app.spec, environments.declared(app))
        missing = bool(releases.damaged_files(app, release))
        return {"changed": missing, "release": release, "msg": f"would build {release}" if missing else "nothing to do"}
    if wanted:
        with lock.host_held():
            apply.make(wanted.directories)
    with history.attempt(app, "deploy", source), lock.held(app):
        if wanted:
            request.unpack(wanted)
            apply.replace_entry(app, wanted.files)
        result = preparation.prepare(app, source)
    return {**result, "msg": f"{'built' if result['changed'] else 'kept'} {result['release']}"}


def before_start(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Run the hooks that come before a kept release's start, such as migrations; used by the role before activate."""
    if options.plan:
        changed = options.release != routing.slot_release(app, routing.live_slot(app))
        found = hooks.declared(app, "before_start", skip_once=options.skip_once)
        commands = [shlex.join(programs.split(hook.run)) for hook in found]
        changed = changed and bool(commands)
        return {"changed": changed, "msg": f"would run {', '.join(commands)}" if changed else "nothing to do"}
    with history.attempt(app, "deploy", options.release), lock.held(app):
        apply.expect_declaration(app, options.declaration)
        if options.release not in releases.complete(app):
            raise RefusedError(f"there is no release {options.release}: see `flask-apachectl releases`")
        changed = hooks.before_start(
            releases.as_made(app, options.release), options.release, skip_once=options.skip_once
        )
    return {"changed": changed, "msg": "the before_start hooks have run" if changed else "nothing to do"}


def activate(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Start a kept release in the idle pool, probe it, and let it serve."""
    live = routing.slot_release(app, routing.live_slot(app))
    if options.canary and live not in (None, options.release):
        return canary.canary(app, options)
    if options.plan:
        made = releases.as_made(app, options.release)
        changes = live != options.release or (paths.SYSTEMD.is_dir() and bool(units.due(made, options.release)))
        return {"changed": changes, "release": options.release, "msg": f"live is {live}, would be {options.release}"}
    with history.attempt(app, "deploy", options.release), lock.held(app):
        apply.expect_declaration(app, options.declaration)
        routes = routing.read(app)
        promoted = routes.canary and options.release == dict(routes.releases).get(routes.canary)
        action = "promote" if promoted else "deploy"
        result = activation.activate(app, options.release, action, skip_once=options.skip_once)
        bytecode.keep()
    return {**result, "msg": f"{app.url} serves {result['release']}"}


def deploy(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Prepare and activate: the live source, with what is declared now, or another one that is on the host."""
    with history.attempt(app, "deploy", options.source), lock.held(app):
        source = options.source or routing.live_release(app).partition("-")[0]
        release = preparation.prepare(app, source)["release"]
        hooks.before_start(app, release, skip_once=False)
        result = activation.activate(app, release, "deploy")
    return {**result, "msg": f"{app.url} serves {result['release']}"}
