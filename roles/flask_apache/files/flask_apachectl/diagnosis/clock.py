"""The host's clock: whether something sets it, and whether it is behind what it wrote itself."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from flask_apachectl import paths, routing
from flask_apachectl.diagnosis.finding import WARNING, Kind
from flask_apachectl.host import facts, report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_apachectl.app import App
    from flask_apachectl.diagnosis.finding import Finding

SUBJECT = "Clock"
BEHIND = 300.0  # seconds
SYNCHRONISE = "timedatectl set-ntp true"
UNSET = Kind(
    SUBJECT,
    "Nothing synchronises the clock (not looked for in containers)",
    WARNING,
    "certificates, signed cookies and logs depend on it",
)
PAST = Kind(
    SUBJECT,
    "The clock is behind the time at which the live release was made",
    WARNING,
    "certificates and sessions seem not to be valid yet, and Apache may not see changed files",
)
KINDS = (UNSET, PAST)


def of_host() -> Iterator[Finding]:
    """Ask systemd whether something synchronises the clock; no finding where it cannot tell."""
    if not paths.SYSTEMD.is_dir() or facts.output("systemd-detect-virt", "--container") not in ("", "none"):
        return  # a container has the clock of its host
    told = dict(re.findall(r"(?m)^(\w+)=(.*)$", facts.output("timedatectl", "show")))
    if told.get("NTPSynchronized") == "no":
        service = "" if told.get("NTP") != "yes" else ", though NTP is on"
        fix = SYNCHRONISE if told.get("NTP") != "yes" else "systemctl restart systemd-timesyncd"
        if told.get("CanNTP") == "no":
            fix = f"apt-get install systemd-timesyncd && {SYNCHRONISE}"
        yield UNSET.found(f"the clock is not synchronised{service}", fix)


def of_app(app: App, now: float | None = None) -> Iterator[Finding]:
    """Compare the clock with the files of the live release."""
    release = routing.slot_release(app, routing.live_slot(app))
    path = app.releases / (release or "-") / "release.json"
    behind = (path.stat().st_mtime if path.is_file() else 0.0) - (time.time() if now is None else now)
    if behind > BEHIND:
        wrong = f"the clock is {report.duration(behind)} behind the time of {path}"
        fix = SYNCHRONISE if paths.SYSTEMD.is_dir() else "date --utc --set='…'"
        yield PAST.found(wrong, fix, app.name)
