"""The history: which release a rollback goes back to, and which releases it must not cross."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_apachectl import history
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    from flask_apachectl.app import App


def deploys(*releases: str) -> list[dict[str, str]]:
    return [{"time": "then", "action": "deploy", "release": release, "by": "alice"} for release in releases]


@pytest.mark.parametrize(
    ("went_live", "live", "kept", "expected"),
    [
        ([], None, [], None),
        (["a"], "a", ["a"], None),
        (["a", "b"], "b", ["a", "b"], "a"),
        (["a", "b", "a"], "a", ["a", "b"], "b"),
        (["a", "b", "c"], "c", ["a", "c"], "a"),  # b is pruned
        (["a", "b", "b"], "b", ["a", "b"], "a"),
        (["a"], "b", ["a", "b"], "a"),  # b went live, and its record was lost
    ],
)
def test_the_release_to_go_back_to(went_live: list[str], live: str, kept: list[str], expected: str | None) -> None:
    assert history.last_live(deploys(*went_live), live, kept) == expected


@pytest.mark.parametrize(
    ("entries", "live", "expected"),
    [
        ([("deploy", "a"), ("refused", "b")], "a", None),  # as an older engine wrote it
        ([("deploy", "a"), ("deploy", "b"), ("deploy refused", "c"), ("rollback failed", "a")], "b", "a"),
        ([("deploy", "a"), ("deploy", "b"), ("refused", "c")], "b", "a"),
        ([("deploy", "a"), ("canary 5 %", "b")], "a", None),
        ([("deploy", "a"), ("deploy", "b"), ("canary 50 %", "c"), ("abort", None)], "b", "a"),
        ([("deploy", "a"), ("canary 50 %", "b"), ("promote", "b")], "b", "a"),
        ([("deploy", "a"), ("promote", "b"), ("rollback", "a")], "a", "b"),
        ([("deploy", "a"), ("deploy", "b"), ("maintenance on", None), ("drain off", None)], "b", "a"),
    ],
)
def test_only_what_served_all_visitors_is_gone_back_to(
    entries: list[tuple[str, str | None]], live: str, expected: str | None
) -> None:
    log = [{"action": action, "release": release} for action, release in entries]
    assert history.last_live(log, live, ["a", "b", "c"]) == expected


ENTRIES = st.builds(
    lambda action, release: {"action": action, "release": release},
    st.sampled_from(
        [*history.MADE_LIVE, "refused", "deploy refused", "rollback failed", "canary 5 %", "abort", "maintenance on"]
    ),
    st.sampled_from(["a", "b", "c", None]),
)


@given(st.lists(ENTRIES), st.sampled_from(["a", "b", "c", None]), st.lists(st.sampled_from("abc")))
def test_the_release_to_go_back_to_was_live_is_kept_and_is_not_live(
    log: list[dict[str, Any]], live: str | None, kept: list[str]
) -> None:
    found = history.last_live(log, live, kept)
    could_be = [
        entry["release"]
        for entry in log
        if entry["action"] in history.MADE_LIVE and entry["release"] != live and entry["release"] in kept
    ]
    assert found == (could_be[-1] if could_be else None)


def entry(action: str, release: str) -> dict[str, str]:
    """Return a line of the audit log."""
    return {"action": action, "release": release}


@pytest.mark.parametrize(
    ("entries", "target", "expected"),
    [
        ([("deploy", "1"), ("deploy", "2")], "1", "2"),
        ([("deploy", "1"), ("deploy", "2"), ("deploy", "3")], "1", "2"),
        ([("deploy", "1"), ("deploy", "2"), ("deploy", "3")], "2", None),
        ([("deploy", "1"), ("deploy", "2"), ("rollback", "1"), ("deploy", "3")], "1", None),  # it was forced
        ([("deploy", "1"), ("deploy", "2"), ("deploy", "3"), ("rollback", "2")], "3", None),  # forward
        ([("deploy", "1"), ("refused", "2")], "1", None),
        ([("deploy", "1"), ("canary 10 %", "2"), ("promote", "2")], "1", "2"),
    ],
)
def test_what_cannot_be_undone(entries: list[tuple[str, str]], target: str, expected: str | None) -> None:
    assert history.crossed([entry(*line) for line in entries], target, ["2"]) == expected


def test_a_line_of_the_history_that_a_crash_cut_off_is_skipped(app: App) -> None:
    assert history.read(app) == []
    lines = [json.dumps(entry) + "\n" for entry in deploys("a", "b")]
    app.history.write_text("".join(lines) + lines[0][:9])
    assert history.read(app) == deploys("a", "b")


def test_a_cut_off_line_does_not_take_the_next_one_with_it(app: App) -> None:
    app.history.write_text(json.dumps(deploys("a")[0]) + '\n{"relea')
    history.record(app, "deploy", "b", "a")
    assert [entry["release"] for entry in history.read(app)] == ["a", "b"]


def test_what_is_recorded_is_read_back(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    history.record(app, "deploy", "a", None)
    history.record(app, "rollback", "b", "a")
    first, second = history.read(app)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.pop("time"))
    assert first == {"action": "deploy", "release": "a", "previous": None, "by": "alice"}
    assert (second["action"], second["release"], second["previous"]) == ("rollback", "b", "a")


@pytest.mark.parametrize(
    ("error", "action", "reason"),
    [
        (RefusedError("no room"), "deploy refused", "no room"),
        (
            RefusedError("app:app of release r cannot be loaded:\n  Traceback:\n  KeyError: 'A'\nStill serving q."),
            "deploy refused",
            "app:app of release r cannot be loaded … KeyError: 'A'",
        ),
        (OSError(28, "No space left on device"), "deploy failed", "[Errno 28] No space left on device"),
        (KeyboardInterrupt("SIGTERM"), "deploy failed", "SIGTERM"),
        (KeyError("a"), "deploy failed", "KeyError: 'a'"),
        (RefusedError("x" * 999), "deploy refused", "x" * 159 + "…"),
    ],
    ids=["refused", "with output", "disk", "signal", "bug", "long"],
)
def test_what_is_refused_or_fails_is_recorded_with_its_reason(
    app: App, error: BaseException, action: str, reason: str
) -> None:
    with pytest.raises(type(error)), history.attempt(app, "deploy", "r"):
        raise error
    (found,) = history.read(app)
    assert (found["action"], found["release"], found["reason"]) == (action, "r", reason)


def test_what_ends_well_is_not_recorded_twice(app: App) -> None:
    with history.attempt(app, "deploy", "r"):
        history.record(app, "deploy", "r")
    assert [entry["action"] for entry in history.read(app)] == ["deploy"]


def test_a_refusal_before_the_first_deploy_is_only_raised(app: App) -> None:
    app.home.rmdir()
    with pytest.raises(RefusedError, match="no room"), history.attempt(app, "deploy", None):
        raise RefusedError("no room")
