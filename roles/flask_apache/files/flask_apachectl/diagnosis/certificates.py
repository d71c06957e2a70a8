"""The certificate that visitors of an app get: its age, its names, its chain, its key and its renewal."""

from __future__ import annotations

import ipaddress
import itertools
import re
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import paths
from flask_apachectl.apache import acme, certificates, neighbours
from flask_apachectl.diagnosis.finding import ERROR, RUN_THE_ROLE, WARNING, Kind, command
from flask_apachectl.host import facts, report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_apachectl.app import App
    from flask_apachectl.declaration import Site
    from flask_apachectl.diagnosis.finding import Finding

SUBJECT = "Certificates"
DAY = 86400.0  # seconds
SOON_DAYS = 14
RENEWED_WITHIN = 0.33  # of its time, mod_md's default: then it begins to renew
LATE = 0.2  # of its time: a renewal that worked would have come before
UNREADABLE = Kind(SUBJECT, "The certificate cannot be read", ERROR, "Apache cannot start without it")
EXPIRED = Kind(SUBJECT, "A certificate of the chain has expired", ERROR, "browsers refuse to show the app")
EARLY = Kind(SUBJECT, "A certificate of the chain is not valid yet", ERROR, "browsers refuse to show the app")
SOON = Kind(
    SUBJECT,
    f"A certificate of the chain expires within {SOON_DAYS} days",
    WARNING,
    "browsers refuse to show the app when it has expired",
)
NAME = Kind(
    SUBJECT, "The certificate does not cover a name of the app", ERROR, "browsers warn all visitors by that name"
)
KEY = Kind(SUBJECT, "The key does not belong to the certificate", ERROR, "Apache does not start again, for any site")
ORDER = Kind(
    SUBJECT,
    "A certificate is not followed by its issuer's",
    WARNING,
    "clients that do not sort the chain themselves refuse the connection",
)
INCOMPLETE = Kind(
    SUBJECT,
    "The chain ends before an authority that the host knows",
    WARNING,
    "clients that do not fetch what is missing refuse the connection",
)
OVERDUE = Kind(
    SUBJECT,
    "mod_md has not renewed the certificate in time",
    WARNING,
    "browsers refuse to show the app when it has expired",
)
UNLOADED = Kind(
    SUBJECT,
    "Apache shows another certificate than the one in the file",
    WARNING,
    "visitors get the old one until Apache reloads",
)
KINDS = (UNREADABLE, EXPIRED, EARLY, SOON, NAME, KEY, ORDER, INCOMPLETE, OVERDUE, UNLOADED)
ASKED = ("-noout", "-subject_hash", "-issuer_hash", "-subject", "-startdate", "-enddate", "-nameopt", "RFC2253")


@dataclass(frozen=True)
class Read:
    """A certificate: hashes of its subject and issuer, its subject, its names, and when it is valid (since 1970)."""

    subject_hash: str
    issuer_hash: str
    subject: str
    names: tuple[str, ...]
    begins: float
    ends: float
    is_public: bool  # it says where its issuer's is found

    @property
    def is_root(self) -> bool:
        """Whether it has issued itself."""
        return self.subject_hash == self.issuer_hash


def of_app(app: App, now: float | None = None) -> Iterator[Finding]:
    """Look at the certificate of an app, if the role has one for it."""
    site = app.site
    if not site.certificate:
        return
    now = time.time() if now is None else now
    path, key, more = places(site)
    blocks = certificates.BLOCK.findall(facts.read(path)) + certificates.BLOCK.findall(facts.read(more) if more else "")
    try:
        chain = [read(block) for block in blocks]
    except ValueError as error:
        chain, problem = [], str(error)
    else:
        problem = "" if chain else "it contains no certificate in PEM"
    if problem == NO_OPENSSL:
        return
    if problem:
        yield UNREADABLE.found(f"{path} cannot be read: {problem}", new_one(site), app.name)
        return
    yield from _of_age(app, path, chain, now)
    yield from _of_names(app, path, chain[0])
    if key and (problem := certificates.problem_of(path, key)):
        yield KEY.found(f"Apache cannot use the key {key} for {path}: {problem}", new_one(site), app.name)
    yield from _of_chain(app, more or path, chain, blocks)
    yield from _of_renewal(app, chain[0], now)


NO_OPENSSL = "there is no openssl"


def read(block: str) -> Read:
    """Return what a certificate in PEM says. Raises ValueError when it is damaged."""
    asked = ["openssl", "x509", *ASKED, "-ext", "subjectAltName,authorityInfoAccess"]
    try:
        done = subprocess.run(asked, input=block, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        raise ValueError(NO_OPENSSL) from None
    lines = done.stdout.splitlines()
    found = dict(line.partition("=")[::2] for line in lines if re.match(r"(subject|notBefore|notAfter) ?=", line))
    hashes = [line for line in lines if re.fullmatch(r"[0-9a-f]{8}", line)]
    if done.returncode or len(found) + len(hashes) < len(("subject", "notBefore", "notAfter", "its", "issuer's")):
        raise ValueError(f"OpenSSL says {report.tail(done.stderr, 1).strip() or 'nothing'}")
    return Read(
        hashes[0],
        hashes[1],
        found["subject"].strip(),
        tuple(name.lower() for name in re.findall(r"(?:DNS|IP Address):([^,\s]+)", done.stdout)),
        float(ssl.cert_time_to_seconds(found["notBefore"])),
        float(ssl.cert_time_to_seconds(found["notAfter"])),
        "CA Issuers" in done.stdout,
    )


def places(site: Site) -> tuple[Path, Path | None, Path | None]:
    """Return where the certificate, its key and the rest of its chain are; the last two as far as they are known."""
    if site.acme:
        path = acme.certificate(site)
        return path, path.with_name("privkey.pem"), None
    text = facts.read(paths.APACHE / f"sites-available/flask-apache-{neighbours.vhost(site)}.conf")
    key, chain = (re.search(rf'(?m)^\s*SSLCertificate{kind}File "(.*)"', text) for kind in ("Key", "Chain"))
    return Path(site.certificate), key and paths.APACHE / key[1], chain and paths.APACHE / chain[1]


def new_one(site: Site) -> str:
    """Return how an app gets another certificate."""
    if site.acme:
        return "systemctl reload apache2"  # mod_md then tries again
    if Path(site.certificate).is_relative_to("/etc/letsencrypt"):
        return command("certbot", "renew", "--cert-name", Path(site.certificate).parent.name)
    if Path(site.certificate).is_relative_to(paths.ETC):
        return f"set flask_apache_tls_certificate and flask_apache_tls_key, and run {RUN_THE_ROLE}"
    return f"replace {site.certificate}, and run systemctl reload apache2"


def _of_age(app: App, path: Path, chain: list[Read], now: float) -> Iterator[Finding]:
    """Look at the times of all certificates of a chain."""
    for each in chain:
        begins, ends = (time.strftime("%Y-%m-%d", time.gmtime(moment)) for moment in (each.begins, each.ends))
        which = f"the certificate of {each.subject} in {path}"
        if each.ends < now:
            yield EXPIRED.found(f"{which} expired on {ends}", new_one(app.site), app.name)
        elif each.begins > now:
            clock = f"date --utc; if it is right: {new_one(app.site)}"
            yield EARLY.found(f"{which} is valid from {begins} on", clock, app.name)
        elif each.ends < now + SOON_DAYS * DAY:
            left = f"{(each.ends - now) / DAY:.0f} days"
            yield SOON.found(f"{which} expires in {left}, on {ends}", new_one(app.site), app.name)


def _of_names(app: App, path: Path, first: Read) -> Iterator[Finding]:
    """Look for names of the app that its certificate does not cover."""
    wanted = [name for name in (app.site.server_name, *app.site.server_aliases) if name]
    missing = [name for name in wanted if not any(covers(each, name.lower()) for each in first.names)]
    if missing and not (app.site.acme and not app.is_certified):
        its = ", ".join(first.names) or "no name at all"
        yield NAME.found(f"{path} does not cover {', '.join(missing)}: it has {its}", new_one(app.site), app.name)


def covers(pattern: str, name: str) -> bool:
    """Tell whether a name of a certificate stands for a name: its wildcard is for one label, and for no address."""
    if pattern == name:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return pattern.startswith("*.") and "*" not in name and pattern[1:] == "." + name.partition(".")[2]
    return False


def _of_chain(app: App, path: Path, chain: list[Read], blocks: list[str]) -> Iterator[Finding]:
    """Look at the order of a chain, and whether it leads to an authority that the host knows."""
    for each, issuer in itertools.pairwise(chain):
        if each.issuer_hash != issuer.subject_hash:
            wrong = f"{path} has {issuer.subject} after {each.subject}, which it has not issued"
            yield ORDER.found(wrong, new_one(app.site), app.name)
            return
    last = chain[-1]
    if not last.is_root and last.is_public and not is_known(blocks[-1]):
        wrong = f"{path} ends with {last.subject}, whose issuer is missing"
        yield INCOMPLETE.found(wrong, new_one(app.site), app.name)


def is_known(block: str) -> bool:
    """Tell whether the issuer of a certificate is an authority that the host trusts; where none is, it is."""
    if not Path(paths.CA_BUNDLE).is_file():
        return True
    asked = ["openssl", "verify", "-no_check_time", "-CAfile", paths.CA_BUNDLE]
    done = subprocess.run(asked, input=block, check=False, capture_output=True, text=True)
    return not re.search(r"error (2|20|21) at", done.stdout + done.stderr)


def _of_renewal(app: App, first: Read, now: float) -> Iterator[Finding]:
    """Look at what mod_md should have done, and at what Apache should have loaded."""
    site, lasts = app.site, first.ends - first.begins
    if not site.acme:
        return
    problem = acme.problem(site)
    told = f": {problem}" if problem else ""
    if acme.is_staged(site):
        wrong = f"a new certificate of {site.server_name} waits until Apache loads it"
        yield UNLOADED.found(wrong, "flask-apachectl certificates", app.name)
    elif not app.is_certified:
        if not acme.is_at_work(site):
            wrong = f"{site.acme} has not issued the first certificate of {site.server_name} yet{told}"
            yield OVERDUE.found(wrong, "systemctl reload apache2", app.name)
    elif now > first.ends - LATE * lasts:
        date = time.strftime("%Y-%m-%d", time.gmtime(first.ends - RENEWED_WITHIN * lasts))
        wrong = f"the certificate of {site.server_name} should have been renewed since {date}{told}"
        yield OVERDUE.found(wrong, "systemctl reload apache2", app.name)
