"""What the role offers over TLS is what Mozilla recommends, by the check of sslyze; testssl.sh gives its best grade."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.security.shared import ADMIN, TLS_PORT
from tests.support import tools
from tests.support.certificates import issue
from tests.support.parallel import each

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.security.shared import Place

SCAN = Path(__file__).with_name("scan.py")
UNKNOWN = "unknown.example.com"  # gets a certificate that the host has made, and no app
OF_TRUST = "certificate_path_validation"  # nobody trusts the authority of a test
OF_CERTIFICATES = {OF_TRUST, "maximum_certificate_lifespan"}
AUTHORITY = issue("authority of a test")
CERTIFICATE = issue(ADMIN, (ADMIN,), AUTHORITY, days=(-1, 80))
OWN = {"tls": "files", "tls_certificate": CERTIFICATE.pem, "tls_key": CERTIFICATE.key}
TWO_YEARS = 63_072_000  # seconds
# All that its grade depends on, but not which clients can connect.
TESTSSL = "testssl --quiet --color 0 --warnings batch --nodns min --add-ca /root/authority.pem -p -s -f -P -S -h -U"


@pytest.fixture(scope="module")
def with_own_certificate(places: list[Place]) -> Iterator[list[Place]]:
    """Return the hosts; afterwards, the app has the certificate that it had."""
    yield places
    each(places, lambda place: place.deploy("vault"))


def scanned(places: list[Place], profile: str) -> dict[str, list[dict[str, str]]]:
    """Return what does not keep a profile: for the app's name and for one of no app, on each host."""
    asked = [
        {
            "address": place.host.ip,
            "port": TLS_PORT,
            "name": name,
            "profile": "intermediate" if name == UNKNOWN else profile,
        }
        for name in (ADMIN, UNKNOWN)
        for place in places
    ]
    programs = tools.ensure("sslyze")
    done = subprocess.run(
        [programs / "python", SCAN],
        input=json.dumps(asked),
        env=tools.environment(programs),
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {ADMIN: found[: len(places)], UNKNOWN: found[len(places) :]}


@pytest.mark.parametrize("profile", ["intermediate", "modern"])
def test_profile(with_own_certificate: list[Place], profile: str) -> None:
    places = with_own_certificate
    each(places, lambda place: place.deploy("vault", **OWN, tls_profile=profile))
    found = scanned(places, profile)
    for issues in found[ADMIN]:
        assert set(issues) <= {OF_TRUST}, issues
    for issues in found[UNKNOWN]:
        assert set(issues) == OF_CERTIFICATES, issues
    if profile == "intermediate":
        (issues, *_) = scanned(places, "modern")[ADMIN]
        assert "tls_versions" in issues, "the check can fail"


def test_grade(with_own_certificate: list[Place]) -> None:
    """With an authority that is known, and HSTS, which browsers want. Debian 13 has the testssl.sh that grades."""
    places = with_own_certificate
    (scanner,) = (place.host for place in places if place.host.distribution.startswith("debian-13"))
    scanner.run("apt-get update -q && apt-get install -q --yes --no-install-recommends testssl.sh")
    scanner.write("/root/authority.pem", AUTHORITY.pem)

    def expect_best(place: Place) -> None:
        place.deploy("vault", **OWN, hsts=TWO_YEARS)
        command = [*TESTSSL.split(), f"--ip={place.host.ip}", f"https://{ADMIN}:{TLS_PORT}"]
        told = scanner.run(command, check=False, timeout=300).stdout
        assert re.findall(r"Overall Grade +(\S+)", told) == ["A+"], told[-3000:]

    each(places, expect_best)
