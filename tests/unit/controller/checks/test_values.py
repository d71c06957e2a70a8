"""The wording of errors, and how values are read."""

from __future__ import annotations

import pytest

from controller.checks import values


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "true"),
        ("http", "'http'"),
        ("a\nb\u2028", "'a\\nb\\u2028'"),
        ("https://me:a\"b'c d@h/x", "'https://****@h/x'"),
        ([{"a": "x://u:p@h"}], "[{'a': 'x://****@h'}]"),
        ("x" * 98, f"'{'x' * 98}'"),
        ("x" * 99, f"'{'x' * 96}..."),
    ],
)
def test_a_value_is_shown_on_one_line_without_credentials(value: object, shown: str) -> None:
    assert values.shown(value) == shown


@pytest.mark.parametrize(
    "place", ["environment", "environment.A", "git_key", "basic_auth[0].users.a", "index_url", "extra_index_urls[1]"]
)
def test_a_secret_is_not_shown(place: str) -> None:
    line = values.error(place, "be x", "secret", "do y")
    assert line == f"flask_apache_{place} must be x, got a value that is not shown; do y"


@pytest.mark.parametrize("place", ["basic_auth[0].path", "basic_auth[12].realm"])
def test_what_is_beside_a_secret_is_shown(place: str) -> None:
    assert values.error(place, "be x", "text").endswith(" must be x, got 'text'")
    assert values.error(place, "be x", {"alice": "secret"}).endswith(f" must be x, got {values.HIDDEN_VALUE}")
