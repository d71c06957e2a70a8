"""The collector for node_exporter: a timer of the host that writes all apps' metrics, as long as some app wants it.

An app declares a directory. The collector's unit names the directories of all apps: what it named before says where
files are left to remove.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import paths
from flask_apachectl.host import desired, facts
from flask_apachectl.host.desired import Directory, File, Link
from flask_apachectl.serve import units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask_apachectl.declaration import Site
    from flask_apachectl.host.desired import Wanted

SERVICE, TIMER = "flask-apachectl-metrics.service", "flask-apachectl-metrics.timer"
STALE = 300.0  # seconds after which what was written is too old
FILE = "flask_apache.prom"  # in a directory that node_exporter reads
HEAD = "# Made by flask-apachectl for the apps that declare flask_apache_metrics_textfile. Do not edit.\n"
SERVICE_TEXT = """
[Unit]
Description=flask-apachectl: write metrics for node_exporter

[Service]
Type=oneshot
ExecStart={engine} metrics {options}
Nice=10
NoNewPrivileges=true
PrivateTmp=true
ProtectSystem=full
{writable}
"""
TIMER_TEXT = """
[Unit]
Description=flask-apachectl: when metrics are written for node_exporter

[Timer]
OnActiveSec=1s
OnCalendar=minutely
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def directories(apps: Mapping[str, Site]) -> list[str]:
    """Return the directories that apps declare for their metrics."""
    return sorted({site.metrics_textfile for site in apps.values() if site.metrics_textfile})


def wanted(apps: Mapping[str, Site]) -> list[Wanted]:
    """Return the files of the collector, and those that are to go, given all apps of the host.

    What the former collector wrote goes before the unit that tells where that is.
    """
    named = directories(apps)
    service, timer = paths.UNITS / SERVICE, paths.UNITS / TIMER
    enabled = paths.UNITS / "timers.target.wants"
    left = re.findall(r"--textfile (\S+)", facts.read(service))
    steps: list[Wanted] = [Link(Path(place) / FILE) for place in left if place not in named]
    if not named:
        return [*steps, Link(enabled / TIMER), Link(timer), Link(service)]
    text = SERVICE_TEXT.format(
        engine=paths.ENGINE,
        options=" ".join(f"--textfile {place}" for place in named),
        writable="\n".join(f"ReadWritePaths=-{place}" for place in named),
    )
    return [
        *steps,
        File(service, (HEAD + text).encode()),
        File(timer, (HEAD + TIMER_TEXT).encode()),
        Directory(enabled, "root", "root", 0o755),
        Link(enabled / TIMER, f"../{TIMER}"),
    ]


def is_idle(apps: Mapping[str, Site]) -> bool:
    """Tell whether systemd does not run the timer that some app wants, or not as its files say."""
    if not _is_to_run(apps):
        return False
    shown = units.systemctl("show", "--property=ActiveState,NeedDaemonReload", "--", TIMER, SERVICE)
    return "ActiveState=active" not in shown.partition("\n\n")[0] or "NeedDaemonReload=yes" in shown


def _is_to_run(apps: Mapping[str, Site]) -> bool:
    """Tell whether the timer is to run now, and not only from the next boot on."""
    is_wanted = any(site.metrics_textfile and site.manage_service for site in apps.values())
    return is_wanted and paths.SYSTEMD.is_dir()


def install(apps: Mapping[str, Site]) -> bool:
    """Make the collector as the apps want it; tell whether it was not. Called under the host's lock."""
    steps = [each for each in wanted(apps) if desired.difference(each)]
    if not steps and not is_idle(apps):
        return False
    has_systemd = paths.SYSTEMD.is_dir()
    if has_systemd and not directories(apps):
        units.systemctl("stop", TIMER, SERVICE)
    for each in steps:
        desired.make(each)
    if has_systemd:
        units.systemctl("daemon-reload")
    if _is_to_run(apps):
        units.systemctl("restart", TIMER)
    return True


def problem_of(site: Site) -> str:
    """Say why an app's metrics do not come to where it wants them, or nothing."""
    directory = Path(site.metrics_textfile)
    if not directory.is_dir():
        return missing(site.metrics_textfile)
    written = directory / FILE
    is_fresh = written.is_file() and time.time() - written.stat().st_mtime < STALE
    return "" if is_fresh else f"see `systemctl status {SERVICE}`"


def missing(directory: str) -> str:
    """Say what to do where there is no such directory."""
    return f"{directory} must be a directory: install prometheus-node-exporter, or create it"
