"""Configurations with which Apache would not start again: each is refused, and what was served is served.

A run that the controller refuses takes a second, one that is refused by the trial start of Apache some.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

from tests.security.shared import ADMIN, ADMIN_PORT, NAME, TLS_PORT, Place
from tests.support.certificates import issue
from tests.support.parallel import each
from tests.support.playbooks import apply_role
from tests.support.releases import reloads
from tests.support.steps import Run, StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.hosts import Host

HELD, HELD_TLS = 8097, 8098  # ports of another program
OWN, OTHER = issue(ADMIN, (ADMIN,)), issue(ADMIN, (ADMIN,))
FILES = {"tls": "files", "tls_certificate": OWN.pem, "tls_key": OWN.key}
STATE = ["/etc/apache2", "/etc/flask-apache", "/etc/systemd/system"]
DUPLICATE = "<VirtualHost *:8096>\n    ServerName twice.example.com\n    WSGIDaemonProcess twice-blue\n</VirtualHost>\n"


class Deadly(NamedTuple):
    """What is changed of the app `vault`, and what the one sentence says."""

    changes: Mapping[str, Any]
    says: str


CASES = {
    "a key of another certificate": Deadly(
        {**FILES, "tls_key": OTHER.key}, "flask_apache_tls_key must be the private key"
    ),
    "a certificate that is garbage": Deadly(
        {**FILES, "tls_certificate": "-----BEGIN CERTIFICATE-----\nZm9v\n-----END CERTIFICATE-----\n"},
        "flask_apache_tls_certificate must contain certificates in PEM that are whole",
    ),
    "an encrypted key": Deadly(
        {**FILES, "tls_key": OWN.key_with(BestAvailableEncryption(b"hunter2"))}, "it has a passphrase"
    ),
    "a certificate that is missing": Deadly(
        {"tls": "files", "tls_on": "host", "tls_certificate": "/etc/none.pem", "tls_key": "/etc/none.key"},
        "flask_apache_tls_certificate must",
    ),
    "a cipher that is none": Deadly(
        {"directives": ["SSLCipherSuite NONSENSE"]}, "Unable to configure permitted SSL ciphers"
    ),
    "a protocol that is none": Deadly({"directives": ["SSLProtocol SSLv9"]}, "SSLProtocol: Illegal protocol 'SSLv9'"),
    "a directive of a module that is not there": Deadly(
        {"directives": ["PassengerEnabled on"]}, "Invalid command 'PassengerEnabled'"
    ),
    "a directive of another context": Deadly({"directives": ["StartServers 5"]}, "StartServers"),
    "an include that is not there": Deadly({"directives": ["Include /etc/none/x.conf"]}, "/etc/none/x.conf"),
    "an include that cannot be read": Deadly({"directives": ["Include /proc/1/mem"]}, "/proc/1/mem"),
    "a log in a directory that is not there": Deadly(
        {"directives": ["CustomLog /none/x/access.log common"]}, "/none/x"
    ),
    "a log through a program that is not there": Deadly(
        {"directives": ['CustomLog "|/usr/local/bin/none" common']}, "/usr/local/bin/none"
    ),
    "a pattern that is none": Deadly({"directives": ["RewriteRule ( -"]}, "RewriteRule"),
    "a port of another program": Deadly(
        {"port": HELD}, f"flask_apache_port must be a port that no other program uses, got {HELD}"
    ),
    "a port of another program for TLS": Deadly(
        {"https_port": HELD_TLS}, f"flask_apache_https_port must be a port that no other program uses, got {HELD_TLS}"
    ),
}


@pytest.fixture(scope="module")
def busy(places: list[Place]) -> list[Place]:
    """Return the hosts, on which another program has two ports, and another site a name of mod_wsgi's."""

    def begin(place: Place) -> None:
        for port in (HELD, HELD_TLS):
            place.host.run(
                f"systemd-run --quiet --unit=holds-{port} python3 -m http.server {port} --directory /var/empty"
            )

    each(places, begin)
    return places


def served(host: Host) -> list[int]:
    """Return the statuses that visitors of the three apps get."""
    plain = [host.http("/", name, port=port).status for name, port in ((NAME, 80), (ADMIN, ADMIN_PORT))]
    return [*plain, host.http("/", ADMIN, port=TLS_PORT, https=True).status]


def state(host: Host) -> dict[str, Any]:
    """Return what Apache reads, the time of no file: a file may be written again as it was."""
    found = host.snapshot(STATE)
    return {path: each._replace(mtime_ns=0) for path, each in found.items()}


def test_deadly_configurations_are_refused(busy: list[Place]) -> None:
    """One after the other, on both hosts at once; in the end, Apache starts from what is on disk."""

    def go(place: Place) -> None:
        host = place.host
        before, pid, loaded = state(host), host.pid_of_apache(), reloads(host)
        for name, (changes, says) in CASES.items():
            began = time.monotonic()
            with pytest.raises(StepError) as refused:
                place.deploy("vault", **changes)
            said = str(refused.value)
            assert says in said, f"{name}: {said}"
            assert "Traceback" not in said
            assert len(said) < 1500, f"{name}: {said}"
            assert served(host) == [200] * 3, name
            print(f"{place} {name}: {time.monotonic() - began:.1f} s: {' | '.join(said.splitlines())}")
        after = state(host)
        assert {path for path in before | after if before.get(path) != after.get(path)} == set()
        assert (host.pid_of_apache(), reloads(host)) == (pid, loaded), "nothing was loaded"
        assert not place.deploy("vault").changed
        host.run("systemctl restart apache2")
        assert served(host) == [200] * 3

    each(busy, go)


def test_a_name_of_mod_wsgis_that_another_site_has(places: list[Place]) -> None:
    """A first deploy that Apache would not start with leaves nothing that it reads; without the site it succeeds."""

    def go(place: Place) -> None:
        host, site = place.host, "/etc/apache2/sites-enabled/twice.conf"
        host.write(site, DUPLICATE)
        host.run("systemctl reload apache2")
        run = Run(
            host,
            {
                "app": "twice",
                "server_name": "twice.example.com",
                "wsgi": "app:app",
                "requirements": [],
                "source": str(place.source),
                "port": 8095,
            },
        )
        try:
            before = state(host)
            with pytest.raises(StepError, match=r"(?i)duplicates previous WSGI daemon"):
                run.deploy()
            changed = {path for path, each in state(host).items() if before.get(path) != each}
            assert not [path for path in changed if path.startswith("/etc/apache2")]
            assert served(host) == [200] * 3
            host.run(f"rm {site} && systemctl reload apache2")
            run.deploy()
            assert run.changed
            assert host.http("/", "twice.example.com", port=8095).status == 200
        finally:
            host.run(f"rm -f {site}")
            run.step("remove")
        assert served(host) == [200] * 3

    each(places, go)


def test_a_play_that_is_refused_ends_with_an_error(busy: list[Place]) -> None:
    """Its exit code and its last word, as a person gets them."""
    place = busy[0]
    declared = {
        "app": "vault",
        "source": str(place.source),
        "wsgi": "app:app",
        "requirements": [],
        "server_name": ADMIN,
        "port": 8081,
        "tls": "self_signed",
        "https_port": HELD_TLS,
    }
    play = apply_role(place.host, {f"flask_apache_{name}": value for name, value in declared.items()}, check=False)
    assert play.rc == 2
    assert len(re.findall("(?m)^.*must be a port that no other program uses.*$", play.output)) in (1, 2), play.output
    assert "Traceback" not in play.output
    assert served(place.host) == [200] * 3
