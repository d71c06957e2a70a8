"""TLS: every way in which a certificate, its chain or its key can be wrong is told before anything changes."""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

from controller import plan
from controller.checks import certificates
from tests.support.certificates import NOW, Issued, issue
from tests.unit.controller.given import HOST, errors, refused, variables

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("www.example.com", "example.com", "*.example.org")
ROOT = issue("a root")
MIDDLE = issue("an intermediate", issuer=ROOT, is_public=True)
OTHER = issue("another authority")
SITE = issue("www.example.com", NAMES, MIDDLE, is_public=True)
PRIVATE = issue("www.example.com", NAMES, ROOT)  # of a company's own authority
FILES = {
    "server_aliases": ["example.com"],
    "tls": "files",
    "tls_certificate": "/certificate.pem",
    "tls_key": "/key.pem",
}
GOT = "got '/certificate.pem'"


def found(site: Issued, *, chain: str | None = None, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what has been read of the files."""
    own = {"certificate": site.pem, "chain": site.chain if chain is None else chain, "key": site.key, "problems": {}}
    return {"tls": {**own, **changes}}


def problems(source: Path, tls: dict[str, Any], **own: object) -> list[str]:
    """Return the errors of files."""
    return errors(variables(source, **{**FILES, **own}), **tls)


@pytest.fixture(autouse=True)
def _only_own_roots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Trust no authority but the root."""
    (tmp_path / "roots.pem").write_text(ROOT.pem)
    monkeypatch.setattr(certificates, "BUNDLES", (str(tmp_path / "roots.pem"),))


@pytest.mark.parametrize(
    "tls",
    [
        found(SITE),
        found(SITE, certificate=SITE.pem + SITE.chain, chain=""),
        found(SITE, certificate="a comment\n" + SITE.pem, chain=MIDDLE.pem + ROOT.pem),
        found(PRIVATE),
        found(PRIVATE, key="", key_problem=""),
        found(issue("www.example.com", NAMES)),  # self-signed
        found(issue("www.example.com", NAMES, OTHER)),  # private, of an authority that this machine does not know
        found(issue("a", ("*.example.com", "example.com"), MIDDLE)),
        found(issue("a", NAMES, MIDDLE, rsa_bits=2048)),
    ],
)
def test_what_works_is_accepted(source: Path, tls: dict[str, Any]) -> None:
    assert problems(source, tls) == []
    assert list(plan.warnings(variables(source, **FILES), HOST | tls)) == []


def test_without_files_nothing_is_read(source: Path) -> None:
    for kind in ("none", "self_signed"):
        assert errors(variables(source, tls=kind)) == []
        assert list(plan.warnings(variables(source, tls=kind), HOST)) == []


@pytest.mark.parametrize(
    ("tls", "place", "must", "told"),
    [
        (found(SITE, key=OTHER.key), "tls_key", "be the private key of the certificate", "does not belong to"),
        (found(SITE, key="-----BEGIN x-----"), "tls_key", "be the private key", "not a private key in PEM"),
        (
            found(SITE, key=SITE.key_with(BestAvailableEncryption(b"secret"))),
            "tls_key",
            "be the private key",
            "it has a passphrase, and Apache starts without anybody to ask",
        ),
        (found(SITE, key_problem="permission denied"), "tls_key", "be the private key", "permission denied"),
        (found(SITE, certificate=""), "tls_certificate", "contain a certificate in PEM", GOT),
        (found(SITE, certificate=SITE.key), "tls_certificate", "contain a certificate in PEM", GOT),
        (found(SITE, certificate=SITE.pem.replace("M", "N", 3)), "tls_certificate", "contain certificates", GOT),
        (found(issue("a", NAMES, MIDDLE, days=(-9, -1))), "tls_certificate", "be valid now", "expired on"),
        (found(issue("a", NAMES, MIDDLE, days=(1, 9))), "tls_certificate", "be valid now", "is this clock right?"),
        (
            found(issue("a", NAMES, issue("old", issuer=ROOT, days=(-9, -1)))),
            "tls_certificate",
            "be valid now",
            "'CN=old' expired",
        ),
        (found(issue("a", NAMES, MIDDLE, rsa_bits=1024)), "tls_certificate", "have an RSA key of", "1024 bits"),
        (found(issue("a", ("example.com",), MIDDLE)), "server_name", "be a name that", "it has example.com"),
        (found(issue("a", ("www.example.com",), MIDDLE)), "server_aliases[0]", "be a name that", "has www.example.com"),
        (found(issue("www.example.com")), "server_name", "be a name that", "it has no names"),
        (found(SITE, chain=""), "tls_certificate", "be a complete chain", "append the certificate of 'CN=an interm"),
        (found(SITE, chain=OTHER.pem), "tls_certificate", "have each certificate's issuer after it", "CN=another"),
        (found(SITE, chain=ROOT.pem + MIDDLE.pem), "tls_certificate", "have each certificate's issuer", "CN=a root"),
    ],
)
def test_what_is_wrong_is_told(source: Path, tls: dict[str, Any], place: str, must: str, told: str) -> None:
    lines = problems(source, tls)
    (line,) = [each for each in lines if each.startswith(f"flask_apache_{place} must {must}")]
    assert told in line
    assert "PRIVATE" not in line
    assert {each.partition(" must ")[0] for each in lines} <= {
        f"flask_apache_{place}",
        "flask_apache_server_aliases[0]",
    }


def test_an_intermediate_of_the_same_name_is_not_the_issuer(source: Path) -> None:
    impostor = issue("an intermediate", issuer=ROOT)
    (line,) = problems(source, found(SITE, chain=impostor.pem))
    assert "must have each certificate's issuer after it" in line


def test_a_chain_that_ends_too_early_is_incomplete(source: Path) -> None:
    lower = issue("a lower one", issuer=MIDDLE, is_public=True)
    site = issue("www.example.com", NAMES, lower, is_public=True)
    assert problems(source, found(site)) == []
    (line,) = problems(source, found(site, chain=lower.pem))
    assert line.endswith("it ends with 'CN=a lower one': append the certificate of 'CN=an intermediate'")


def test_where_no_root_is_known_a_site_alone_is_incomplete(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "BUNDLES", ())
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: type("None", (), {"cafile": None}))
    assert problems(source, found(SITE)) == []
    assert "be a complete chain" in problems(source, found(SITE, chain=""))[0]


def test_what_expires_soon_is_a_warning(source: Path) -> None:
    soon = found(issue("a", NAMES, MIDDLE, days=(-80, 9.5)))
    assert problems(source, soon) == []
    (warning,) = plan.warnings(variables(source, **FILES), HOST | soon)
    ends = f"{NOW + timedelta(days=9.5):%Y-%m-%d}"
    assert warning == f"flask_apache_tls_certificate: that of 'CN=a' expires in 9 days, on {ends}: replace it"


def test_files_that_cannot_be_read(source: Path) -> None:
    tls = found(SITE, problems={"key": "permission denied", "certificate": "no such file or directory"})
    must = "be the path of a readable file on the control node"
    assert problems(source, tls) == [
        f"flask_apache_tls_key must {must}, got a value that is not shown; permission denied",
        f"flask_apache_tls_certificate must {must}, {GOT}; no such file or directory",
    ]


CONTROLLER = "be the absolute path of a file on the control node, or a text in PEM"
REFUSED = [
    *refused("tls_certificate", CONTROLLER, "", "certificate.pem", "/a\nb"),
    *refused("tls_key", CONTROLLER, "", "key.pem", got="a value that is not shown"),
    *refused("tls_chain", CONTROLLER, "chain.pem", "-----BEGIN\x1b[31m"),
]


@pytest.mark.parametrize(("own", "line"), REFUSED)
def test_a_value_that_is_no_file(source: Path, own: dict[str, Any], line: str) -> None:
    assert line in errors(variables(source, **{**FILES, "server_aliases": [], **own}), **found(SITE))


def test_a_text_is_not_on_the_host(source: Path) -> None:
    own = {**FILES, "tls_on": "host", "tls_certificate": SITE.pem}
    (line,) = errors(variables(source, **own), **found(SITE))
    assert line.startswith("flask_apache_tls_certificate must be the absolute path of a file on the host, got ")


def test_a_text_on_the_control_node(source: Path) -> None:
    own = {"tls_certificate": SITE.pem, "tls_chain": MIDDLE.pem, "tls_key": SITE.key}
    assert problems(source, found(SITE), **own) == []


def test_the_ports_differ(source: Path) -> None:
    (line,) = errors(variables(source, tls="self_signed", port=443))
    assert line == "flask_apache_https_port must differ from flask_apache_port, got 443"
    assert errors(variables(source, port=443)) == []
