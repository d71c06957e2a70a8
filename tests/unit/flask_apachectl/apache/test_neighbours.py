"""The apps' virtual hosts beside other people's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_apachectl.apache import listing, neighbours
from flask_apachectl.apache.listing import Listen, Listing, VirtualHost
from tests.unit.flask_apachectl.samples import shop

PORTS = (Listen("", 80, "/ports.conf", 1),)
NAMES = ("www.example.com", "blog.example.com", "*.example.com", "*.com", "old.example", "a.b.example.com")


def other(address: str = "*", port: int = 80, *names: str, line: int = 1) -> VirtualHost:
    return VirtualHost(address, port, names or ("old.example",), "/etc/apache2/sites-enabled/old.conf", line)


def own(
    address: str = "*", port: int = 80, *names: str, link: str = "zz-flask-apache-www.example.com-80.conf"
) -> VirtualHost:
    return VirtualHost(address, port, names or ("www.example.com",), f"/etc/apache2/sites-enabled/{link}", 9)


def told(before: list[VirtualHost], after: list[VirtualHost], **changes: object) -> str:
    sites = [shop(**changes).site]
    return "\n".join(neighbours.conflicts(Listing(tuple(before), PORTS), Listing(tuple(after), PORTS), sites))


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], ["*:80"]),
        ([other()], ["*:80"]),
        ([other("*", 0)], ["*:*"]),
        ([other("*", 0), other()], ["*:80"]),
        ([other("192.0.2.1", 80), other("192.0.2.2", 81), other("[::1]", 0)], ["*:80", "192.0.2.1:80", "[::1]:*"]),
    ],
)
def test_addresses(others: list[VirtualHost], expected: list[str]) -> None:
    found = Listing(tuple(others), PORTS)
    assert neighbours.addresses(found, 80, is_default=False) == expected
    assert neighbours.addresses(found, 80, is_default=True) == expected[:1]


def test_the_longer_wildcard_comes_first() -> None:
    found = [["a.b"], ["*.x.example.com"], ["a.b", "*.example.com"], ["*.example.com", "*.x.example.com"]]
    links = [neighbours.order(names, is_default=False) for names in found]
    assert links == sorted(links)
    assert links[2] == links[3]
    assert neighbours.order(["*.com"], is_default=True) < links[0] < links[1] < links[2]
    assert links[0] > "wordpress.conf"


def test_a_main_server_is_needed_where_apache_listens_without_a_site() -> None:
    assert neighbours.needs_main(Listing((), PORTS), 80, [])
    assert not neighbours.needs_main(Listing((), PORTS), 81, [])
    assert not neighbours.needs_main(Listing((other(),), PORTS), 80, [])
    assert not neighbours.needs_main(Listing((other("*", 0),), PORTS), 80, [])
    assert neighbours.needs_main(Listing((other("192.0.2.1"),), PORTS), 80, [])
    assert neighbours.needs_main(Listing((), PORTS), 80, [shop(tls=True, port=443).site])
    assert not neighbours.needs_main(Listing((), PORTS), 80, [shop(tls=True).site])


@pytest.mark.parametrize(
    ("found", "port", "own", "expected"),
    [
        (Listing(), 8080, {"port": 8080}, True),
        (Listing((), PORTS), 80, {}, False),  # the main server answers
        (Listing((other(),), PORTS), 80, {}, False),
        (Listing((other("*", 0),)), 8080, {"port": 8080}, False),
        (Listing((other("192.0.2.1"),)), 80, {}, True),  # it has what comes to its address
        (Listing(), 8080, {"port": 8080, "default_server": True}, False),
        (Listing((), PORTS), 80, {"tls": True}, True),  # the main server speaks no TLS
    ],
)
def test_unknown_names_get_nothing_where_only_apps_are(
    found: Listing, port: int, own: dict[str, Any], *, expected: bool
) -> None:
    assert neighbours.needs_none(found, port, [shop(**own).site]) is expected
    assert not (expected and neighbours.needs_main(found, port, [shop(**own).site]))


def test_a_virtual_host_for_unknown_names_speaks_tls_if_the_apps_do() -> None:
    assert "SSL" not in neighbours.no_server(80, None)
    assert '    SSLCertificateKeyFile "/k"\n' in neighbours.no_server(443, (Path("/c"), Path("/k")))


def test_the_main_server_leaves_its_name_to_an_app() -> None:
    found = Listing(main="www.example.com")
    assert "ServerName" not in neighbours.main_server(found, 80, ["shop.example.com"])
    assert "ServerName any-name" in neighbours.main_server(found, 80, ["www.example.com"])
    assert "ServerName any-name" in neighbours.main_server(found, 80, ["*.example.com"])


def test_what_is_in_order() -> None:
    assert told([other()], [other(), own()]) == ""
    assert told([], [own("*", 80, "main", link="zy-flask-apache-main_80.conf"), own()]) == ""
    assert told([other()], [own(link="00-flask-apache-www.example.com-80.conf")], default_server=True) == ""


def test_what_others_would_lose_is_told() -> None:
    assert "a name that no site has at *:80 would be answered by /etc/apache2/sites-enabled/zz-" in told(
        [other()], [own(), other()]
    )
    assert "blog.example.com at *:80 would be answered by" in told(
        [other("*", 80, "a"), other("*", 80, "blog.example.com", line=2)],
        [
            other("*", 80, "a"),
            own("*", 80, "www.example.com", "*.example.com"),
            other("*", 80, "blog.example.com", line=2),
        ],
    )
    legacy, blog = other("192.0.2.1", 80, "legacy.example"), other("*", 80, "blog.example.com", line=2)
    wild = [own(address, 80, "www.example.com", "*.example.com") for address in ("192.0.2.1", "*")]
    assert f"blog.example.com at 192.0.2.1:80 would be answered by {wild[0]} instead of {legacy}" in told(
        [legacy, blog], [legacy, blog, *wild]
    )
    assert "instead of Apache's main server" in told([], [own()])
    assert "192.0.2.1:80 would be answered by" in told([other("192.0.2.1")], [own()])


def test_what_others_would_keep_from_the_app_is_told() -> None:
    wild = other("*", 80, "*.example.com")
    assert f"www.example.com of the apps is answered by {wild} at *:80" in told([wild], [wild, own()])
    near = other("192.0.2.1", 80, "www.example.com")
    assert f"answered by {near} at 192.0.2.1:80" in told([near, other()], [near, own("192.0.2.1"), other(), own()])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["*", "192.0.2.1"]), st.sampled_from([0, 80]), st.sets(st.sampled_from(NAMES), min_size=1)
        )
    )
)
def test_what_comes_last_takes_nothing(given_sites: list[tuple[str, int, set[str]]]) -> None:
    """Whatever others have: beside them, the app's virtual host changes no answer for their names."""
    sites = [other(address, port, *sorted(names), line=line) for line, (address, port, names) in enumerate(given_sites)]
    before = Listing(tuple(sites), ())
    addresses = [each.rpartition(":") for each in neighbours.addresses(before, 80, is_default=False)]
    mine = [
        own(address, 0 if port == "*" else int(port), "www.example.com", "*.example.com")
        for address, _, port in addresses
    ]
    after = replace(before, hosts=(*sites, *mine))
    for address in ("192.0.2.1", "192.0.2.9"):
        was, now = (listing.chain(each.hosts, address, 80) for each in (before, after))
        for name in {listing.example(name) for site in was for name in site.names} | (
            {neighbours.NO_NAME} if was else set()
        ):
            assert listing.winner(now, name) == listing.winner(was, name)
        assert mine[0].names[0] in {name for site in now for name in site.names}


@pytest.mark.parametrize(
    ("port", "speaks", "problem"), [(80, True, True), (0, True, True), (81, True, False), (80, False, False)]
)
def test_a_port_speaks_the_proxy_protocol_for_all_of_its_sites(port: int, *, speaks: bool, problem: bool) -> None:
    both = [own(), other("*", port)]
    found = told(both, both, proxy_protocol=speaks)
    assert ("old.conf:1 does not speak the PROXY protocol, which an app would have there" in found) == problem
    assert "PROXY" not in told([own()], [own()], proxy_protocol=speaks)


def test_apps_of_one_port_agree_on_the_proxy_protocol() -> None:
    first, second = (shop(proxy_protocol=speaks, server_name=f"{speaks}.example").site for speaks in (True, False))
    listing_of_none = Listing((), PORTS)
    problem = "port 80 speaks the PROXY protocol for one app, so it must for all of its apps"
    assert problem in list(neighbours.conflicts(listing_of_none, listing_of_none, [first, second]))
    elsewhere = replace(second, port=81)
    assert problem not in list(neighbours.conflicts(listing_of_none, listing_of_none, [first, elsewhere]))
