"""What doctor finds on a host that is broken in one way after the other, and that the command it names mends it."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support import small_app
from tests.support.certificates import issue
from tests.support.parallel import each
from tests.support.releases import wait_until
from tests.support.steps import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.certificates import Issued
    from tests.support.hosts import Host
    from tests.support.releases import Deployed

APP, NAME, PORT, TLS_PORT = "doctored", "doctored.example.com", 8090, 8490
CACHE = f"/var/cache/flask-apache/{APP}"
PKI = "/etc/pki-of-the-test"
DECLARED = {
    "app": APP,
    "server_name": NAME,
    "port": PORT,
    "https_port": TLS_PORT,
    "wsgi": "app:app",
    "requirements": [],
    "tls": "files",
    "tls_on": "host",
    "tls_certificate": f"{PKI}/site.pem",
    "tls_key": f"{PKI}/site.key",
}
QUICK = 2.0  # seconds
READ = [
    "/etc",
    "/srv/flask-apache",
    "/var/lib/flask-apache",
    "/var/lib/apt",
    "/var/cache/apt",
    "/usr/local",
    "/var/spool",
]
REPOSITORY = """
set -e
mkdir -p /opt/repository
version=$(dpkg-query -W -f '${Version}' "$1")
cat > /opt/repository/Packages <<END
Package: $1
Version: $version.9
Architecture: $(dpkg --print-architecture)
Maintainer: Nobody <nobody@example.com>
Filename: ./none.deb
Size: 1
SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
Description: pending
END
echo 'deb [trusted=yes] file:/opt/repository ./' > /etc/apt/sources.list.d/pending.list
apt-get update -o Dir::Etc::sourcelist=sources.list.d/pending.list -o Dir::Etc::sourceparts=- --no-list-cleanup
apt-cache gencaches
"""


class Asked(NamedTuple):
    """What doctor answered: its exit code and its findings."""

    code: int
    findings: list[dict[str, str]]

    def of(self, text: str) -> list[dict[str, str]]:
        """Return the findings that say something."""
        return [each for each in self.findings if text in each["wrong"]]


@dataclass
class Patient:
    """A host with an app to be broken, and how long doctor took for it."""

    host: Host
    run: Run
    authority: Issued
    seconds: list[float] = field(default_factory=list)

    def __repr__(self) -> str:
        """Return the host's name, for messages."""
        return self.host.name

    def ask(self) -> Asked:
        """Ask doctor. Its code is 1 exactly when there is an error."""
        done = self.host.run(["flask-apachectl", "--json", "--app", APP, "doctor"], check=False)
        answer: dict[str, Any] = json.loads(done.stdout)
        self.seconds.append(answer["seconds"])
        assert all(set(each) == {"severity", "wrong", "why", "fix", "app"} for each in answer["findings"])
        assert all(all(each[key] for key in ("wrong", "why", "fix")) for each in answer["findings"])
        named = [row["check"] for row in answer["checks"]]
        assert len(set(named)) == len(named) > 10, "each check has words of its own"
        errors = [each for each in answer["findings"] if each["severity"] == "error"]
        assert done.returncode == bool(errors) == bool([row for row in answer["checks"] if not row["ok"]]), answer
        return Asked(done.returncode, answer["findings"])

    def expect(self, text: str, severity: str) -> dict[str, str]:
        """Return the one finding that says something."""
        asked = self.ask()
        found = asked.of(text)
        assert len(found) == 1, (text, asked)
        assert found[0]["severity"] == severity
        return found[0]

    def expect_nothing(self) -> None:
        """Expect no finding at all."""
        assert self.ask() == Asked(0, [])

    def certificate(self, issued: Issued, key: str = "", chain: str | None = None) -> None:
        """Put a certificate where the app has it; Apache is not told."""
        self.host.write(f"{PKI}/site.pem", issued.pem + (issued.chain if chain is None else chain))
        self.host.write(f"{PKI}/site.key", key or issued.key, mode=0o600)


@pytest.fixture(scope="module")
def patients(apps: dict[str, Deployed], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Patient]]:
    """Return the hosts with one more app, which has a certificate of a private authority."""
    source = small_app.write(tmp_path_factory.mktemp("doctored") / "source", "well")
    root = issue("Root of the test")
    authority = issue("Authority of the test", issuer=root)

    def begin(app: Deployed) -> Patient:
        patient = Patient(app.host, Run(app.host, {**DECLARED, "source": str(source)}), authority)
        patient.certificate(good(patient))
        patient.run.deploy()
        return patient

    made = each(list(apps.values()), begin)
    yield made
    each(made, lambda patient: patient.run.step("remove"))


def good(patient: Patient, **changes: Any) -> Issued:  # noqa: ANN401 - as `issue` has them
    """Return a certificate for the app, changed in some way."""
    return issue(NAME, **{"names": (NAME,), "issuer": patient.authority, **changes})


@contextlib.contextmanager
def broken(patient: Patient, command: str, mend: str = "") -> Iterator[None]:
    """Break something by a command, and mend it by another one."""
    patient.host.run(command)
    try:
        yield
    finally:
        if mend:
            patient.host.run(mend)


def test_a_host_that_is_well(patients: list[Patient]) -> None:
    """Nothing is found and nothing is changed; it does not take long."""

    def go(patient: Patient) -> None:
        patient.expect_nothing()
        before = patient.host.snapshot(READ)
        patient.expect_nothing()
        after = patient.host.snapshot(READ)
        assert {path for path in before | after if before.get(path) != after.get(path)} == set()

    each(patients, go)


# What breaks it, what is found, how severe it is. The command that it names mends it.
MENDED = {
    "a directory that nobody may enter": ("chmod 700 /srv", "(www-data) cannot enter /srv:", "error"),
    "a program of root's for everybody": (
        "chmod o+w /usr/local/bin/flask-apachectl",
        "/usr/local/bin/flask-apachectl is writable to everybody",
        "error",
    ),
    "data that is not the app's": (
        f"chown root /var/lib/flask-apache/{APP}",
        f"the app's user ({APP}) cannot use /var/lib/flask-apache/{APP}:",
        "error",
    ),
    "a cron job": (
        "mkdir -p /etc/cron.d; echo '5 4 * * * root systemctl restart apache2' > /etc/cron.d/nightly",
        "/etc/cron.d/nightly, line 1: 5 4 * * * root systemctl restart apache2",
        "warning",
    ),
    "a script of a timer": (
        (
            "printf '#!/bin/sh\\n\\nservice apache2 restart\\n' > /usr/local/sbin/renewed && "
            "printf '[Service]\\nExecStart=/usr/local/sbin/renewed --all\\n' > /etc/systemd/system/renewed.service"
        ),
        "/usr/local/sbin/renewed, line 3: service apache2 restart",
        "warning",
    ),
    "a hook of certbot": (
        (
            "mkdir -p /etc/letsencrypt/renewal-hooks/deploy && "
            "echo 'apache2ctl restart' > /etc/letsencrypt/renewal-hooks/deploy/apache"
        ),
        "/etc/letsencrypt/renewal-hooks/deploy/apache, line 1: apache2ctl restart",
        "warning",
    ),
    "a full file system": (
        (
            f"cd {CACHE}; mount -t tmpfs -o size=1m,$(stat -c mode=%a,uid=%u,gid=%g .) none {CACHE} && "
            f"head -c 1M /dev/zero > {CACHE}/large"
        ),
        f"0.0 MiB of 1 MiB are free in {CACHE}",
        "error",
    ),
    "no inodes": (
        f"mount -o remount,nr_inodes=200 {CACHE} && cd {CACHE} && seq 300 | xargs touch 2>/dev/null || true",
        f"inodes are free in {CACHE}",
        "error",
    ),
    "a package that is held": (
        "apt-mark hold libapache2-mod-wsgi-py3",
        "held back: libapache2-mod-wsgi-py3",
        "warning",
    ),
}


def test_the_command_that_a_finding_names_mends_it(patients: list[Patient]) -> None:
    """Each is broken by itself; afterwards nothing is found."""

    def go(patient: Patient) -> None:
        for name, (breaks, text, severity) in MENDED.items():
            began = time.monotonic()
            patient.host.run(breaks)
            found = patient.expect(text, severity)
            patient.host.run(found["fix"])
            if name == "a directory that nobody may enter":
                assert found["fix"] == "chmod o+x /srv"
                patient.host.run("chmod 755 /srv")
            left = patient.ask()
            assert left.findings == [], (name, left)
            print(f"{patient} {name}: {time.monotonic() - began:.1f} s")
        patient.host.run(f"umount {CACHE}")
        files = "/etc/cron.d/nightly /usr/local/sbin/renewed /etc/systemd/system/renewed.service /etc/letsencrypt"
        patient.host.run(f"rm -r {files}")

    each(patients, go)


def test_certificates(patients: list[Patient]) -> None:
    """Expired, about to expire, not valid yet, of another name or key, and with a chain that is wrong."""
    cases: dict[str, tuple[Callable[[Patient], None], str]] = {
        "expired on": (lambda it: it.certificate(good(it, days=(-90, -1))), "error"),
        "expires in": (lambda it: it.certificate(good(it, days=(-80, 10))), "warning"),
        "is valid from": (lambda it: it.certificate(good(it, days=(2, 90))), "error"),
        f"does not cover {NAME}": (lambda it: it.certificate(good(it, names=("other.example.com",))), "error"),
        "it does not belong to the certificate": (lambda it: it.certificate(good(it), key=good(it).key), "error"),
        "which it has not issued": (
            lambda it: it.certificate(good(it), chain=issue("Another").pem + it.authority.pem),
            "warning",
        ),
        "whose issuer is missing": (lambda it: it.certificate(good(it, is_public=True), chain=""), "warning"),
        "cannot be read": (lambda it: it.host.write(f"{PKI}/site.pem", "no certificate"), "error"),
    }

    def go(patient: Patient) -> None:
        for text, (put, severity) in cases.items():
            put(patient)
            patient.expect(text, severity)
        patient.certificate(good(patient))
        patient.expect_nothing()

    each(patients, go)


def test_files_clock_packages_and_pools(patients: list[Patient]) -> None:
    """A file that somebody has edited, a clock that is behind, an upgrade that is pending, a pool that was killed."""

    def go(patient: Patient) -> None:
        host = patient.host
        entry, release = f"/etc/flask-apache/{APP}/entry.wsgi", f"/srv/flask-apache/{APP}/blue/release.json"
        with broken(patient, f"cp -a {entry} /root/entry; echo '# edited' >> {entry}", f"cp -a /root/entry {entry}"):
            found = patient.expect(f"{entry} (changed 20", "error")
            assert "--check --diff" in found["fix"]
        moved = f"cp -a {release} /root/release; touch -d '3 days' {release}"
        with broken(patient, moved, f"touch -r /root/release {release}"):
            patient.expect("the clock is 2 d behind the time of", "warning")
        library = host.run(
            "dpkg-query -W -f '${Package}\\n' 'libpython3.*' | grep -x 'libpython3\\.[0-9]*'"
        ).stdout.split()[0]
        undo = "rm -r /etc/apt/sources.list.d/pending.list /var/lib/apt/lists/*_opt_repository_* /opt/repository"
        with broken(patient, f"set -- {library}\n{REPOSITORY}", undo):
            found = patient.expect(f"pending: {library} ", "warning")
            assert f"apt-get install --only-upgrade {library}" in found["fix"]
        patient.expect_nothing()
        pids = host.run(["pgrep", "-u", APP]).stdout.split()
        host.run(["kill", "-KILL", *pids])
        looping = "processes of the blue pool were started again within the last minute"
        assert wait_until(lambda: len(patient.ask().of(looping)) == 1, 20)

    each(patients, go)


def test_the_answers_came_soon(patients: list[Patient]) -> None:
    """The quickest one: the others had to share the machine with other tests."""
    for patient in patients:
        assert len(patient.seconds) > 20
        print(f"{patient}: from {min(patient.seconds):.2f} to {max(patient.seconds):.2f} s")
        assert min(patient.seconds) < QUICK
