"""The ids of releases, and which releases are kept."""

from __future__ import annotations

import os
import re
import string
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_apachectl import releases
from tests.unit.flask_apachectl.samples import shop

if TYPE_CHECKING:
    from flask_apachectl.app import App

WORDS = st.text(string.ascii_letters + string.digits + "-_.:", min_size=1, max_size=40)
RELEASES = st.lists(WORDS, unique=True, max_size=12)


SPEC = shop().spec


def test_a_release_is_named_by_its_source_and_a_digest() -> None:
    assert re.fullmatch(r"0123456789ab-[0-9a-f]{6}", releases.release_id("0123456789ab", SPEC, {}))


def test_the_order_of_the_environment_does_not_matter() -> None:
    one, two = ({"A": "1", "B": "2"}, {"B": "2", "A": "1"})
    assert releases.release_id("s", SPEC, one) == releases.release_id("s", SPEC, two)


CHANGES_OF_A_RELEASE = [
    {"wsgi": "app:other"},
    {"requirements": []},
    {"pip_args": ["--pre"]},
    {"static": [{"url": "/static", "path": "static", "immutable": False}]},
    {"health_path": "/x"},
    {"hooks": [{"at": "before_start", "run": "migrate", "once": False, "timeout": 300}]},
]


@pytest.mark.parametrize("change", CHANGES_OF_A_RELEASE, ids=repr)
def test_what_the_app_runs_with_makes_another_release(change: dict[str, Any]) -> None:
    assert releases.release_id("s", SPEC, {}) != releases.release_id("s", shop(**change).spec, {})


def test_environment_python_and_source_make_another_release() -> None:
    ids = {
        releases.release_id("s", SPEC, {}),
        releases.release_id("s", SPEC, {"A": "1"}),
        releases.release_id("s", SPEC, {"A": "2"}),
        releases.release_id("s", shop(python="/usr/bin/python3.12").spec, {}),
        releases.release_id("t", SPEC, {}),
    }
    assert len(ids) == 5


def test_another_interpreter_makes_another_release() -> None:
    other_python = shop(python="/opt/python3.11/bin/python3").spec
    assert releases.release_id("s", SPEC, {}) != releases.release_id("s", other_python, {})


@pytest.mark.parametrize("change", [{"mount": "/x"}, {"server_name": "x.example.com"}, {"port": 81}], ids=repr)
def test_what_only_apache_needs_makes_no_other_release(change: dict[str, Any]) -> None:
    assert releases.release_id("s", SPEC, {}) == releases.release_id("s", shop(**change).spec, {})


def test_links_to_data_make_another_release() -> None:
    def made(*directories: object) -> str:
        return releases.release_id("s", shop(data_directories=list(directories)).spec, {})

    a, b, c = ({"name": "a", "link": link} for link in ("", "b", "c"))
    assert len({made(), made(a), made(b), made(c)}) == 4


@given(RELEASES, st.integers(0, 15), st.data())
def test_pruning(by_age: list[str], keep: int, data: st.DataObject) -> None:
    protected = data.draw(st.lists(st.sampled_from([*by_age, None, "gone"]), max_size=4))
    pruned = releases.prunable(by_age, keep, protected)
    stay = [release for release in by_age if release not in pruned]
    guarded = {release for release in by_age if release in protected}
    assert not guarded & set(pruned)
    assert len(stay) == min(len(by_age), max(keep, len(guarded)))
    assert pruned == [release for release in by_age if release in pruned]  # each once, in order
    free = [release for release in by_age if release not in guarded]
    assert pruned == free[len(free) - len(pruned) :]  # the oldest ones
    assert releases.prunable(stay, keep, protected) == []


def test_releases_are_listed_newest_first_and_only_when_complete(app: App) -> None:
    for age, release in enumerate(("new", "middle", "old", ".old.partial")):
        (app.releases / release).mkdir(parents=True)
        (app.releases / release / "release.json").write_text('{"files": {}, "made": "then"}')
        os.utime(app.releases / release / "release.json", ns=(0, 10**18 - age))
    (app.releases / "half").mkdir()
    assert releases.complete(app) == ["new", "middle", "old"]
