"""TLS: where the certificate is on the host, and what Apache is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .values import Values

# Mozilla's recommendations, version 5.8: https://ssl-config.mozilla.org/guidelines/5.8.json
PROFILES = {"intermediate": "-all +TLSv1.2 +TLSv1.3", "modern": "-all +TLSv1.3"}
CIPHERS = (
    *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    *("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
)
CURVES = ("X25519", "prime256v1", "secp384r1")
MODULES = ("socache_shmcb", "ssl")


@dataclass(frozen=True)
class Tls:
    """What the virtual host that speaks TLS needs to know."""

    tls: str  # none, self_signed or files
    https_port: int  # 0 without TLS
    certificate_file: str
    key_file: str
    tls_protocols: str
    tls_ciphers: str  # of TLS 1.2
    tls_curves: str
    hsts: int  # seconds
    http2: bool


def tls(values: Values, directory: str) -> Tls:
    """Return an app's TLS. ``directory`` is that of its virtual host."""
    kind, on_host = values.text("tls"), values.text("tls_on") == "host"
    profile = values.text("tls_profile")
    return Tls(
        tls=kind,
        https_port=values.number("https_port") if kind != "none" else 0,
        certificate_file=values.text("tls_certificate") if on_host else f"{directory}/certificate.pem",
        key_file=values.text("tls_key") if on_host else f"{directory}/key.pem",
        tls_protocols=PROFILES[profile],
        tls_ciphers=":".join(CIPHERS) if profile == "intermediate" else "",
        tls_curves=":".join(CURVES),
        hsts=values.number("hsts"),
        http2=values.flag("http2"),
    )
