"""Certificates that Apache's mod_md gets from an authority by ACME, and renews; it needs a reload to use a new one.

Before the first one is there, mod_md is given the certificate that was served so far, or one that the host makes: a
virtual host without any would answer 503.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

from flask_apachectl import paths
from flask_apachectl.apache import certificates
from flask_apachectl.host import facts
from flask_apachectl.host.desired import Directory, File, Link

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from flask_apachectl.declaration import Site
    from flask_apachectl.host.desired import Change, Wanted

SERVICE = """# Made by flask-apachectl
[Unit]
Description=Let Apache use the certificates that it has renewed
After=apache2.service

[Service]
Type=oneshot
ExecStart=/usr/local/bin/flask-apachectl certificates
"""
TIMER = """# Made by flask-apachectl
[Unit]
Description=Look for certificates that Apache has renewed

[Timer]
OnActiveSec=1min
OnUnitActiveSec=10min
RandomizedDelaySec=30

[Install]
WantedBy=timers.target
"""
NAME = "flask-apache-certificates"


def store() -> Path:
    """Return the directory in which mod_md keeps its certificates: Apache has one."""
    places = ("apache2.conf", "conf-enabled/*.conf", "mods-enabled/*.conf", "sites-enabled/*.conf")
    texts = [facts.read(path) for place in places for path in sorted(paths.APACHE.glob(place))]
    found = re.findall(r'(?mi)^\s*MDStoreDir\s+"?([^"\s]+)', "\n".join(texts))
    return paths.APACHE / (found[-1] if found else "md")


def certificate(site: Site) -> Path:
    """Return the file of the certificate that Apache serves for a site."""
    return store() / "domains" / site.server_name / "pubcert.pem"


def first(site: Site, virtual_host: Path, names: Iterable[str]) -> list[Wanted]:
    """Return what mod_md begins with, if it has nothing for a site: the certificate of its virtual host as it was."""
    place = certificate(site)
    if place.is_file():
        return []
    text = facts.read(virtual_host)
    was = [re.search(rf'SSLCertificate{kind}File "(.*)"', text) for kind in ("", "Key")]
    pair = [facts.read(paths.APACHE / found[1]) for found in was if found]
    if not all(pair) or len(pair) != len(was):
        pair = [file.content.decode() for file in certificates.self_signed(place.parent, tuple(names))]
    directories = [path for path in (store(), place.parent.parent, place.parent) if not path.is_dir()]
    return [
        *(Directory(path, "root", "root", 0o755 if path == store() else 0o700) for path in directories),
        File(place, pair[0].encode(), mode=0o600),
        File(place.with_name("privkey.pem"), pair[1].encode(), mode=0o600, secret=True),
    ]


def is_staged(site: Site) -> bool:
    """Tell whether mod_md has got a certificate that it will use after a reload."""
    return _job(site, "staging").get("finished") is True


def is_at_work(site: Site) -> bool:
    """Tell whether mod_md is getting a certificate, or has it; after a failure it waits, even beyond a reload."""
    job = _job(site, "staging")
    return bool(job) and not job.get("errors")


def staging(site: Site) -> Path:
    """Return the directory in which mod_md gets a certificate ready."""
    return store() / "staging" / site.server_name


def problem(site: Site) -> str:
    """Say what mod_md is doing for a site, or what hinders it; nothing when it has not begun."""
    last = _job(site, "staging").get("last")
    found = last if isinstance(last, dict) else {}
    return " ".join(str(found.get("detail") or found.get("activity") or "").split())


def _job(site: Site, place: str) -> dict[str, Any]:
    """Return mod_md's own record of its work."""
    try:
        found = json.loads(facts.read(store() / place / site.server_name / "job.json") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def shared(apps: Iterable[Site]) -> list[Wanted]:
    """Return what all apps with such certificates need together: a timer that reloads Apache after a renewal."""
    flags = {site.https_flag for site in apps if site.acme}
    units = [paths.UNITS / f"{NAME}.{kind}" for kind in ("service", "timer")]
    link = paths.UNITS / "timers.target.wants" / f"{NAME}.timer"
    stale: list[Wanted] = [Link(path) for path in sorted(paths.HTTPS.glob("*")) if path not in flags]
    if not flags or not paths.SYSTEMD.is_dir():
        return [*stale, *(Link(path) for path in (link, *units) if os.path.lexists(path))]
    texts = [File(path, text.encode()) for path, text in zip(units, (SERVICE, TIMER), strict=True)]
    return [*stale, *texts, Directory(link.parent, "root", "root", 0o755), Link(link, f"../{NAME}.timer")]


def left_by(host: str, used: Iterable[str]) -> list[Wanted]:
    """Return what is to go of a virtual host that is deserted, unless its certificate is still used."""
    name = host.rpartition("-")[0]
    found = [store() / place / name for place in ("domains", "staging", "challenges")]
    return [Link(path) for path in found if name not in used and path.is_dir()]


def let_timer_run(changes: Iterable[Change]) -> None:
    """Let systemd read the timer's files if they have changed, and start it, or stop it when it has gone."""
    if any(NAME in change.path for change in changes):
        is_wanted = (paths.UNITS / f"{NAME}.timer").exists()
        begin: tuple[tuple[str, ...], ...] = (("daemon-reload",), ("start", f"{NAME}.timer"))
        end = (("stop", f"{NAME}.timer"), ("daemon-reload",))
        for command in begin if is_wanted else end:
            subprocess.run(["systemctl", *command], check=False, capture_output=True)
