"""The collector: a timer of the host that writes all apps' metrics, as long as some app wants it.

For node_exporter, an app declares a directory. The collector's unit names the directories of all apps: what it named
before says where files are left to remove. An app that serves its metrics over HTTP has a file of its own.
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

NAME = "flask-apachectl-metrics"
VARIABLE = "flask_apache_metrics_textfile or flask_apache_metrics_allow"
SERVICE = f"{NAME}.service"
STALE = 300.0  # seconds after which what was written is too old
FILE = "flask_apache.prom"  # in a directory that node_exporter reads
SERVICE_TEXT = """
[Unit]
Description=flask-apachectl: write metrics for Prometheus

[Service]
Type=oneshot
ExecStart={engine} metrics{options}
# It is stopped when no app wants it any more, perhaps while it works: that is no failure.
SuccessExitStatus=SIGTERM
Nice=10
NoNewPrivileges=true
PrivateTmp=true
ProtectSystem=full
{writable}
"""
TIMER = """
[Unit]
Description=flask-apachectl: when metrics are written for Prometheus

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


def served(apps: Mapping[str, Site]) -> list[Path]:
    """Return the files of the apps that serve their metrics over HTTP."""
    return [paths.metrics_file(name) for name, site in apps.items() if site.metrics_served]


def users(apps: Mapping[str, Site]) -> list[Site]:
    """Return the apps that want the collector."""
    return [site for site in apps.values() if site.metrics_textfile or site.metrics_served]


def service(apps: Mapping[str, Site]) -> str:
    """Return the text of its service, which names the directories of all apps."""
    return SERVICE_TEXT.format(
        engine=paths.ENGINE,
        options="".join(f" --textfile {place}" for place in directories(apps)) + " --served" * bool(served(apps)),
        writable="\n".join(f"ReadWritePaths=-{place}" for place in directories(apps)),
    )


def left(apps: Mapping[str, Site]) -> list[Wanted]:
    """Return what the former collector wrote where no app wants it: to go before the unit that tells where it is."""
    before = re.findall(r"--textfile (\S+)", facts.read(paths.UNITS / SERVICE))
    found = [Path(place) / FILE for place in before if place not in directories(apps)]
    top = paths.metrics_directory()
    found += sorted(set(top.glob("*")) - set(served(apps)))
    found += [top] if top.is_dir() and not served(apps) else []
    return [Link(path) for path in found]


def problem_of(name: str, site: Site) -> str:
    """Say why an app's metrics do not come to where it wants them, or nothing."""
    directory = Path(site.metrics_textfile)
    if site.metrics_textfile and not directory.is_dir():
        return missing(site.metrics_textfile)
    written = [directory / FILE] * bool(site.metrics_textfile) + [paths.metrics_file(name)] * site.metrics_served
    are_fresh = all(path.is_file() and time.time() - path.stat().st_mtime < STALE for path in written)
    return "" if are_fresh else f"see `systemctl status {SERVICE}`"


def missing(directory: str) -> str:
    """Say what to do where there is no such directory."""
    return f"{directory} must be a directory: install prometheus-node-exporter, or create it"
