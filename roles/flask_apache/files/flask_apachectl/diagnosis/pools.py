"""Pools whose processes keep ending, or still run what was there before; and how often Apache itself came back."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from flask_apachectl import paths, routing
from flask_apachectl.apache import server
from flask_apachectl.diagnosis.finding import WARNING, Kind, command
from flask_apachectl.host import facts
from flask_apachectl.serve import condition, pools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_apachectl.app import App
    from flask_apachectl.diagnosis.finding import Finding

SUBJECT = "Pools"
LINGERS = 120.0  # seconds that a process may take to end after its slot got another release
LOOPING = Kind(
    SUBJECT,
    "The processes of a pool end, and are started again, again and again",
    WARNING,
    "requests fail each time, and the app is slow until it is loaded again",
)
LINGERING = Kind(
    SUBJECT,
    f"A process still runs a release that left its pool more than {LINGERS:.0f} seconds ago",
    WARNING,
    "it takes memory, and a rollback to that pool has to wait for it",
)
EMPTY = Kind(
    SUBJECT,
    "The idle pool has a release and no processes",
    WARNING,
    "a rollback has to start it first, which takes as long as the app's import",
)
CRASHED = Kind(SUBJECT, "systemd had to start Apache again", WARNING, "visitors of all sites had no answer meanwhile")
UNWATCHED = Kind(
    SUBJECT,
    "systemd does not know which process is Apache's first one",
    WARNING,
    "nobody notices when it ends, and the ports stay occupied",
)
DROP_IN = "/etc/systemd/system/apache2.service.d/pid-file.conf"
KINDS = (LOOPING, LINGERING, EMPTY, CRASHED, UNWATCHED)


def of_app(app: App) -> Iterator[Finding]:
    """Look at the processes of each pool."""
    if server.pid() is None:
        return
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    for slot in app.slots:
        own = [each for each in pools.daemon_processes(app) if each.slot == slot]
        began = condition.since(app, slot)
        settled = condition.Visit("up", "")
        if len(own) >= app.site.processes and condition.state(app, slot, own, began, settled) == "failing":
            wrong = f"all {len(own)} processes of the {slot} pool were started again within the last minute"
            yield LOOPING.found(wrong, command("flask-apachectl", "--app", app.name, "logs", "--error"), app.name)
        old = sorted(each.pid for each in own if pools.is_outdated(app, each))
        if old and now - began > LINGERS:
            wrong = f"processes of the {slot} pool still run the release before: {', '.join(map(str, old))}"
            yield LINGERING.found(wrong, command("kill", "-USR1", *old), app.name)
        is_idle = not condition.share(app, slot) and routing.slot_release(app, slot)
        if is_idle and not own and app.site.idle_pool == "warm" and now - began > condition.SPREAD:
            wrong = f"the {slot} pool has no processes"
            yield EMPTY.found(wrong, "systemctl reload apache2", app.name)


def of_host() -> Iterator[Finding]:
    """Ask systemd how often it had to start Apache again, and whether it would."""
    if not paths.SYSTEMD.is_dir():
        return
    told = facts.output("systemctl", "show", "apache2.service", "--property=NRestarts,MainPID")
    found = dict(re.findall(r"(?m)^(\w+)=(.*)$", told))
    if found.get("NRestarts", "0") not in ("", "0"):
        wrong = f"systemd has started Apache again {found['NRestarts']} times, as it had ended by itself"
        yield CRASHED.found(wrong, "journalctl --unit=apache2; systemctl reset-failed apache2 forgets it")
    if server.pid() and found.get("MainPID") == "0":
        lines = f"printf '[Service]\\nPIDFile={paths.APACHE_PID}\\n' > {DROP_IN}"
        fix = (
            f"mkdir -p {DROP_IN.rpartition('/')[0]} && {lines} && systemctl daemon-reload && systemctl restart apache2"
        )
        yield UNWATCHED.found(f"Apache runs as process {server.pid()}, and systemd does not know it", fix)
