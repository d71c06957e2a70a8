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
from flask_apachectl.host import facts
from flask_apachectl.host.desired import Link

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask_apachectl.declaration import Site
    from flask_apachectl.host.desired import Wanted

NAME, VARIABLE = "flask-apachectl-metrics", "flask_apache_metrics_textfile"
SERVICE = f"{NAME}.service"
STALE = 300.0  # seconds after which what was written is too old
FILE = "flask_apache.prom"  # in a directory that node_exporter reads
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
TIMER = """
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


def users(apps: Mapping[str, Site]) -> list[Site]:
    """Return the apps that want the collector."""
    return [site for site in apps.values() if site.metrics_textfile]


def service(apps: Mapping[str, Site]) -> str:
    """Return the text of its service, which names the directories of all apps."""
    return SERVICE_TEXT.format(
        engine=paths.ENGINE,
        options=" ".join(f"--textfile {place}" for place in directories(apps)),
        writable="\n".join(f"ReadWritePaths=-{place}" for place in directories(apps)),
    )


def left(apps: Mapping[str, Site]) -> list[Wanted]:
    """Return what the former collector wrote where no app wants it: to go before the unit that tells where it is."""
    before = re.findall(r"--textfile (\S+)", facts.read(paths.UNITS / SERVICE))
    return [Link(Path(place) / FILE) for place in before if place not in directories(apps)]


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
