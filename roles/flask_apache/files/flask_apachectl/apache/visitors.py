"""The addresses at which visitors of an app come: where Apache listens, and where an address has its own sites."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from flask_apachectl.apache import others
from flask_apachectl.host import sockets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_apachectl.host.sockets import Socket

LOOPBACK = {4: "127.0.0.1", 6: "::1"}


@lru_cache(maxsize=16)
def addresses(pid: int | None, port: int, host: str) -> tuple[str, ...]:
    """Return an address for each way on which visitors reach a virtual host: the loopback's one where that is the same.

    ``pid`` is that of the running Apache, ``host`` the name of the virtual host. Apache is asked once for each of its
    configurations: `forget` them after a reload.
    """
    listening = [each for each in sockets.listening() if each.port == port]
    own = [each.address for each in listening if each.is_of(pid)]
    named = [
        each.address.strip("[]")
        for each in others.everything().hosts
        if each.address != "*" and each.port in (port, 0) and each.file.endswith(f"flask-apache-{host}.conf")
    ]
    foreign = [each for each in listening if not each.is_of(pid)]
    return tuple(dict.fromkeys([*_of_sockets(own, foreign), *(each for each in named if _is_reached(each, own))]))


def forget() -> None:
    """Look again: Apache has loaded another configuration."""
    addresses.cache_clear()


def _of_sockets(own: Sequence[str], foreign: Sequence[Socket]) -> list[str]:
    """Return an address for each socket of Apache's, the loopback's first for one that is for all."""
    found = [address for address in own if not ipaddress.ip_address(address).is_unspecified]
    for address in own:
        if address == "0.0.0.0":  # noqa: S104 - a listener's address
            found.insert(0, LOOPBACK[4])
        elif address == "::":  # for IPv4, too, unless the system or another program has that
            is_both = sockets.has_ipv4_loopback() and not any(each.covers(LOOPBACK[4]) for each in foreign)
            found.insert(0, LOOPBACK[4 if is_both else 6])
    return found or [LOOPBACK[4]]


def _is_reached(address: str, own: Sequence[str]) -> bool:
    """Tell whether Apache listens at an address of this host, besides those that have a socket of their own."""
    version = ipaddress.ip_address(address).version
    for_all = "::" in own or (version == 4 and "0.0.0.0" in own)  # noqa: S104, PLR2004 - IP versions
    return for_all and sockets.is_local(address)
