"""What each request needs, of the logins and lists that are declared, however its path is written."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import access
from controller.values import Values
from tests.unit.role.cases import variables_of

CONF = "/etc/flask-apache/app"
PATTERN = re.compile(r"%\{REQUEST_URI\} =~ m#(.*)#(i?)$")
Needs = tuple[str, tuple[tuple[str, ...], ...]]  # whose login, or nothing, and an address of each list
OPEN: Needs = ("", ())


def derived(mount: str = "/", **own: object) -> access.Access:
    """Return what is derived of variables."""
    changes = {f"flask_apache_{name}": value for name, value in own.items()}
    return access.access(Values({**variables_of("defaults"), "flask_apache_mount": mount, **changes}), CONF)


def needs(found: access.Access, uri: str) -> Needs:
    """Return what a request for a path needs, as Apache sees it: the last section that applies."""
    last = OPEN
    for guard in found.guards:
        prefix, _, rest = guard.condition.partition(" && ")
        assert prefix == "reqenv('FLASK_APACHE_PAGES') == 'app'"
        pattern = PATTERN.fullmatch(rest)
        assert pattern or not rest
        if not pattern or re.search(pattern[1].replace("$", r"\Z"), uri, re.IGNORECASE if pattern[2] else 0):
            last = (guard.realm, tuple(map(tuple, guard.addresses)))
            assert bool(guard.realm) == bool(guard.users_file)
    return last


def login(path: str, realm: str) -> dict[str, Any]:
    """Return a login."""
    return {"path": path, "realm": realm, "users": {"a": "b"}}


def allow(path: str, *addresses: str) -> dict[str, Any]:
    """Return a list of addresses."""
    return {"path": path, "from": list(addresses)}


@pytest.mark.parametrize("mount", ["/", "/shop", "/a.b/c"])
def test_a_path_is_guarded_however_it_is_written(mount: str) -> None:
    found, top = derived(mount, basic_auth=[login("/admin/x.y", "admin")]), mount.rstrip("/")
    guarded = (
        "/admin/x.y",
        "/admin/x.y/",
        "/admin/x.y/a",
        "//admin//x.y",
        "/ADMIN/x.Y",
        "/admin/x.y;a",
        "/admin/x.y\n",
    )
    for path in (*guarded, "/admin/x.y ", "/admin/x.y\\", "/admin/x.y//", "/admin/x.yé", "///admin/x.y"):
        assert needs(found, top + path) == ("admin", ()), path
    for path in (
        "",
        "/",
        "/admin",
        "/admin/",
        "/admin/xzy",
        "/admin/x.yz",
        "/admin/x.y.z",
        "/a/admin/x.y",
        "/admin/x.y-",
    ):
        assert needs(found, top + path) == OPEN, path


def test_the_whole_app_is_guarded() -> None:
    found = derived("/shop", basic_auth=[login("/", "all")])
    assert [guard.condition for guard in found.guards] == ["reqenv('FLASK_APACHE_PAGES') == 'app'"]
    assert derived("/shop", basic_auth=[{"users": {"a": "b"}}]).guards[0].realm == access.REALM


def test_a_visitor_needs_both() -> None:
    found = derived(basic_auth=[login("/", "all")], allow=[allow("/admin/", "::1", "::2")])
    assert needs(found, "/admin") == ("all", (("::1", "::2"),))
    assert needs(found, "/") == ("all", ())


def test_the_deepest_path_decides() -> None:
    logins = [login("/a/b", "deep"), login("/a", "above")]
    found = derived(basic_auth=logins, allow=[allow("/", "::1"), allow("/a", "::2")])
    assert needs(found, "/x") == ("", (("::1",),))
    assert needs(found, "/a/x") == ("above", (("::2",),))
    assert needs(found, "/a/b/x") == ("deep", (("::2",),))
    assert needs(found, "/a//b") == ("deep", (("::1",), ("::2",)))  # written in another way: all that is around it
    assert needs(found, "//a/b") == ("deep", (("::1",), ("::2",)))


def test_all_opens_a_path_as_it_is_written() -> None:
    found = derived(
        basic_auth=[login("/", "all"), login("/open/admin", "admin")],
        allow=[allow("/", "::1"), allow("/open", "all"), allow("/open/list", "::2")],
    )
    for path in ("/open", "/open/", "/open/x"):
        assert needs(found, path) == OPEN
    for path in ("/OPEN", "//open", "/openly", "/open;x", "/open\n", "/x/open"):
        assert needs(found, path) == ("all", (("::1",),)), path
    assert needs(found, "/open/admin") == ("admin", ())  # a login within it still applies
    assert needs(found, "/open/list") == ("", (("::2",),))
    assert needs(found, "/open//list") == ("all", (("::1",), ("::2",)))


def test_all_and_a_login_at_the_same_path() -> None:
    found = derived(basic_auth=[login("/", "all")], allow=[allow("/", "all")])
    assert needs(found, "/x") == ("all", ())


PATHS = st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/b", "/A"])


@given(st.dictionaries(PATHS, st.just("")), st.dictionaries(PATHS, st.sampled_from(["all", "::1"])), PATHS)
def test_another_spelling_never_needs_less(logins: dict[str, str], lists: dict[str, str], path: str) -> None:
    own = [login(each, each) for each in logins]
    found = derived(basic_auth=own, allow=[allow(each, address) for each, address in lists.items()])
    realm, addresses = needs(found, path)
    for other in (path.replace("/", "//"), f"/{path}", path.upper(), path.swapcase(), f"{path};", f"{path}\n"):
        if other not in ("/A", "/a", "/;", "/\n", "//", "/", "///"):
            another, others = needs(found, other)
            assert not realm or another or not path.startswith("/a"), other
            assert len(others) >= len(addresses) or not addresses, other


def test_users_have_a_file_for_each_path() -> None:
    values = Values({**variables_of("defaults"), "flask_apache_basic_auth": [login("/a/", "x"), login("/b", "y")]})
    first, second = access.users(values, CONF)
    assert first != second
    assert re.fullmatch(rf"{CONF}/users-[0-9a-f]{{8}}", first)
    found = access.access(values, CONF)
    assert [guard.users_file for guard in found.guards] == [first, second]


@pytest.mark.parametrize(
    ("own", "modules"),
    [
        ({}, set()),
        ({"trusted_proxies": ["::1"]}, {"remoteip"}),
        ({"trusted_proxies": ["::1"], "proxy_protocol": True}, {"remoteip"}),
        ({"basic_auth": [login("/", "a")]}, set(access.LOGIN_MODULES)),
        ({"allow": [allow("/", "::1")]}, set(access.ADDRESS_MODULES)),
    ],
)
def test_only_what_is_needed_is_enabled(own: dict[str, Any], modules: set[str]) -> None:
    changes = {f"flask_apache_{name}": value for name, value in own.items()}
    assert set(access.modules(Values({**variables_of("defaults"), **changes}))) == modules
