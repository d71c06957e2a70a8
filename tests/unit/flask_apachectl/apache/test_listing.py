"""What Apache prints of its configuration is read, and which virtual host gets a request."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.apache import listing
from flask_apachectl.apache.listing import Listen, VirtualHost

if TYPE_CHECKING:
    from collections.abc import Sequence

PRINTED = """\
VirtualHost configuration:
[2001:db8::1]:80       ip.example.com (/etc/apache2/sites-enabled/a.conf:11)
10.1.2.3:*             is a NameVirtualHost
         default server ip.example.com (/etc/apache2/sites-enabled/a.conf:11)
         port * namevhost ip.example.com (/etc/apache2/sites-enabled/a.conf:11)
         port * namevhost IPall.example.com (/etc/apache2/sites-enabled/a.conf:20)
127.0.0.1:2            localhost (-c/-C directives:1)
*:2                    main.example.com (-c/-C directives:3)
*:80                   is a NameVirtualHost
         default server 172.17.0.6 (/etc/apache2/sites-enabled/000-default.conf:1)
         port 80 namevhost 172.17.0.6 (/etc/apache2/sites-enabled/000-default.conf:1)
         port 80 namevhost a.example.com (macro 'V' (defined on line 2 of "/etc/x") used on line 5 of "/etc/y":1)
                 alias B.example.com
                 wild alias *.wild.example.com
*:*                    star.example.com (/etc/a b.conf:5)
# In file: /etc/apache2/ports.conf
#   5:
Listen 80
# In file: /etc/apache2/sites-enabled/a.conf
#   1:
<VirtualHost *:80>
  #   2:
  ServerName a.example.com
</VirtualHost>
# 12:
Listen [::1]:8082 http
#  13:
listen 0.0.0.0:81
ServerRoot: "/etc/apache2"
Main DocumentRoot: "/srv/main"
"""


def test_what_apache_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_dump", lambda _directory, *_: PRINTED)
    found = listing.read()
    assert [(host.address, host.port, host.names, str(host)) for host in found.hosts] == [
        ("[2001:db8::1]", 80, ("ip.example.com",), "/etc/apache2/sites-enabled/a.conf:11"),
        ("10.1.2.3", 0, ("ip.example.com",), "/etc/apache2/sites-enabled/a.conf:11"),
        ("10.1.2.3", 0, ("ipall.example.com",), "/etc/apache2/sites-enabled/a.conf:20"),
        ("*", 80, ("172.17.0.6",), "/etc/apache2/sites-enabled/000-default.conf:1"),
        (
            "*",
            80,
            ("a.example.com", "b.example.com", "*.wild.example.com"),
            """macro 'V' (defined on line 2 of "/etc/x") used on line 5 of "/etc/y":1""",
        ),
        ("*", 0, ("star.example.com",), "/etc/a b.conf:5"),
    ]
    ports = "/etc/apache2/ports.conf"
    sites = "/etc/apache2/sites-enabled/a.conf"
    assert found.listens == (Listen("", 80, ports, 5), Listen("[::1]", 8082, sites, 12), Listen("", 81, sites, 13))
    assert (found.main, found.root) == ("main.example.com", "/srv/main")


def test_the_aliases_of_single_virtual_hosts_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[str]] = []

    def dump(_directory: str, *more: str) -> str:
        asked.append(more)
        return PRINTED

    monkeypatch.setattr(listing, "_dump", dump)
    listing.read()
    assert asked == [(), ("-c", "<VirtualHost [2001:db8::1]:80 *:*>", "-c", "</VirtualHost>")]


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*.example.com", "a.b.Example.com", True),
        ("*.example.com", "example.com", False),
        ("w?w.example.com", "wow.example.com", True),
        ("a.example.com", "axexample.com", False),
        ("*", "x", True),
    ],
)
def test_names(pattern: str, name: str, *, expected: bool) -> None:
    assert listing.matches(pattern, name) is expected


def host(address: str, port: int, name: str) -> VirtualHost:
    return VirtualHost(address, port, (name,), "/x.conf", 1)


def test_the_nearest_address_and_port_win() -> None:
    """As seen on Apache 2.4: in whatever order they are defined."""
    four = [host("192.0.2.1", 80, "a"), host("192.0.2.1", 0, "b"), host("*", 80, "c"), host("*", 0, "d")]
    for hosts in itertools.permutations(four):
        for number, port, address in ((0, 80, "192.0.2.1"), (1, 81, "192.0.2.1"), (2, 80, "192.0.2.2"), (3, 81, "::1")):
            assert listing.chain(hosts, address, port) == [four[number]]
    assert listing.chain((), "*", 80) == []


def test_the_first_virtual_host_of_a_name_wins() -> None:
    hosts = [host("*", 80, "a"), host("*", 80, "*.b"), host("*", 80, "x.b")]
    assert listing.winner(hosts, "x.b") is hosts[1]
    assert listing.winner(hosts, "unknown") is hosts[0]
    assert listing.winner([], "a") is None
