"""How a release goes live: settings that exclude each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.controller.given import errors, variables

if TYPE_CHECKING:
    from pathlib import Path

TWO_POOLS = "a canary needs two pools: set flask_apache_strategy: blue_green for one"
ACCESS_LOG = "the soak reads the access log: set one that is a file"


@pytest.mark.parametrize(
    "own",
    [
        {"soak": 0, "access_log": "/dev/stdout"},
        {"soak": 60, "soak_errors": 0, "access_log": "/var/log/shop/access.log"},
        {"soak": "60", "access_log": None},
        {"strategy": "rolling", "canary": 0, "idle_pool": "cold"},
        {"strategy": "rolling", "canary": "0"},
        {"strategy": "blue_green", "canary": 99},
    ],
    ids=repr,
)
def test_what_works_is_accepted(source: Path, own: dict[str, Any]) -> None:
    assert errors(variables(source, **own)) == []


@pytest.mark.parametrize(
    ("own", "line"),
    [
        (
            {"canary": 10, "strategy": "rolling"},
            f"canary must be 0 with flask_apache_strategy: rolling, got 10; {TWO_POOLS}",
        ),
        (
            {"canary": "10", "strategy": "rolling"},
            f"canary must be 0 with flask_apache_strategy: rolling, got '10'; {TWO_POOLS}",
        ),
        (
            {"soak": 30, "access_log": "/dev/stdout"},
            f"soak must be 0 with flask_apache_access_log: '/dev/stdout', got 30; {ACCESS_LOG}",
        ),
        (
            {"soak": "30", "access_log": "/dev/null"},
            f"soak must be 0 with flask_apache_access_log: '/dev/null', got '30'; {ACCESS_LOG}",
        ),
        (
            {"health_path": "/up", "ready_path": "/up"},
            "ready_path must differ from flask_apache_health_path, got '/up'",
        ),
        (
            {"health_path": "/up/100%?a=%2F"},
            (
                "health_path must have two hexadecimal digits after each %, got '/up/100%?a=%2F'; "
                "write %25 for a percent sign"
            ),
        ),
        *(
            (
                {"health_path": path},
                (
                    f"health_path must not have an encoded slash, question mark or null byte, got {path!r}; "
                    "choose an address without them"
                ),
            )
            for path in ("/a%2Fb", "/a%2f?b", "/a%3Fb", "/a%00")
        ),
    ],
    ids=repr,
)
def test_what_excludes_each_other_is_refused(source: Path, own: dict[str, Any], line: str) -> None:
    assert errors(variables(source, **own)) == [f"flask_apache_{line}"]
