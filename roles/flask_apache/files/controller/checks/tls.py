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
FILES = ("tls_certificate", "tls_chain", "tls_key")


def check(own: Variables) -> Iterator[str]:
    """Report values that cannot be meant."""
    if own["tls"] != "none" and values.number(own["port"]) == values.number(own["https_port"]):
        yield values.error("https_port", "differ from flask_apache_port", own["https_port"])
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
