"""Close the app to visitors, or take it out of load balancing."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask_apachectl import history, lock, routing

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App


def maintenance(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Close the app to visitors, who get 503 and a page, or open it again."""
    with lock.held(app):
        routes = routing.read(app)
        wanted = options.state == "on"
        changed = wanted != bool(routes.maintenance)
        if changed:
            routes = replace(routes, maintenance=secrets.token_hex(16) if wanted else "")
            routing.write(app, routes)
            history.record(app, f"maintenance {options.state}", None)
    url = f"{app.url}?flask_apache_bypass={routes.maintenance}"
    message = f"{app.url} is closed; to see it yourself: {url}" if wanted else f"{app.url} is open"
    return {"changed": changed, "maintenance": wanted, **({"bypass": url} if wanted else {}), "msg": message}


def drain(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Let the readiness address answer 503, so that load balancers look elsewhere; the app goes on serving."""
    with lock.held(app):
        routes = routing.read(app)
        wanted = options.state == "on"
        changed = wanted != routes.drain
        if changed:
            routing.write(app, replace(routes, drain=wanted))
            history.record(app, f"drain {options.state}", None)
    path = app.site.mount.rstrip("/") + app.site.ready_path
    return {"changed": changed, "drain": wanted, "msg": f"{path} answers {503 if wanted else 'as the app does'}"}
