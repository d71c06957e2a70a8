"""Proxies, logins and lists of addresses: each value that cannot be meant has one error."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from controller import access, plan
from controller.checks import values
from controller.values import Values
from tests.unit.controller.given import HOST, SECRET, errors, refused, variables

if TYPE_CHECKING:
    from pathlib import Path

USERS = {"alice": SECRET}
NETWORK = "be an address or a network, such as 192.0.2.7 or 192.0.2.0/24"
EVERYBODY = "not be a network of all addresses"
PATH = "be a path below the mount, such as /admin"
REALM = "be 1 to 100 letters, digits, spaces or other plain characters, such as Staff"
HIDDEN = "a value that is not shown"
NAMES = "have names of up to 64 letters, digits or any of _.@+-, such as alice"
ADDRESSES = [
    "192.0.2.7",
    "192.0.2.0/24",
    "0.0.0.0",
    "10.0.0.0/8",
    "127.0.0.1/32",
    "2001:db8::1",
    "2001:DB8::/32",
    "::1",
]
OTHER_ADDRESSES = (
    *("", "192.0.2", "192.0.2.256", "192.0.2.7/33", "192.0.2.07", "192.0.2.0/255.255.255.0", "192.0.2.0/0.0.0.255"),
    *("2001:db8::/129", "fe80::1%eth0", "[::1]", "192.0.2.7:80", "192.0.2.1-9", "10.*", "١٩٢.0.2.7", "unix:", " ::1"),
)
WRONG_PATHS = (
    *("", "admin", "/a//b", "/a/../b", "/..", "/a/.", "//", "/a b", "/a?b", "/a%2fb", "/ä", "/a*", "/(a)"),
    *("http://a/b", "/" + "a" * 200),
)


def allow(*addresses: object, **more: object) -> list[dict[str, Any]]:
    """Return the only list of addresses."""
    return [{"from": list(addresses), **more}]


def login(**more: object) -> list[dict[str, Any]]:
    """Return the only login."""
    return [{"users": USERS, **more}]


@pytest.mark.parametrize(
    "own",
    [
        {"trusted_proxies": ADDRESSES, "proxy_protocol": "yes", "port": 8000},
        {"allow": [*allow(*ADDRESSES), {"path": "/a", "from": ["all"]}], "basic_auth": login(path="/")},
        {"basic_auth": [{"users": {name: name * 72}} for name in ("a",)]},
        {"basic_auth": login(path="/a.b/c_d~e-/", realm="Staff, only (a/b)!")},
        {"basic_auth": [*login(path="/a"), *login(path="/ab"), *login(path="/a/b")]},
        {"basic_auth": [{"users": {"a.b@c-d+e_F0": "ä \"'\\${%}#:"}}]},
        {"basic_auth": login(path="/a"), "allow": allow("all", path="/a/")},
    ],
)
def test_what_can_be_meant_is_accepted(source: Path, own: dict[str, Any]) -> None:
    assert errors(variables(source, **own), apps=[]) == []


@pytest.mark.parametrize(
    ("own", "error"),
    [
        *(
            case
            for text in OTHER_ADDRESSES
            for case in (
                *refused("trusted_proxies[0]", NETWORK, [text], got=repr(text)),
                *refused("allow[0].from[0]", NETWORK, allow(text), got=repr(text)),
            )
        ),
        *refused(
            "trusted_proxies[1]",
            NETWORK,
            ["::1", "lb.example.com"],
            got="'lb.example.com'",
            advice="names are not looked up",
        ),
        *refused("allow[0].from[0]", NETWORK, allow("localhost"), got="'localhost'", advice="names are not looked up"),
        *refused("trusted_proxies[0]", NETWORK, ["All"], got="'All'", advice="names are not looked up"),
        *refused("trusted_proxies[0]", NETWORK, ["all"], got="'all'", advice="names are not looked up"),
        *refused("trusted_proxies[0]", EVERYBODY, ["0.0.0.0/0"], got="'0.0.0.0/0'", advice="name the proxies only"),
        *refused("trusted_proxies[0]", EVERYBODY, ["::/0"], got="'::/0'", advice="name the proxies only"),
        *refused("allow[0].from[0]", EVERYBODY, allow("::/0"), got="'::/0'", advice="write all instead"),
        *refused(
            "trusted_proxies[0]",
            "be the first address of a network",
            ["192.0.2.7/24"],
            got="'192.0.2.7/24'",
            advice="write 192.0.2.0/24",
        ),
        *refused(
            "allow[0].from[1]",
            "be the first address of a network",
            allow("::1", "2001:db8::1/32"),
            got="'2001:db8::1/32'",
            advice="write 2001:db8::/32",
        ),
        *refused(
            "trusted_proxies[0]",
            NETWORK,
            ["::ffff:192.0.2.7"],
            got="'::ffff:192.0.2.7'",
            advice="write the IPv4 address that is in it",
        ),
        *refused("trusted_proxies[0]", "be a string", [7], got="7", advice="put it in quotes"),
        *refused("trusted_proxies[0]", "be a string", [None], got="null"),
        *refused("trusted_proxies", "be a list such as [a, b]", "192.0.2.7"),
        *refused("proxy_protocol", "be true or false", "v2"),
        *refused(
            "proxy_protocol",
            "be false without flask_apache_trusted_proxies",
            *("yes", "true"),
            advice="name the load balancers there",
        ),
        *refused("basic_auth[0].users['b.c']", "be a password of 1 to 72 bytes", [{"users": {"b.c": ""}}], got=HIDDEN),
        *(
            case
            for path in WRONG_PATHS
            for case in (
                *refused("allow[0].path", PATH, allow("::1", path=path), got=values.shown(path)),
                *refused("basic_auth[0].path", PATH, login(path=path), got=values.shown(path)),
            )
        ),
        *refused("allow[0].path", "be a string", allow("::1", path=None), got="null"),
        *refused(
            "allow[1].path",
            "differ from that of flask_apache_allow[0]",
            [*allow("::1", path="/a"), *allow("::1", path="/A/")],
            got="'/A/'",
            advice="the case of letters is no difference",
        ),
        *refused(
            "basic_auth[1].path",
            "differ from that of flask_apache_basic_auth[0]",
            [*login(), *login(path="/")],
            got="'/'",
            advice="the case of letters is no difference",
        ),
        *refused(
            "allow[0].from",
            "contain at least one address, network or all",
            allow(),
            got="[]",
            advice="write [all] for everybody",
        ),
        *refused("allow[0].from[1]", "be the only one in its list", allow("::1", "all"), got="'all'"),
        *refused("allow[0].from", "be a list such as [a, b]", [{"from": "::1"}], got="'::1'"),
        *refused("allow[0]", "be a mapping with the keys from", [{"path": "/a"}], got="{'path': '/a'}"),
        *refused("allow[0]", "be a mapping with the keys from", ["::1"], got="'::1'"),
        *refused("basic_auth[0]", "be a mapping with the keys users", [{"path": "/a"}], got=HIDDEN),
        *refused("basic_auth[0]", "have no keys other than path, realm and users", login(user="a"), got=HIDDEN),
        *refused("basic_auth[0].users", "be a mapping such as {NAME: 'value'}", [{"users": [SECRET]}], got=HIDDEN),
        *refused(
            "basic_auth[0].users",
            "contain at least one user, such as {alice: 'PASSWORD'}",
            [{"users": {}}],
            got=HIDDEN,
        ),
        *(
            case
            for name in ("", "a:b", "a b", "-a", "#a", ".a", "ä", "a" * 65, 'a"')
            for case in refused("basic_auth[0].users", NAMES, [{"users": {name: SECRET}}], got=HIDDEN)
        ),
        *refused("basic_auth[0].users", NAMES, [{"users": {7: SECRET}}], got=HIDDEN, advice="put them in quotes"),
        *refused("basic_auth[0].users", "not contain control characters", [{"users": {"a\nb": SECRET}}], got=HIDDEN),
        *refused(
            "basic_auth[0].users.a",
            "be a string",
            [{"users": {"a": 1234}}],
            [{"users": {"a": None}}],
            got=HIDDEN,
            advice="put the password in quotes",
        ),
        *refused(
            "basic_auth[0].users.a",
            "be a password of 1 to 72 bytes",
            *([{"users": {"a": text}}] for text in ("", "a" * 73, "ä" * 37)),
            got=HIDDEN,
        ),
        *refused(
            "basic_auth[0].users.a",
            "not contain control characters",
            [{"users": {"a": "b\0c"}}],
            [{"users": {"a": "b\tc"}}],
            got=HIDDEN,
        ),
        *(
            case
            for text in ("", 'a"', "%{HTTP_HOST}", "ä", " a", "a" * 102, "a\\", "${A}")
            for case in refused("basic_auth[0].realm", REALM, login(realm=text), got=values.shown(text))
        ),
        *refused("basic_auth[0].realm", "be a string", login(realm=7), got=HIDDEN, advice="put it in quotes"),
    ],
)
def test_what_cannot_be_meant_is_refused(source: Path, own: dict[str, Any], error: str) -> None:
    assert errors(variables(source, **own)) == [error]


def test_a_path_is_written_alike_in_both_variables(source: Path) -> None:
    own = {"basic_auth": login(path="/Admin"), "allow": allow("::1", path="/admin")}
    (error,) = errors(variables(source, **own))
    assert error == "flask_apache_allow[0].path must have the case of flask_apache_basic_auth[0].path, got '/admin'"


def app(**changes: object) -> dict[str, Any]:
    """Return another app of the host."""
    return {**copy.deepcopy(HOST["apps"][0]), "default_server": False, **changes}


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize(
    ("ports", "theirs"),
    [({}, {}), ({"tls": "self_signed"}, {"port": 8080, "https_port": 443}), ({"port": 8888}, {"port": 8888})],
)
def test_apps_of_one_port_agree_on_the_proxy_protocol(
    source: Path, ports: dict[str, Any], theirs: dict[str, Any], *, wanted: bool
) -> None:
    own = variables(source, trusted_proxies=["::1"], proxy_protocol=wanted, **ports)
    assert errors(own, apps=[app(proxy_protocol=wanted, **theirs)]) == []
    assert errors(own, apps=[app(proxy_protocol=not wanted, port=9, https_port=0)]) == []
    assert errors(own, apps=[app(app="app", user="app", proxy_protocol=not wanted, **theirs)]) == []  # itself
    port = theirs.get("https_port") or theirs.get("port", 80)
    must = f"must be {str(not wanted).lower()} at port {port}, as it is for the app shop, got {str(wanted).lower()}"
    assert errors(own, apps=[app(proxy_protocol=not wanted, **theirs)]) == [
        f"flask_apache_proxy_protocol {must}; a port speaks the PROXY protocol for all of its sites: set another port"
    ]


def test_an_app_of_an_earlier_version_does_not_speak_it(source: Path) -> None:
    assert errors(variables(source), apps=[app(proxy_protocol=None)]) == []
    (error,) = errors(variables(source, trusted_proxies=["::1"], proxy_protocol=True), apps=[app(proxy_protocol=None)])
    assert "must be false at port 80" in error


@pytest.mark.parametrize("port", [81, 0])
def test_other_sites_do_not_speak_it(source: Path, port: int) -> None:
    own = variables(source, port=81, trusted_proxies=["::1"], proxy_protocol=True)
    site = {**HOST["configuration"]["sites"][1], "port": port}
    (error,) = errors(own, apps=[], configuration={**HOST["configuration"], "sites": [site]})
    assert error.startswith("flask_apache_proxy_protocol must be false at the port of /etc/blog.conf:7, got true; ")
    main = {**HOST["configuration"], "sites": [], "main": "/var/www/other"}
    (error,) = errors(own, apps=[], configuration=main)
    assert "at the port of Apache's main server (DocumentRoot /var/www/other)" in error
    assert errors(variables(source, port=81), apps=[], configuration=main) == []
    assert errors({**own, "flask_apache_port": 80}, apps=[]) == []  # where only the distribution's own page is


def told(own: dict[str, Any], apps: list[dict[str, Any]]) -> list[str]:
    """Return the names of the variables of which a warning is."""
    found = list(plan.warnings(own, {**HOST, "apps": apps}))
    assert all(SECRET not in line for line in found)
    return [line.partition(" ")[0].removeprefix("flask_apache_") for line in found]


def beside(own: dict[str, Any], **changes: object) -> dict[str, Any]:
    """Return an app with the same server name, which has declared the same but for some changes."""
    theirs = {**own, **{f"flask_apache_{name}": value for name, value in changes.items()}}
    https = int(theirs["flask_apache_https_port"]) if theirs["flask_apache_tls"] != "none" else 0
    place = {"server_name": "www.example.com", "mount": "/other", "port": 80, "https_port": https}
    return app(**place, shared=access.shared(Values(theirs)))


CHANGES: list[tuple[str, dict[str, Any], object]] = [
    ("trusted_proxies", {}, ["::2"]),
    ("trusted_proxies", {"trusted_proxies": ["::2"]}, []),
    ("proxy_protocol", {"trusted_proxies": ["::2"]}, True),
    *(
        (name, {"tls": "self_signed"}, value)
        for name, value in (("hsts", 7), ("http2", False), ("tls_profile", "modern"))
    ),
    ("tls", {"tls": "self_signed"}, "acme"),
    *((f"tls_{name}", {"tls": "files"}, "/other.pem") for name in ("certificate", "chain")),
    ("tls_on", {"tls": "files"}, "host"),
    ("acme_email", {"tls": "acme"}, "other@example.com"),
    ("acme_directory", {"tls": "acme"}, "https://other.example.com/"),
]


@pytest.mark.parametrize(("name", "own", "other"), CHANGES)
def test_apps_of_one_virtual_host_declare_the_same(source: Path, name: str, own: dict[str, Any], other: object) -> None:
    mine = variables(source, **own)
    assert told(mine, [beside(mine)]) == []
    assert told(mine, [beside(mine, **{name: other})]) == [name]
    elsewhere = [{**beside(mine, **{name: other}), **place} for place in ({"server_name": "a.b"}, {"app": "app"})]
    assert told(mine, [*elsewhere, {**beside(mine, **{name: other}), "port": 8, "https_port": 0}]) == []
    assert told(mine, [{**beside(mine), "shared": None}]) == []  # of an earlier version


def test_how_a_value_is_written_is_no_difference(source: Path) -> None:
    mine = variables(source, tls="self_signed", trusted_proxies=["::1", "::2"], hsts=7, http2=True)
    assert told(mine, [beside(mine, trusted_proxies=["::2", "::1"], hsts="7", http2="yes")]) == []


def test_https_ports_of_their_own_share_no_certificate(source: Path) -> None:
    mine = variables(source, tls="self_signed")
    assert told(mine, [beside(mine, hsts=7, https_port=8443)]) == []
    assert told(mine, [beside(mine, tls="none")]) == []


def test_passwords_are_not_sent_in_the_clear(source: Path) -> None:
    assert told(variables(source, basic_auth=login()), []) == ["basic_auth"]
    for own in ({"tls": "self_signed"}, {"trusted_proxies": ["::1"]}, {"directives": ["SSLEngine on"]}):
        assert told(variables(source, basic_auth=login(), **own), []) == []
