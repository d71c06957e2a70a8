"""Remove old releases, or all that an app runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask_apachectl import lock, releases

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App


def prune(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Remove the oldest releases, never the live, the idle or the previous one."""
    before = releases.complete(app)
    if options.keep is not None:
        app = replace(app, site=replace(app.site, keep_releases=options.keep))
    with lock.held(app):
        releases.prune(app)
    gone = [release for release in before if release not in releases.complete(app)]
    return {"changed": bool(gone), "removed": gone, "msg": f"removed {', '.join(gone) or 'nothing'}"}
