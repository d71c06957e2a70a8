"""TLS: where the certificate is on the host, and what Apache is told of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask_apachectl.paths import https_flag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .values import Values

# Mozilla's recommendations, version 5.8: https://ssl-config.mozilla.org/guidelines/5.8.json
PROFILES = {"intermediate": "-all +TLSv1.2 +TLSv1.3", "modern": "-all +TLSv1.3"}
CIPHERS = (
    *("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    *("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"),
)
CURVES = ("X25519", "prime256v1", "secp384r1")
PATH = r"(/(?!\.{1,2}(/|$))[\w.@+-]+)+"
OF_MD = "/etc/apache2/md/domains/{}/pubcert.pem"  # where Apache's mod_md keeps a certificate
MODULES = ("socache_shmcb", "ssl")


@dataclass(frozen=True)
class Tls:
    """What the virtual host that speaks TLS needs to know."""

    https_port: int  # 0 without TLS
    certificate: str  # a path on the host
    chain_file: str  # the same, if the chain is in a file of its own
    key_file: str
    tls_protocols: str
    tls_ciphers: str  # of TLS 1.2
    tls_curves: str
    acme: str  # the address of the authority, or nothing
    acme_email: str
    external_account: str  # a path on the host, if the authority wants one
    https_flag: str  # the file that is there once its certificate is
    hsts: int  # seconds
    http2: bool
    canonical_host: bool


def tls(values: Values, directory: str) -> Tls:
    """Return an app's TLS. ``directory`` is that of its virtual host."""
    kind, profile, stays = values.text("tls"), values.text("tls_profile"), is_on_host(values)
    name, port = values.text("server_name").lower(), values.number("https_port")
    authority = values.text("acme_directory") if kind == "acme" else ""
    has_own = kind in ("self_signed", "files") and not stays
    own = {name: f"{directory}/{name}.pem" if has_own else "" for name in ("certificate", "key")}
    return Tls(
        https_port=port if kind != "none" else 0,
        certificate=values.text("tls_certificate")
        if stays
        else own["certificate"] or (authority and OF_MD.format(name)),
        chain_file=values.text("tls_chain") if stays else "",
        key_file=values.text("tls_key") if stays else own["key"],
        tls_protocols=PROFILES[profile],
        tls_ciphers=":".join(CIPHERS) if profile == "intermediate" else "",
        tls_curves=":".join(CURVES),
        acme=authority,
        acme_email=values.text("acme_email"),
        external_account=f"{directory}/external-account.json" if authority and values.text("acme_key_id") else "",
        https_flag=str(https_flag(name, port, authority)) if authority else "",
        hsts=values.number("hsts"),
        http2=values.flag("http2"),
        canonical_host=values.flag("canonical_host"),
    )


def modules(values: Values) -> list[str]:
    """Return the modules of Apache that TLS needs."""
    own = ["md"] if values.text("tls") == "acme" else []
    return [*MODULES, *own, *(["http2"] if values.flag("http2") else [])]


def is_on_host(values: Values) -> bool:
    """Tell whether the certificate's files are used where they are on the host."""
    return values.text("tls") == "files" and values.text("tls_on") == "host"


def is_text(value: str) -> bool:
    """Tell whether the value of a variable is the text of what it means, not the path of a file."""
    return "-----BEGIN" in value


def question(variables: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the paths that the command ``inspect`` reads on the host, if there are any; nothing has been checked."""
    found = {name: variables[f"flask_apache_tls_{name}"] for name in ("certificate", "chain", "key")}
    wanted = (variables["flask_apache_tls"], variables["flask_apache_tls_on"]) == ("files", "host")
    are_paths = all(isinstance(each, str) and re.fullmatch(PATH, each, re.ASCII) for each in found.values() if each)
    return found if wanted and are_paths and found["certificate"] and found["key"] else None


def material(variables: Mapping[str, Any], read: Callable[[str], str]) -> dict[str, Any]:
    """Return the texts of ``certificate``, ``chain`` and ``key``; ``problems`` says by these names what cannot be had.

    ``read`` returns the text of a file on the control node, and raises OSError or ValueError.
    """
    found: dict[str, Any] = {"problems": {}}
    for name in ("certificate", "chain", "key"):
        value = variables[f"flask_apache_tls_{name}"]
        found[name] = value if isinstance(value, str) and is_text(value) else ""
        if isinstance(value, str) and value and not is_text(value):
            try:
                found[name] = read(value)
            except (OSError, ValueError) as error:  # whose text may be the key
                found["problems"][name] = str(getattr(error, "strerror", None) or "it cannot be read").lower()
    return found


def external_account(values: Values) -> str:
    """Return what mod_md reads of the account that an authority wants, or nothing."""
    key_id = values.text("acme_key_id")
    if values.text("tls") != "acme" or not key_id:
        return ""
    return json.dumps({"kid": key_id, "hmac": values.text("acme_hmac")}) + "\n"
