"""Numbers: which are accepted, and how they may be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controller.checks import ranges, types
from tests.unit.controller.given import SPECS, errors, refused, variables

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "own",
    [
        {"port": 8443, "request_body_limit": 0},
        {"port": "443", "health_timeout": "5", "health_status": ["200", 404]},  # as `-e` gives them
        {"daemon_umask": "0027", "daemon_cpu_priority": -20, "daemon_switch_interval": "0.001"},
        {"ready_path": "/ready", "retry_after": 1, "lock_wait": 3600, "health_request_timeout": 600},
    ],
    ids=repr,
)
def test_what_works_is_accepted(source: Path, own: dict[str, Any]) -> None:
    assert errors(variables(source, **own)) == []


OPTIONS = types.options_of(SPECS)
REFUSED = [
    *refused("health_status[1]", "be an HTTP status from 100 to 599", [200, 42], got="42"),
    *refused("health_status[0]", "be an HTTP status from 100 to 599", [True], got="true"),
    *refused("health_status", "contain at least one HTTP status, such as 200", []),
    *refused("health_successes", "be a number of rounds from 1 to 100", 0),
    *refused("health_request_timeout", "be a number of seconds from 1 to 600", 0),
    *refused(
        "hooks[0].timeout",
        "be a number of seconds from 1 to 86400",
        [{"at": "before_start", "run": "x", "timeout": 0}],
        got="0",
    ),
    *refused("retry_after", "be a number of seconds from 1 to 86400", 0),
    *refused("lock_wait", "be a number of seconds from 0 to 3600", -1, 3601, "soon"),
    *refused("lock_wait", "be a number of seconds from 0 to 3600", None, got="null"),
    *refused("lock_wait", "be a whole number of seconds from 0 to 3600", 0.5),
    *refused("soak", "be a number of seconds from 0 to 3600 (0 for none)", -1),
    *refused("soak_errors", "be a number of answers from 0 to 1000000", -1),
    *refused("canary", "be a number from 0 to 99 (percent of the visitors, 0 for all at once)", 100, -1),
    *refused("canary", "be a number from 0 to 99 (percent of the visitors, 0 for all at once)", *[True], got="true"),
    *refused("port", "be a number from 1 to 65535", 0, "65536", 10**30),
    *refused("port", "be a number from 1 to 65535", *[True], got="true"),
    *refused("port", "be a whole number from 1 to 65535", 80.0, " 80 ", "080"),
    *refused("port", "be a number from 1 to 65535", None, got="null"),
    *refused(
        "keep_releases", "be a number of releases from 2 to 1000 (the live and the previous release are always kept)", 1
    ),
    *refused("request_body_limit", "be a number of bytes from 0 to 2147483647 (0 for no limit)", -1),
    *refused("static_max_age", "be a number of seconds from 0 to 31536000", -1),
    *refused("log_keep_days", "be a number of days from 1 to 36500", 0),
    *refused("mod_wsgi_slow_requests", "be a number of seconds from 0 to 86400", "nan", -0.5),
    *refused("daemon_processes", "be a number of processes from 1 to 1000", 0),
    *refused("daemon_processes", "be a number of processes from 1 to 1000", None, got="null"),
    *refused("daemon_memory_limit", "be a number of bytes from 33554432 to 4611686018427387904", 512),
    *refused("daemon_cpu_priority", "be a number from -20 to 19", 20),
    *refused("daemon_switch_interval", "be a number of seconds from 0.0001 to 60", 0),
    *refused("daemon_header_buffer_size", "be a number of bytes from 8192 to 2147483647", 4096),
    *refused("daemon_queue_timeout", "be a number of seconds from 0 to 86400", -1),
]


@pytest.mark.parametrize(("own", "line"), REFUSED)
def test_a_number_out_of_its_range_is_refused(source: Path, own: dict[str, Any], line: str) -> None:
    assert errors(variables(source, **own)) == [line]


def test_a_hooks_number_is_not_in_quotes(source: Path) -> None:
    hook = {"at": "before_start", "run": "x", "timeout": "60"}
    assert errors(variables(source, hooks=[hook])) == [
        "flask_apache_hooks[0].timeout must be a number of seconds from 1 to 86400, got '60'; write it without quotes"
    ]


def test_every_number_of_the_argument_specs_has_a_range() -> None:
    declared = {
        *(name for name, option in OPTIONS.items() if option["type"] in ("int", "float")),
        *(f"{name}[]" for name, option in OPTIONS.items() if option.get("elements") == "int"),
        *(
            f"{name}[].{key}"
            for name, option in OPTIONS.items()
            for key, each in option.get("options", {}).items()
            if each["type"] == "int"
        ),
    }
    assert declared == set(ranges.RANGES)
