"""Certificates: whether Apache can use them, and browsers trust them. Read by the library that Ansible needs, too."""

from __future__ import annotations

import itertools
import re
import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID

from controller.checks import values

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from controller.checks.values import Variables

BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
SOON = timedelta(days=14)
LEAST_RSA = 2048  # bits; OpenSSL refuses smaller keys on the supported distributions
BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def check(own: Variables, found: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """Report what is wrong with a certificate, its chain and its key.

    ``found``: the texts of ``certificate``, ``chain`` and ``key``; of files on the host, only what is wrong with the
    key is known, as ``key_problem``.
    """
    try:
        chain = certificates(found["certificate"]) + certificates(found["chain"])
    except ValueError:
        yield values.error("tls_certificate", "contain certificates in PEM that are whole", own["tls_certificate"])
        return
    if not certificates(found["certificate"]):
        yield values.error("tls_certificate", "contain a certificate in PEM", own["tls_certificate"])
        return
    yield from key_errors(chain[0], found)
    yield from name_errors(own, chain[0])
    for certificate in chain:
        yield from time_errors(own, certificate, now)
    yield from order_errors(own, chain)


def certificates(text: str) -> list[x509.Certificate]:
    """Return the certificates in a text, in its order. Raises ValueError for one that is damaged."""
    return [x509.load_pem_x509_certificate(block.encode()) for block in BLOCK.findall(text)]


def key_errors(certificate: x509.Certificate, found: Mapping[str, Any]) -> Iterator[str]:
    """Report a key that Apache cannot use for a certificate."""
    problem = found.get("key_problem", "")
    if "key_problem" not in found:
        try:
            key = serialization.load_pem_private_key(found["key"].encode(), None)
        except TypeError:
            problem = "it has a passphrase"
        except ValueError:
            problem = "it is not a private key in PEM"
        else:
            if encoded(key.public_key()) != encoded(certificate.public_key()):
                problem = f"it does not belong to the certificate of {shown(certificate.subject)}"
    if problem:
        advice = ", and Apache starts without anybody to ask: remove it" if "passphrase" in problem else ""
        yield values.error("tls_key", "be the private key of the certificate in PEM", None, problem + advice)
    public = certificate.public_key()
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < LEAST_RSA:
        must = f"have an RSA key of at least {LEAST_RSA} bits"
        yield values.error("tls_certificate", must, f"{public.key_size} bits")


def encoded(key: Any) -> bytes:  # noqa: ANN401 - a public key of any algorithm
    """Return a public key in a form that can be compared."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_bytes(serialization.Encoding.DER, form))


def name_errors(own: Variables, certificate: x509.Certificate) -> Iterator[str]:
    """Report names of the app that a certificate does not cover."""
    covered = names_of(certificate)
    for place, name in (("server_name", own["server_name"]), *values.texts(own, "server_aliases")):
        if isinstance(name, str) and not any(covers(each, name.lower()) for each in covered):
            its = f"it has {values.listed(covered, 'and')}" if covered else "it has no names (subjectAltName)"
            yield values.error(place, "be a name that flask_apache_tls_certificate covers", name, its)


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the names and addresses that a certificate is for; its common name means nothing to browsers."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    addresses = [str(each) for each in found.get_values_for_type(x509.IPAddress)]
    return [*(name.lower() for name in found.get_values_for_type(x509.DNSName)), *addresses]


def covers(pattern: str, name: str) -> bool:
    """Tell whether a name of a certificate stands for a name: its wildcard is for one label."""
    if pattern == name:
        return True
    is_one_label = pattern.startswith("*.") and pattern[1:] == "." + name.partition(".")[2]
    return is_one_label and "*" not in name and not name.replace(".", "").isdigit()  # nor an address


def time_errors(own: Variables, certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    """Report a certificate that is not valid now."""
    begins, ends = validity(certificate)
    must = "be valid now"
    if ends < now:
        yield values.error(
            "tls_certificate",
            must,
            own["tls_certificate"],
            f"that of {shown(certificate.subject)} expired on {ends:%Y-%m-%d}",
        )
    elif begins > now:
        advice = f"that of {shown(certificate.subject)} begins on {begins:%Y-%m-%d %H:%M} UTC: is this clock right?"
        yield values.error("tls_certificate", must, own["tls_certificate"], advice)


def validity(certificate: x509.Certificate) -> tuple[datetime, datetime]:
    """Return when a certificate begins and ends to be valid."""
    if hasattr(certificate, "not_valid_after_utc"):
        return certificate.not_valid_before_utc, certificate.not_valid_after_utc
    begins, ends = certificate.not_valid_before, certificate.not_valid_after
    return begins.replace(tzinfo=timezone.utc), ends.replace(tzinfo=timezone.utc)


def order_errors(own: Variables, chain: list[x509.Certificate]) -> Iterator[str]:
    """Report a chain in which an issuer does not follow, or that ends before one that browsers know."""
    place = "tls_chain" if own["tls_chain"] else "tls_certificate"
    for certificate, issuer in itertools.pairwise(chain):
        if not is_issued_by(certificate, issuer):
            advice = f"{shown(issuer.subject)} has not issued {shown(certificate.subject)}, which it follows: write "
            advice += f"{shown(certificate.issuer)} there"
            yield values.error(place, "have each certificate's issuer after it", own[place], advice)
            return
    last = chain[-1]
    if last.issuer != last.subject and is_of_public_authority(last) and not is_known(last, own):
        advice = f"it ends with {shown(last.subject)}: append the certificate of {shown(last.issuer)}"
        yield values.error(place, "be a complete chain", own[place], advice)


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tell whether a certificate was signed by another one."""
    if certificate.issuer != issuer.subject:
        return False
    if not hasattr(certificate, "verify_directly_issued_by"):  # before version 40 of cryptography
        return True
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def is_of_public_authority(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate says where that of its issuer is found: those of private authorities seldom do."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return any(each.access_method == AuthorityInformationAccessOID.CA_ISSUERS for each in found)


def is_known(certificate: x509.Certificate, own: Variables) -> bool:
    """Tell whether a certificate's issuer is one that this machine trusts; of a certificate for a site, none is."""
    files = [
        ssl.get_default_verify_paths().cafile,
        *BUNDLES,
        *(path for _, path in values.texts(own, "ca_certificates")),
    ]
    roots: list[x509.Name] = []
    for path in dict.fromkeys(each for each in files if each and Path(each).is_file()):
        try:
            with catch_warnings():  # some old authorities are not as the library wants them to be
                simplefilter("ignore")
                roots += [each.subject for each in certificates(Path(path).read_text(encoding="utf-8"))]
        except (OSError, ValueError):
            continue
    return certificate.issuer in roots if roots else is_authority(certificate)


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate may issue others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def shown(name: x509.Name) -> str:
    """Return a name of a certificate for people."""
    return values.shown(name.rfc4514_string())


def warnings(found: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """Yield what will soon be wrong with certificates that have no error."""
    for certificate in certificates(found["certificate"]) + certificates(found["chain"]):
        ends = validity(certificate)[1]
        if ends - now < SOON:
            yield (
                f"flask_apache_tls_certificate: that of {shown(certificate.subject)} expires in {(ends - now).days} "
                f"days, on {ends:%Y-%m-%d}: replace it"
            )
