"""The site's names, port, mount and static files, beside other apps and sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controller.checks import values
from tests.unit.controller.given import HOST, errors, refused, variables

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "own",
    [
        {"server_name": "192.0.2.7"},
        {"server_name": "WWW.Example.COM", "server_aliases": ["example.com", "*.example.com", "xn--bcher-kva.example"]},
        {
            "static": [
                {"url": "/", "path": "public"},
                {"url": "/a/b", "path": "site-packages/a/static", "immutable": True},
            ]
        },
        {"app": "shop", "user": "shop", "server_name": "shop.example.com"},  # the app itself
        {"server_name": "shop.example.com", "mount": "/blog"},
        {"server_name": "shop.example.com", "port": 81},
        {"server_name": "shop.example.com", "mount": "/blog", "default_server": True},  # the same default
    ],
    ids=repr,
)
def test_what_works_is_accepted(source: Path, own: dict[str, Any]) -> None:
    assert errors(variables(source, **own)) == []


REFUSED = [
    *refused("user", "be a Unix user of the app's own", "shop", advice="the app shop runs as this user"),
    *refused(
        "server_name",
        "be a host name, such as www.example.com",
        "",
        "a_b.example.com",
        "*.example.com",
        "bücher.example",
        "\u212aelvin.example",
        "::1",
    ),
    *refused(
        "server_name",
        "be a host name, such as www.example.com",
        ".".join(["a" * 60] * 4),
        got=f"'{'a' * 60}.{'a' * 35}...",
    ),
    *refused(
        "server_name",
        "be shop.example.com to share buy.example.com with the app shop",
        "buy.example.com",
        advice="set the same server name, or remove buy.example.com from one of the two",
    ),
    *refused("server_aliases[0]", "be a host name, such as example.com or *.example.com", ["*"], got="'*'"),
    *refused(
        "server_aliases[0]",
        "be a host name, such as example.com or *.example.com",
        ["a.*.example.com"],
        got="'a.*.example.com'",
    ),
    *refused(
        "port",
        "be a port that no other program uses",
        8080,
        "8080",
        advice="nginx (pid 12) listens on it: stop that program, or set another port",
    ),
    *refused(
        "static[0].url",
        "be / or a path such as /shop, without a slash at its end",
        [{"url": "static", "path": "a"}],
        got="'static'",
    ),
    *refused(
        "static[0].path",
        "be a relative path in the source, such as shop/static",
        [{"url": "/a", "path": "../a"}],
        got="'../a'",
    ),
    *refused(
        "static[0].path",
        "be a relative path in the source, such as shop/static",
        [{"url": "/a", "path": "/a"}],
        got="'/a'",
    ),
    *refused(
        "static[1].url",
        "differ from that of flask_apache_static[0]",
        [{"url": "/a", "path": "a"}, {"url": "/a", "path": "b"}],
        got="'/a'",
    ),
]


@pytest.mark.parametrize(("own", "line"), REFUSED)
def test_a_site_that_cannot_be_is_refused(source: Path, own: dict[str, Any], line: str) -> None:
    assert errors(variables(source, **own)) == [line]


@pytest.mark.parametrize(
    ("own", "line"),
    [
        (
            {"default_server": "yes"},
            (
                "flask_apache_default_server must be false, got 'yes'; shop.example.com of the app shop is the default "
                "server on this port: set false, or another port"
            ),
        ),
        (
            {"server_name": "Shop.example.com"},
            (
                "flask_apache_mount must be free on shop.example.com, got '/'; the app shop is mounted there: set "
                "another mount or another server name"
            ),
        ),
        (
            {"server_aliases": ["BUY.example.com"], "mount": "/other"},
            (
                "flask_apache_server_name must be shop.example.com to share buy.example.com with the app shop, got "
                "'www.example.com'; set the same server name, or remove buy.example.com from one of the two"
            ),
        ),
        (
            {"port": "81", "server_name": "blog.example.com"},
            (
                "flask_apache_server_name must not be the name of another site, got 'blog.example.com'; "
                "/etc/blog.conf:7 serves it: set another name or another port, or change that site"
            ),
        ),
        (
            {"port": 81, "default_server": "yes"},
            (
                "flask_apache_default_server must be false, got 'yes'; true would take requests away from "
                "/etc/blog.conf:7: set false and a server name, or another port"
            ),
        ),
    ],
    ids=repr,
)
def test_what_others_have_is_refused(source: Path, own: dict[str, Any], line: str) -> None:
    assert errors(variables(source, **own)) == [line]


def test_another_port_has_another_default(source: Path) -> None:
    assert errors(variables(source, default_server=True, port=82)) == []


def test_a_neighbour_of_an_older_role_is_no_traceback(source: Path) -> None:
    assert errors(variables(source), apps=[{}, {"app": "old"}]) == []


def test_a_wildcard_of_another_app_takes_no_name(source: Path) -> None:
    """Unless that app is the default server, which Apache asks first."""
    (shop,) = HOST["apps"]
    wild = {**shop, "server_aliases": ["*.example.com"], "default_server": False}
    assert errors(variables(source), apps=[wild]) == []
    assert errors(variables(source), apps=[{**wild, "default_server": True}]) == [
        (
            "flask_apache_server_aliases must not leave www.example.com to *.example.com, got []; www.example.com has "
            "that name beside shop.example.com, which Apache asks first: remove one of the two"
        )
    ]
    own = {"server_aliases": ["*.eu.example.com"]}
    assert errors(variables(source, **own), apps=[wild]) == []
    assert len(errors(variables(source, **own), apps=[{**wild, "server_aliases": ["a.eu.example.com", "*.com"]}])) == 1


LISTEN = {"file": "/etc/apache2/ports.conf", "line": 5}


@pytest.mark.parametrize(
    ("listens", "own", "line"),
    [
        (
            [{"address": "", "port": 8080, **LISTEN}],
            {},
            (
                "host: the port must be free of other programs where Apache listens, got a Listen for 8080; nginx "
                "(pid 12) has it: stop that program, or remove that Listen from /etc/apache2/ports.conf:5"
            ),
        ),
        ([{"address": "192.0.2.1", "port": 8080, **LISTEN}], {}, ""),
        ([{"address": "192.0.2.1", "port": 8080, **LISTEN}], {"port": 8080}, ""),
        ([{"address": "", "port": 8080, **LISTEN}], {"manage_service": False}, ""),
    ],
)
def test_every_port_that_apache_will_try_is_looked_at(
    source: Path, listens: list[dict[str, Any]], own: dict[str, Any], line: str
) -> None:
    configuration = {"sites": [], "listens": listens, "main": ""}
    found = errors(variables(source, **own), apache_running=False, apps=[], configuration=configuration)
    assert found == ([line] if line else [])


def test_a_site_that_came_later_leaves_the_default_server_as_it_is(source: Path) -> None:
    (shop,) = HOST["apps"]
    (_, blog) = HOST["configuration"]["sites"]
    own = {"app": "shop", "user": "shop", "server_name": "shop.example.com", "default_server": True}
    for address, count in (("*", 0), ("192.0.2.1", 1)):
        sites = [{**blog, "port": 80, "address": address}]
        assert len(errors(variables(source, **own), configuration={**HOST["configuration"], "sites": sites})) == count
    assert shop["default_server"]


def test_what_the_main_server_has_is_kept(source: Path) -> None:
    configuration = {**HOST["configuration"], "sites": [], "main": "/srv/main"}
    own = {"default_server": True}
    (found,) = errors(variables(source, **own), apps=[], configuration=configuration)
    assert "take requests away from Apache's main server (DocumentRoot /srv/main)" in found
    assert errors(variables(source, **own, port=82), apps=[], configuration=configuration) == []
    assert errors(variables(source), apps=[], configuration=configuration) == []


@pytest.mark.parametrize("name", ["access_log", "error_log"])
def test_the_journal_needs_systemd(source: Path, name: str) -> None:
    own = variables(source, **{name: "journald"})
    assert errors(own) == []
    must = "not be journald on a host where systemd does not run"
    assert errors(own, systemd=False) == [values.error(name, must, "journald")]
