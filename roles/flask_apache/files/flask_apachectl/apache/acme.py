"""Certificates that Apache's mod_md gets from an authority by ACME, and renews; it needs a reload to use a new one.

Before the first one is there, mod_md is given the certificate that was served so far, or one that the host makes: a
virtual host without any would answer 503.
"""

from __future__ import annotations

import grp
import json
import re
from typing import TYPE_CHECKING, Any

from flask_apachectl import paths
from flask_apachectl.apache import certificates
from flask_apachectl.host import facts
from flask_apachectl.host.desired import Directory, File, Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from flask_apachectl.declaration import Site
    from flask_apachectl.host.desired import Wanted

NAME, VARIABLE = "flask-apachectl-certificates", "flask_apache_tls: acme"
SERVICE = """
[Unit]
Description=flask-apachectl: let Apache load the certificates that it has renewed
After=apache2.service

[Service]
Type=oneshot
ExecStart={engine} certificates
"""
TIMER = """
[Unit]
Description=flask-apachectl: when to look for certificates that Apache has renewed

[Timer]
OnActiveSec=1min
OnUnitActiveSec=10min
RandomizedDelaySec=30

[Install]
WantedBy=timers.target
"""


def store() -> Path:
    """Return the directory in which mod_md keeps its certificates: Apache has one."""
    places = ("apache2.conf", "conf-enabled/*.conf", "mods-enabled/*.conf", "sites-enabled/*.conf")
    texts = [facts.read(path) for place in places for path in sorted(paths.APACHE.glob(place))]
    found = re.findall(r'(?mi)^\s*MDStoreDir\s+"?([^"\s]+)', "\n".join(texts))
    return paths.APACHE / (found[-1] if found else "md")


def directory() -> Directory:
    """Return that directory as only Apache enters it: mod_md lets everybody read there what a customer has to keep."""
    return Directory(store(), "root", grp.getgrgid(facts.apache_group()).gr_name, 0o750)


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
    directories = [path for path in (place.parent.parent, place.parent) if not path.is_dir()]
    return [
        *(Directory(path, "root", "root", 0o700) for path in directories),
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


def users(apps: Mapping[str, Site]) -> list[Site]:
    """Return the apps with such certificates, for which a timer of the host lets Apache load what is renewed."""
    return [site for site in apps.values() if site.acme]


def service(_apps: Mapping[str, Site]) -> str:
    """Return the text of the timer's service."""
    return SERVICE.format(engine=paths.ENGINE)


def left(apps: Mapping[str, Site]) -> list[Wanted]:
    """Return the files that redirect visitors for a server name or an authority that no app has any more."""
    flags = {site.https_flag for site in users(apps)}
    return [Link(path) for path in sorted(paths.HTTPS.glob("*")) if path not in flags]


def left_by(host: str, used: Iterable[str]) -> list[Wanted]:
    """Return what is to go of a virtual host that is deserted, unless its certificate is still used."""
    name = host.rpartition("-")[0]
    found = [store() / place / name for place in ("domains", "staging", "challenges")]
    return [Link(path) for path in found if name not in used and path.is_dir()]
