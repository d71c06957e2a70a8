"""Each fault of a certificate is found, and a good one has none."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import paths
from flask_apachectl.apache import acme
from flask_apachectl.diagnosis import certificates
from tests.support.certificates import Issued, issue
from tests.unit.flask_apachectl.samples import shop

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.diagnosis.finding import Kind

NAMES = ("www.example.com", "*.example.net")
ROOT = issue("Root", days=(-30, 900))
AUTHORITY = issue("Authority", issuer=ROOT, days=(-30, 900))
DAY = 86400.0


class Files:
    """A host with an app and its certificate."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def ask(self, pem: str, key: str, now: float | None = None, chain: str = "", **site: Any) -> list[str]:  # noqa: ANN401
        """Return what is found of a certificate and its key."""
        path, key_path, more = (self.directory / name for name in ("site.pem", "site.key", "more.pem"))
        for file, text in ((path, pem), (key_path, key), (more, chain)):
            file.write_text(text)
        lines = [f'    SSLCertificateFile "{path}"', f'    SSLCertificateKeyFile "{key_path}"']
        lines += [f'    SSLCertificateChainFile "{more}"'] * bool(chain)
        vhost = paths.APACHE / "sites-available/flask-apache-www.example.com-443.conf"
        vhost.write_text("\n".join(lines))
        app = shop(https_port=443, certificate=str(path), **site)
        return [f"{each.severity} {each.wrong}" for each in certificates.of_app(app, now)]

    def of(self, issued: Issued, **changes: Any) -> list[str]:  # noqa: ANN401 - as `ask` has them
        """Return what is found of a certificate with its chain and its own key."""
        return self.ask(**{"pem": issued.pem + issued.chain, "key": issued.key, **changes})


@pytest.fixture
def files(apache: Path, tmp_path: Path) -> Files:
    """Return the host."""
    assert apache
    return Files(tmp_path)


def good(**changes: Any) -> Issued:  # noqa: ANN401 - as `issue` has them
    """Return a certificate of the app's, changed in some way."""
    return issue(NAMES[0], **{"names": NAMES, "issuer": AUTHORITY, **changes})


def only(found: list[str], kind: Kind, text: str) -> None:
    """Expect one finding."""
    assert len(found) == 1, found
    assert found[0].startswith(f"{kind.severity} ")
    assert text in found[0]


def test_a_good_one_has_no_fault(files: Files) -> None:
    assert files.of(good()) == []
    assert files.of(good(), server_aliases=["a.example.net"]) == []
    assert files.of(good(issuer=None)) == [], "a private one, which nobody else has issued"
    assert files.ask(good(issuer=None).pem, "", server_aliases=[]) != []
    assert list(certificates.of_app(shop())) == [], "without TLS"
    one = good()
    assert files.ask(one.pem, one.key, chain=one.chain) == []


def test_its_age(files: Files) -> None:
    one, now = good(days=(-1, 60)), time.time()
    only(files.of(one, now=now + 61 * DAY), certificates.EXPIRED, "expired on 20")
    only(files.of(one, now=now + 50 * DAY), certificates.SOON, "expires in 10 days, on 20")
    assert files.of(one, now=now + 45 * DAY) == []
    only(files.of(one, now=now - 2 * DAY), certificates.EARLY, "is valid from 20")
    old = issue("Authority", issuer=ROOT, days=(-9, 3))
    only(files.of(good(issuer=old)), certificates.SOON, "CN=Authority")


def test_its_names(files: Files) -> None:
    only(
        files.of(good(), server_aliases=["a.b.example.net", "example.net"]),
        certificates.NAME,
        "does not cover a.b.example.net, example.net: it has www.example.com, *.example.net",
    )
    assert certificates.covers("192.0.2.1", "192.0.2.1")
    assert not certificates.covers("*.0.2.1", "192.0.2.1")


def test_its_key(files: Files) -> None:
    only(files.of(good(), key=good().key), certificates.KEY, "it does not belong to the certificate")
    only(files.of(good(), key="x"), certificates.KEY, "Apache cannot use the key")


def test_its_chain(files: Files) -> None:
    one = good()
    only(files.of(one, pem=one.pem + ROOT.pem), certificates.ORDER, "CN=Root after CN=www.example.com")
    public = good(is_public=True)
    only(files.of(public, pem=public.pem), certificates.INCOMPLETE, "whose issuer is missing")


def test_an_authority_that_the_host_knows_ends_the_chain(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = issue("x", names=NAMES, issuer=ROOT, is_public=True)
    monkeypatch.setattr(paths, "CA_BUNDLE", str(tmp_path / "bundle.crt"))
    (tmp_path / "bundle.crt").write_text(AUTHORITY.pem)
    only(files.of(public, pem=public.pem), certificates.INCOMPLETE, "whose issuer is missing")
    (tmp_path / "bundle.crt").write_text(AUTHORITY.pem + ROOT.pem)
    assert files.of(public, pem=public.pem) == []
    (tmp_path / "bundle.crt").unlink()
    assert files.of(public, pem=public.pem) == [], "it cannot be told"


@pytest.mark.parametrize("text", ["", "nothing", good().pem.replace("M", "N", 5), good().pem[:200]])
def test_what_cannot_be_read(files: Files, text: str) -> None:
    only(files.ask(text, good().key), certificates.UNREADABLE, "site.pem cannot be read: ")


def test_without_openssl_nothing_is_told(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert files.of(good(days=(-3, -2))) == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/letsencrypt/live/a.example.com/fullchain.pem", "certbot renew --cert-name a.example.com"),
        ("/etc/flask-apache/vhosts/x-443/certificate.pem", "set flask_apache_tls_certificate and"),
        ("/etc/pki/x.pem", "replace /etc/pki/x.pem, and run systemctl reload apache2"),
    ],
)
def test_how_another_one_is_got(path: str, expected: str) -> None:
    assert certificates.new_one(replace(shop().site, certificate=path)).startswith(expected)
    assert certificates.new_one(replace(shop().site, acme="https://a")) == "systemctl reload apache2"


def test_a_renewal_that_is_overdue(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "HTTPS", tmp_path / "https")
    site = {"acme": "https://acme.example.net/dir", "https_port": 443}
    app = shop(certificate="x", **site)
    flag, one, now = app.site.https_flag, good(days=(-1, 89)), time.time()
    assert flag
    domain, staging = acme.certificate(app.site).parent, acme.staging(app.site)
    for directory in (domain, staging, flag.parent):
        directory.mkdir(parents=True)
    flag.write_text("1")
    (domain / "pubcert.pem").write_text(one.pem + one.chain)
    (domain / "privkey.pem").write_text(one.key)

    def ask(days: float, **job: object) -> list[str]:
        (staging / "job.json").write_text(json.dumps(job))
        return [f"{each.severity} {each.wrong}" for each in certificates.of_app(app, now + days * DAY)]

    assert ask(0) == []
    assert ask(65, errors=1) == [], "mod_md has time yet"
    failed = {"errors": 9, "last": {"detail": "the port is closed"}}
    only(ask(74, **failed), certificates.OVERDUE, "should have been renewed since 20")
    assert "the port is closed" in ask(74, **failed)[0]
    only(ask(1, finished=True), certificates.UNLOADED, "waits until Apache loads it")
    flag.write_text("")
    only(
        ask(1, **failed), certificates.OVERDUE, "has not issued the first certificate of www.example.com yet: the port"
    )
    assert ask(1, errors=0, finished=False) == [], "it is at work"
    assert files
