"""Remove old releases, or all that an app runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask_apachectl import lock, paths, releases
from flask_apachectl.errors import RefusedError
from flask_apachectl.serve import pools, units

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App


def prune(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Remove the oldest releases, never the live, the idle or the previous one."""
    before = releases.complete(app)
    if options.keep is not None:
        app = replace(app, config={**app.config, "keep_releases": options.keep})
    with lock.held(app):
        releases.prune(app)
    gone = [release for release in before if release not in releases.complete(app)]
    return {"changed": bool(gone), "removed": gone, "msg": f"removed {', '.join(gone) or 'nothing'}"}


def remove(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """End what the app runs, after Apache's configuration has lost it; used by playbooks/remove.yml."""
    if not app.home.exists():  # by a removal that was killed: all has ended before
        return {"changed": False, "pools": False, "units": [], "msg": "nothing runs any more"}
    found = units.running(app, all_of_them=True) if paths.SYSTEMD.is_dir() else []
    processes = pools.own_processes(app)
    result = {"changed": bool(found or processes), "pools": bool(pools.workers(app)), "units": found}
    if options.plan:
        return {**result, "msg": f"would stop {', '.join(found) or 'no unit'} and {len(processes)} processes"}
    if list(paths.ETC.glob(f"vhosts/*/[0-9][0-9][0-9]-{app.name}.conf")):
        raise RefusedError(f"Apache's configuration still has {app.name}: use playbooks/remove.yml")
    with lock.held(app):
        pools.end_all(app)
    return {**result, "msg": f"stopped {', '.join(found) or 'no unit'} and {len(processes)} processes"}
