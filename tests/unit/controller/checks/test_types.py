"""Types, choices, flags and lists, as argument_specs.yml declares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.controller.given import SECRET, SPEC, errors, refused, variables

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "own",
    [
        {"default_server": "no", "manage_service": "false", "port": 81},
        {"port": 82, "default_server": "True", "manage_service": 1, "daemon_server_metrics": "off"},
        {"access_log": "/var/log/shop/access.log", "error_log": None},
        {"mod_wsgi_telemetry": None, "mod_wsgi_slow_requests": None},
        {name.removeprefix("flask_apache_"): None for name, spec in SPEC.items() if spec["default"] is None},
        {"environment_secrets": []},
    ],
    ids=repr,
)
def test_what_works_is_accepted(source: Path, own: dict[str, Any]) -> None:
    assert errors(variables(source, **own)) == []


REFUSED = [
    *refused("app", "be a string", None, got="null"),
    *refused("app", "be a string", ["shop"]),
    *refused("user", "be a string", 1000, advice="put it in quotes"),
    *refused("health_status", "be a list of numbers", 200),
    *refused("health_body", "be a string", None, got="null"),
    *refused("health_host", "be a string", None, got="null"),
    *refused("irreversible", "be true or false", "maybe"),
    *refused("hooks[0]", "be a mapping with the keys at and run", ["flask db upgrade"], got="'flask db upgrade'"),
    *refused(
        "hooks[0]", "be a mapping with the keys at and run", [{"at": "before_start"}], got="{'at': 'before_start'}"
    ),
    *refused(
        "hooks[0].at",
        "be before_check, before_start, before_switch or after_switch",
        [{"at": "later", "run": "x"}],
        got="'later'",
    ),
    *refused(
        "hooks[0].once",
        "be true or false",
        [{"at": "before_start", "run": "x", "once": "on"}],
        got="'on'",
        advice="write it without quotes",
    ),
    *refused("server_name", "be a string", None, got="null"),
    *refused("server_aliases[0]", "be a string", [80], got="80", advice="put it in quotes"),
    *refused("server_aliases", "be a list such as [a, b]", "example.com"),
    *refused("server_aliases", "be a list such as [a, b]", None, got="null", advice="use [] for none"),
    *refused("static[0]", "be a mapping with the keys url and path", ["static"], got="'static'"),
    *refused("static[0]", "be a mapping with the keys url and path", [{"url": "/static"}], got="{'url': '/static'}"),
    *refused(
        "static[0].immutable", "be true or false", [{"url": "/a", "path": "a", "immutable": "maybe"}], got="'maybe'"
    ),
    *refused("static", "be a list of mappings", "/static"),
    *refused("compression", "be true or false", "gzip"),
    *refused("requirements", "be a list such as [a, b]", "requirements.txt"),
    *refused("pip_args[1]", "be a string", ["--timeout", 30], got="30", advice="put it in quotes"),
    *refused("mod_wsgi_version", "be a string", 6.1, advice="put it in quotes"),
    *refused("manage_service", "be true or false", "y"),
    *refused("default_server", "be true or false", None, got="null"),
    *refused(
        "environment", "be a mapping such as {NAME: 'value'}", f"SECRET_KEY={SECRET}", got="a value that is not shown"
    ),
    *refused("daemon_umask", "be a string", 511, advice="put it in quotes"),
    *refused("environment_secrets", "be a list such as [a, b]", "*KEY*"),
    *refused("environment_secrets[0]", "be a string", [1], got="1", advice="put it in quotes"),
]


@pytest.mark.parametrize(("own", "line"), REFUSED)
def test_a_value_of_another_type_is_refused(source: Path, own: dict[str, Any], line: str) -> None:
    assert errors(variables(source, **own)) == [line]


def test_a_choice_and_a_key_that_are_not_declared(source: Path) -> None:
    assert errors(variables(source, installer="conda")) == ["flask_apache_installer must be pip or uv, got 'conda'"]
    worker = {"name": "a", "command": "x", "user": "root"}
    (found,) = errors(variables(source, workers=[worker]))
    assert found.startswith(
        "flask_apache_workers[0] must have no keys other than name, command, instances, stop_signal and stop_timeout, "
    )


def test_what_ansible_takes_for_a_mapping_is_none(source: Path) -> None:
    assert errors(variables(source, workers=["name=a command=x"])) == [
        "flask_apache_workers[0] must be a mapping with the keys name and command, got 'name=a command=x'"
    ]


def test_other_items_keep_their_places(source: Path) -> None:
    assert errors(variables(source, server_aliases=[1, "a.example.com", "a b"])) == [
        "flask_apache_server_aliases[0] must be a string, got 1; put it in quotes",
        "flask_apache_server_aliases[2] must be a host name, such as example.com or *.example.com, got 'a b'",
    ]
