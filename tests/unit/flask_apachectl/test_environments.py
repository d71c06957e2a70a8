"""Environment variables belong to a release, secrets to the app."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_apachectl import environments


@pytest.mark.parametrize(
    ("name", "patterns", "expected"),
    [
        ("API_TOKEN", ["*TOKEN*"], True),
        ("api_token", ["*TOKEN*"], True),
        ("API_TOKEN", ["*token"], True),
        ("COLOUR", ["*TOKEN*"], False),
        ("SECRET_KEY", [], True),  # always
        ("DATABASE_URL", ["*DATABASE_UR[IL]*"], True),
        ("BASE_URL", ["*DATABASE_UR[IL]*"], False),
    ],
)
def test_secrets_are_known_by_their_names(name: str, patterns: list[str], expected: bool) -> None:  # noqa: FBT001
    assert environments.is_secret(name, patterns) == expected


@given(
    mine=st.dictionaries(st.sampled_from("AB") | st.sampled_from(["X_KEY", "Y_KEY"]), st.text()),
    current=st.dictionaries(st.sampled_from("AB") | st.sampled_from(["X_KEY", "Y_KEY"]), st.text()),
)
def test_a_release_keeps_its_own_and_gets_the_current_secrets(mine: dict[str, str], current: dict[str, str]) -> None:
    found = environments.with_secrets(mine, current, ["*KEY"])
    for name in ("A", "B"):
        assert found.get(name) == mine.get(name)
    for name in ("X_KEY", "Y_KEY"):
        assert found.get(name) == current.get(name)
