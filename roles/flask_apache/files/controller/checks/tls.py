"""TLS: its port, and where the certificate, its chain and its key come from."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from controller import tls
from controller.checks import values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables

TEXT = r"[\x20-\x7e\r\n\t]*"  # PEM with comments
HTTP = 80  # the port of the challenge http-01
FILES = ("tls_certificate", "tls_chain", "tls_key")


def check(own: Variables) -> Iterator[str]:
    """Report values that cannot be meant."""
    if own["tls"] != "none" and values.number(own["port"]) == values.number(own["https_port"]):
        yield values.error("https_port", "differ from flask_apache_port", own["https_port"])
    if own["tls"] == "acme":
        yield from acme_errors(own)
    is_on_host = own["tls_on"] == "host"
    where = "on the host" if is_on_host else "on the control node, or a text in PEM"
    for name in FILES:
        value = own[name]
        may_be_empty = own["tls"] != "files" or name == "tls_chain"
        if not isinstance(value, str) or (value == "" and may_be_empty):
            continue
        pattern = TEXT if tls.is_text(value) and not is_on_host else tls.PATH
        if not re.fullmatch(pattern, value, re.ASCII):
            yield values.error(name, f"be the absolute path of a file {where}", value)


def acme_errors(own: Variables) -> Iterator[str]:
    """Report what keeps an authority from giving a certificate."""
    if not values.is_on(own["acme_terms_agreed"]):
        advice = f"read the terms of {own['acme_directory']}, and set true if you agree"
        yield values.error("acme_terms_agreed", "be true for a certificate by ACME", own["acme_terms_agreed"], advice)
    if own["acme_email"] == "":
        yield values.error("acme_email", "be set for a certificate by ACME: the authority writes there", "")
    if values.number(own["port"]) != HTTP:
        yield values.error("port", f"be {HTTP}, where the authority asks for a proof", own["port"])
    for place, alias in values.texts(own, "server_aliases"):
        if alias.startswith("*"):
            advice = "an authority proves a wildcard by DNS only: name each host, or use flask_apache_tls: files"
            yield values.error(place, "be a host name for a certificate by ACME", alias, advice)
    if bool(own["acme_key_id"]) != bool(own["acme_hmac"]):
        missing, other = ("acme_hmac", "acme_key_id") if own["acme_key_id"] else ("acme_key_id", "acme_hmac")
        yield values.error(missing, f"be set together with flask_apache_{other}", own[missing])


def check_files(own: Variables, host: Variables, now: datetime | None = None) -> Iterator[str]:
    """Report what would keep Apache from serving HTTPS, or browsers from trusting it: see certificates.py.

    ``host["tls"]`` has the texts, and in ``problems`` why one of the control node's files cannot be read.
    """
    found = host["tls"]
    if own["tls"] != "files" or not found or [*check(own)]:
        return
    for name, problem in found.get("problems", {}).items():
        must = "be the path of a readable file on the control node"
        yield values.error(f"tls_{name}", must, own[f"tls_{name}"], problem)
    if not found.get("problems"):
        from controller.checks import certificates  # noqa: PLC0415 - most runs do not need the library

        yield from certificates.check(own, found, now or datetime.now(timezone.utc))


def warnings(own: Variables, host: Variables, now: datetime | None = None) -> Iterator[str]:
    """Yield what will soon be wrong, of values that have no error."""
    if own["tls"] == "files" and host["tls"]:
        from controller.checks import certificates  # noqa: PLC0415 - most runs do not need the library

        yield from certificates.warnings(host["tls"], now or datetime.now(timezone.utc))
