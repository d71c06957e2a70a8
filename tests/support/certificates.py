"""Certificates for tests: authorities, and what they issue."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

NOW = datetime.now(timezone.utc)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, and who has issued it: nobody else for a root."""

    certificate: x509.Certificate
    private: Any
    issuer: Issued | None = None

    @property
    def pem(self) -> str:
        """The certificate's text."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        """The certificate as TLS sends it."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def chain(self) -> str:
        """The texts of its issuers, without the root."""
        up = self.issuer
        return up.pem + up.chain if up and up.issuer else ""

    @property
    def key(self) -> str:
        """The key's text."""
        return self.key_with(serialization.NoEncryption())

    def key_with(self, encryption: serialization.KeySerializationEncryption) -> str:
        """Return the key's text, encrypted or not."""
        text: bytes = self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
        return text.decode()


def issue(
    name: str,
    names: tuple[str, ...] = (),
    issuer: Issued | None = None,
    *,
    days: tuple[float, float] = (-1, 90),
    is_public: bool = False,
    rsa_bits: int = 0,
) -> Issued:
    """Issue a certificate: for ``names``, or without names that of an authority.

    ``days`` from now it begins and ends to be valid. A public one says where that of its issuer is found.
    """
    private: Any = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
    )
    if names:
        own = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
        builder = builder.add_extension(own, critical=False)
    if is_public:
        place = x509.UniformResourceIdentifier("http://ca.example.com/issuer.der")
        access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, place)
        builder = builder.add_extension(x509.AuthorityInformationAccess([access]), critical=False)
    certificate = builder.sign(issuer.private if issuer else private, hashes.SHA256())
    return Issued(certificate, private, issuer)
