"""Where everything is on the host."""

from __future__ import annotations

import hashlib
from pathlib import Path

ETC = Path("/etc/flask-apache")
SRV = Path("/srv/flask-apache")
VAR_LIB = Path("/var/lib/flask-apache")
CACHE = Path("/var/cache/flask-apache")
RUN = Path("/run/flask-apache")  # in memory: what must not outlive a build
APACHE_PID = Path("/run/apache2/apache2.pid")
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
UNITS = Path("/etc/systemd/system")
STAMPS = Path("/var/lib/systemd/timers")
ENGINE = Path("/usr/local/bin/flask-apachectl")
HOST_LOCK = Path("/run/flask-apache.lock")
VAR_LOG = Path("/var/log/flask-apache")
LIB = Path("/usr/local/lib/flask-apache")
APACHE = Path("/etc/apache2")
HTTPS = SRV / ".https"  # tells Apache which server names are redirected to HTTPS
HARDENED = "flask-apache-harden_server.conf"  # in Apache's configuration; no app's name has an underscore
JOURNAL = "journald"  # instead of a log file: systemd's journal
SYSTEMD = Path("/run/systemd/system")  # there while systemd runs the host
SLOTS = ("blue", "green")
READABLE_TO_THE_APP = 0o750  # with the app's group
ON_APACHES_WAY = 0o751  # besides, others may pass through but see no names
SHARED_BUILD_USER = "flask-apache-build"  # of all apps, before each had its own
LONGEST_USER = 32  # characters of a Unix user's name


def https_flag(server_name: str, port: int, authority: str) -> Path:
    """Return the file that is there once an authority's certificate is; empty until visitors get it."""
    return HTTPS / f"{server_name}-{port}-{hashlib.sha256(authority.encode()).hexdigest()[:8]}"


def journal_name(app: str, kind: str) -> str:
    """Return the identifier by which the journal knows a log of an app, ``access`` or ``error``."""
    return f"flask-apache-{app}-{kind}"


def metrics_directory() -> Path:
    """Return the directory of the metrics that Apache serves: a file of each app."""
    return SRV / ".metrics"


def metrics_file(app: str) -> Path:
    """Return the file of an app's metrics that Apache serves."""
    return metrics_directory() / f"{app}.prom"


def build_user(app: str) -> str:
    """Return the name of the Unix user of an app's builds. No name of an app has an underscore."""
    name = f"build_{app}"
    if len(name) <= LONGEST_USER:
        return name
    return f"{name[:23]}_{hashlib.sha256(app.encode()).hexdigest()[:8]}"
