"""The declaration of an app: its app.json."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from controller.declaration import FORMAT, declared, derive, index_urls
from flask_apachectl.declaration import Site, Spec
from tests.unit.role.cases import CASES, CONSTANTS, DEFAULTS, host, variables_of

INTEGERS = (
    *("port", "https_port", "processes", "health_timeout", "build_timeout", "keep_releases", "health_successes"),
    *("health_request_timeout", "soak", "soak_errors", "lock_wait", "format"),
)
FLAGS = (
    *("manage_service", "restricted", "tls", "default_server", "index_private", "irreversible", "harden_server"),
    "proxy_protocol",
    "metrics_served",
)
LISTS = (
    *("workers", "timers", "server_aliases", "constraints", "extras", "extra_index_urls", "pip_args", "health_status"),
    *("static", "environment_secrets", "data_directories", "hooks", "sandbox_without", "sandbox_writable"),
)
TYPES: dict[str, type] = {
    **dict.fromkeys(INTEGERS, int),
    **dict.fromkeys(FLAGS, bool),
    **dict.fromkeys(LISTS, list),
    "requirements": type(None),
    "shared": dict,
}


def declare(variables: dict[str, Any], inspected: dict[str, Any] | None = None, wheelhouse: str = "") -> dict[str, Any]:
    """Return the declaration of an app, as it is read from its file."""
    inspected = inspected or host()
    found = declared(variables, derive(variables, inspected, CONSTANTS), inspected, wheelhouse)
    result: dict[str, Any] = json.loads(json.dumps(found))
    assert result == found
    return result


def of_case(case: str) -> dict[str, Any]:
    """Return the declaration in a case."""
    return declare(variables_of(case), CASES[case][1])


def with_(**variables: object) -> dict[str, Any]:
    """Return the declaration with some variables, written without ``flask_apache_``."""
    return declare(variables_of("defaults") | {f"flask_apache_{name}": value for name, value in variables.items()})


@pytest.mark.parametrize("case", CASES)
def test_the_declaration_has_its_types(case: str) -> None:
    found = of_case(case)
    assert {name: type(value) for name, value in found.items()} == {name: TYPES.get(name, str) for name in found}
    assert {type(status) for status in found["health_status"]} == {int}


@pytest.mark.parametrize("case", CASES)
def test_every_key_is_present(case: str) -> None:
    assert set(of_case(case)) == set(of_case("defaults"))
    assert of_case(case)["format"] == FORMAT


def test_the_declaration_is_the_same_from_strings() -> None:
    expected = of_case("defaults") | {"health_status": [200, 204], "manage_service": False}
    assert of_case("strings") == expected


def test_the_engine_finds_all_that_it_reads() -> None:
    """The declaration has exactly the keys that the engine reads; the units' files are added later."""
    read = {each.name for kind in (Site, Spec) for each in fields(kind)}
    assert set(of_case("defaults")) == read - {"units"} | {"app", "format"}


def test_the_declaration() -> None:
    found = of_case("names")
    expected = {
        "app": "my-shop",
        "user": "clerk",
        "server_name": "www.example.com",
        "server_aliases": ["example.com", "*.example.com"],
        "port": 8080,
        "mount": "/a.b",
        "python_version": "3.11",
        "access_log": "/var/log/flask-apache/my-shop/access.log",
        "error_log": "/var/log/flask-apache/my-shop/error.log",
        "strategy": "blue_green",
        "ready_path": "/-/ready",
    }
    assert {name: found[name] for name in expected} == expected
    assert of_case("logs")["error_log"] == "/var/log/shop/e.log"
    assert of_case("rolling")["strategy"] == "rolling"
    assert of_case("rolling")["idle_pool"] == "cold"


def test_workers_and_timers() -> None:
    found = of_case("units")
    assert found["workers"] == [{"name": "queue", "instances": 2, "stop_timeout": 5}]
    assert found["timers"] == ["nightly"]
    assert of_case("unit-defaults")["workers"] == [{"name": "queue", "instances": 1, "stop_timeout": 30}]


def test_an_umask_that_is_left_to_mod_wsgi_is_apaches() -> None:
    assert of_case("nothing")["umask"] == "0022"
    assert of_case("defaults")["umask"] == DEFAULTS["flask_apache_daemon_umask"]


def test_entries_of_lists_have_their_defaults() -> None:
    found = with_(
        hooks=[
            {"at": "before_start", "run": "flask db upgrade", "once": "yes"},
            {"at": "after_switch", "run": ["a", 1], "timeout": "5"},
        ],
        data_directories=["uploads", {"name": "instance", "link": "instance"}, {"name": "cache"}],
        static=[{"url": "/a", "path": "b"}, {"url": "/c", "path": "d", "immutable": "on"}],
    )
    assert found["hooks"] == [
        {"at": "before_start", "run": "flask db upgrade", "once": True, "timeout": 300},
        {"at": "after_switch", "run": ["a", "1"], "once": False, "timeout": 5},
    ]
    assert found["data_directories"] == [
        {"name": "uploads", "link": ""},
        {"name": "instance", "link": "instance"},
        {"name": "cache", "link": ""},
    ]
    assert found["static"] == [
        {"url": "/a", "path": "b", "immutable": False},
        {"url": "/c", "path": "d", "immutable": True},
    ]


def test_no_password_of_an_index_is_declared() -> None:
    urls = {"index_url": "https://user:pa55word@example.com/simple", "extra_index_urls": ["https://example.org/simple"]}
    found = with_(**urls)
    assert found["index_url"] == "https://example.com/simple"
    assert found["extra_index_urls"] == urls["extra_index_urls"]
    assert found["index_private"] is True
    assert "pa55word" not in json.dumps(found)
    assert index_urls({f"flask_apache_{name}": value for name, value in urls.items()}) == [
        urls["index_url"],
        *urls["extra_index_urls"],
    ]
    assert with_(index_url="https://example.com/simple")["index_private"] is False


def test_requirements() -> None:
    assert with_(requirements=[])["requirements"] == []
    assert with_(requirements=["a.txt"])["requirements"] == ["a.txt"]
    assert with_(source_type="package", requirements=None)["requirements"] == ["requirements.txt"]


def test_the_wheelhouse_is_declared_by_its_id() -> None:
    assert with_()["wheelhouse"] == ""
    assert declare(variables_of("defaults"), wheelhouse="0a1b")["wheelhouse"] == "0a1b"


@pytest.mark.parametrize(
    ("priority", "named", "expected"),
    [
        (None, [], []),
        (0, [], []),
        ("5", ["ProtectHome"], ["ProtectHome", "SystemCallFilter"]),
        (5, ["SystemCallFilter"], ["SystemCallFilter"]),
        (-5, [], ["SystemCallFilter", "CapabilityBoundingSet"]),
    ],
)
def test_a_priority_is_possible_in_the_sandbox(priority: object, named: list[str], expected: list[str]) -> None:
    assert with_(daemon_cpu_priority=priority, sandbox_without=named)["sandbox_without"] == expected
