"""A rollback takes less than a second. It is measured alone, and not beside the many answers of a test under load."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.hosts.releases.shared import DEFAULT_DEPENDENCY, NAME, OTHER_DEPENDENCY, inputs

if TYPE_CHECKING:
    from tests.support.releases import Deployed

pytestmark = pytest.mark.alone


def test_rollback_is_quick_and_whole(apps: dict[str, Deployed]) -> None:
    """Within a second visitors get the old release again, with its code, virtual environment and environment."""
    for app in apps.values():  # one after the other, for it is timed
        roll_back(app)


def roll_back(app: Deployed) -> None:
    """Deploy an old and a new release, and roll back."""
    app.environment({"SETTING": "old"})
    old = app.deploy("old", import_seconds=0.2)
    app.environment({"SETTING": "new"})
    new = app.deploy("new", dependency=OTHER_DEPENDENCY, import_seconds=0.2)
    assert inputs(app) == (new, {"new"}, "new", OTHER_DEPENDENCY)

    with ThreadPoolExecutor() as executor:
        began = time.monotonic()
        answer = executor.submit(app.ctl, "rollback")
        while app.host.http("/", NAME).json()["release"] != old:
            assert time.monotonic() - began < 10
            time.sleep(0.01)
        seconds = time.monotonic() - began
    assert answer.result()["release"] == old
    assert inputs(app) == (old, {"old"}, "old", DEFAULT_DEPENDENCY)
    print(
        f"{app.host.distribution}: rollback seen after {seconds:.2f} s, the engine took {answer.result()['seconds']} s"
    )
    assert seconds < 1
