"""Go back to a release that was live before."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from flask_apachectl import history, lock, releases, routing
from flask_apachectl.commands import canary
from flask_apachectl.errors import RefusedError
from flask_apachectl.serve import activation

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App


def rollback(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Go back to the previous live release, or to a named one; during a canary, to the live one for all visitors."""
    if routing.read(app).canary and not options.release:
        if options.plan:
            return {
                "changed": True,
                "release": routing.live_release(app),
                "msg": f"the canary would end; live is {routing.live_release(app)}",
            }
        return canary.abort(app, options)
    with contextlib.ExitStack() as stack:
        if not options.plan:
            stack.enter_context(history.attempt(app, "rollback", options.release))
            stack.enter_context(lock.held(app))
        live = routing.slot_release(app, routing.live_slot(app))
        entries = history.read(app)
        release = options.release or history.last_live(entries, live, releases.complete(app))
        if release is None:
            raise RefusedError(f"there is no earlier release: {live or 'nothing'} is the first one that was live")
        if history.last_live(entries, None, [release]) is None:
            raise RefusedError(
                f"{release} was never live, so it cannot be rolled back to; see `flask-apachectl releases`"
            )
        if release != live and not options.force:
            releases.refuse_to_cross(app, release)
        if options.plan:
            return {"changed": live != release, "release": release, "msg": f"live is {live}, would be {release}"}
        result = activation.activate(app, release, "rollback")
    return {**result, "msg": f"{app.url} serves {release}"}
