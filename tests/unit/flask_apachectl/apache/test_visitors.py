"""The addresses at which visitors come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_apachectl.apache import others, visitors
from flask_apachectl.apache.listing import Listing, VirtualHost
from flask_apachectl.host import sockets
from flask_apachectl.host.sockets import Socket

if TYPE_CHECKING:
    from collections.abc import Callable

APACHE = 7
HOST = "www.example.com-80"
FILE = f"/etc/apache2/sites-enabled/zz-flask-apache-{HOST}.conf"
OF_ADDRESSES = Listing(
    tuple(
        VirtualHost(address, port, ("www.example.com",), file, 1)
        for address, port, file in (
            ("*", 80, FILE),
            ("192.0.2.1", 80, FILE),
            ("192.0.2.2", 0, FILE),
            ("192.0.2.3", 80, "/etc/apache2/sites-enabled/other.conf"),
            ("192.0.2.4", 81, FILE),
            ("[2001:db8::1]", 80, FILE),
            ("198.51.100.1", 80, FILE),  # is not this host's now
        )
    )
)


@pytest.fixture
def find(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return a function that finds the addresses of a host with listeners of Apache's and of others."""
    monkeypatch.setattr(sockets, "is_local", lambda address: address != "198.51.100.1")

    def found(*own: str, foreign: tuple[str, ...] = (), listing: Listing = others.BARE, ipv4: bool = True) -> list[str]:
        listening = [Socket(address, 80, "apache2", (APACHE, 8)) for address in own]
        listening += [Socket(address, 80, "nginx", (9,)) for address in foreign]
        listening += [Socket("192.0.2.9", 81, "apache2", (APACHE,))]
        monkeypatch.setattr(sockets, "listening", lambda: listening)
        monkeypatch.setattr(sockets, "has_ipv4_loopback", lambda: ipv4)
        monkeypatch.setattr(others, "everything", lambda: listing)
        visitors.forget()
        return list(visitors.addresses(APACHE, 80, HOST))

    return found


def test_the_loopback_stands_for_all_addresses(find: Callable[..., list[str]]) -> None:
    assert find("::") == find("0.0.0.0") == find() == ["127.0.0.1"]
    assert find("::", ipv4=False) == ["::1"]
    assert find("::", foreign=("0.0.0.0",)) == ["::1"]
    assert find("0.0.0.0", "::", foreign=("192.0.2.8",)) == ["127.0.0.1"]


def test_listeners_of_one_address(find: Callable[..., list[str]]) -> None:
    assert find("192.0.2.7") == ["192.0.2.7"]
    assert find("192.0.2.7", "::1", foreign=("0.0.0.0",)) == ["192.0.2.7", "::1"]


def test_addresses_with_virtual_hosts_of_their_own_are_asked_too(find: Callable[..., list[str]]) -> None:
    assert find("::", listing=OF_ADDRESSES) == ["127.0.0.1", "192.0.2.1", "192.0.2.2", "2001:db8::1"]
    assert find("0.0.0.0", listing=OF_ADDRESSES) == ["127.0.0.1", "192.0.2.1", "192.0.2.2"]
    assert find("192.0.2.1", listing=OF_ADDRESSES) == ["192.0.2.1"]
