"""Certificates that a host makes itself, and what it tells of those that are there."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption

from controller.checks.certificates import names_of, validity
from flask_apachectl.apache import certificates
from flask_apachectl.errors import RefusedError
from tests.support.certificates import NOW, Issued, issue

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("www.example.com", "*.example.org", "192.0.2.7")
SITE = issue("www.example.com", ("www.example.com",))
OTHER = issue("other.example.com", ("other.example.com",))


def made(directory: Path, names: tuple[str, ...] = NAMES) -> tuple[str, str]:
    """Return what the host has or makes, and put it there."""
    certificates.self_signed.cache_clear()
    found = certificates.self_signed(directory, names)
    for file in found:
        file.path.write_bytes(file.content)
    certificate, key = (file.content.decode() for file in found)
    return certificate, key


def test_the_host_makes_a_certificate_for_the_names(tmp_path: Path) -> None:
    text, _ = made(tmp_path)
    found = x509.load_pem_x509_certificate(text.encode())
    assert names_of(found) == list(NAMES)
    assert validity(found)[1] - NOW > timedelta(days=3600)
    assert certificates.problem_of(tmp_path / "certificate.pem", tmp_path / "key.pem") == ""
    _, key = certificates.self_signed(tmp_path, NAMES)
    assert (key.mode, key.secret) == (0o600, True)


def test_it_is_kept_while_it_lasts(tmp_path: Path) -> None:
    first = made(tmp_path)
    assert made(tmp_path) == first
    assert made(tmp_path, (*NAMES, "more.example.com")) != first


@pytest.mark.parametrize("damage", ["certificate", "key", "both", "foreign", "old"])
def test_what_is_damaged_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    first = made(tmp_path)
    if damage in ("certificate", "both"):
        (tmp_path / "certificate.pem").write_text("x")
    if damage in ("key", "both"):
        (tmp_path / "key.pem").write_text(OTHER.key)
    if damage == "foreign":
        foreign = issue("www.example.com", NAMES[:2])
        (tmp_path / "certificate.pem").write_text(foreign.pem)
        (tmp_path / "key.pem").write_text(foreign.key)
    if damage == "old":
        monkeypatch.setattr(certificates, "RENEWED_DAYS", certificates.LASTS_DAYS + 1)
    found = made(tmp_path)
    assert found != first
    assert certificates.problem_of(tmp_path / "certificate.pem", tmp_path / "key.pem") == ""


def test_long_names(tmp_path: Path) -> None:
    long = f"{'a' * 60}.{'b' * 60}.example.com"
    assert names_of(x509.load_pem_x509_certificate(made(tmp_path, (long,))[0].encode())) == [long]


def test_a_plan_for_a_host_without_openssl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert made(tmp_path) == ("", "")


def test_what_openssl_says_is_told(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="openssl cannot make a certificate"):
        made(tmp_path, ("\n",))


def put(directory: Path, certificate: str, key: str) -> dict[str, str]:
    """Put files on the host. Returns the question for them."""
    (directory / "own.pem").write_text(certificate)
    (directory / "own.key").write_text(key)
    return {"certificate": str(directory / "own.pem"), "chain": "", "key": str(directory / "own.key")}


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (SITE.key, ""),
        (OTHER.key, "it does not belong to the certificate"),
        (SITE.key_with(BestAvailableEncryption(b"secret")), "it has a passphrase"),
        ("x", "OpenSSL says"),
    ],
)
def test_a_key_on_the_host(tmp_path: Path, key: str, problem: str) -> None:
    found = certificates.on_host(put(tmp_path, SITE.pem, key))
    assert found["key_problem"].startswith(problem)
    assert bool(found["key_problem"]) == bool(problem)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    question = put(tmp_path, SITE.pem, SITE.key)
    missing = str(tmp_path / "none")
    assert certificates.on_host({**question, "key": missing})["key_problem"] == "no such file or directory"
    nothing = {"certificate": "", "chain": "", "key_problem": ""}
    assert certificates.on_host({**question, "certificate": missing, "chain": missing}) == nothing


def test_nothing_but_certificates_leaves_the_host(tmp_path: Path) -> None:
    authority: Issued = issue("authority")
    question = put(tmp_path, f"secret\n{SITE.pem}\n{SITE.key}\n{authority.pem}", SITE.key)
    found = certificates.on_host({**question, "chain": question["key"]})
    assert found["certificate"] == SITE.pem + authority.pem
    assert found["chain"] == ""
