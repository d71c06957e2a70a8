"""Metrics over HTTP: who may ask, and at which address."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from controller.checks import values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables

NETWORK = r"[0-9A-Fa-f:.]{2,45}(/[0-9]{1,3})?"  # without what Apache does not read, such as a scope


def check(own: Variables, host: Variables) -> Iterator[str]:
    """Report who cannot be told by an address, an address that means something else, and a host without timers."""
    for place, text in values.texts(own, "metrics_allow"):
        if problem := problem_of(text):
            must = "be an address or a network, such as 192.0.2.7 or 2001:db8::/32"
            yield values.error(place, must, text, problem if problem != "unreadable" else "")
    if not own["metrics_allow"]:
        return
    if not host["systemd"]:
        yield values.error("metrics_allow", "be [] on a host where systemd does not run", own["metrics_allow"])
    path = own["metrics_path"]
    for name in ("ready_path", "health_path"):
        if path == own[name]:
            yield values.error("metrics_path", f"differ from flask_apache_{name}", path)
    for place, entry in values.mappings(own, "static"):
        url = str(entry.get("url")).rstrip("/")
        if url and f"{path}/".startswith(f"{url}/"):
            yield values.error("metrics_path", f"not lie below that of flask_apache_{place}", path)


def problem_of(text: str) -> str:
    """Say why a text is not an address or a network; nothing when it is one."""
    if not re.fullmatch(NETWORK, text, re.ASCII):
        return "unreadable"
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            return "unreadable"
        return f"the network is {network}" if "host bits" in str(error) else "unreadable"
    return ""
