"""Tables in the engine's output."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flask_apachectl.host import report

WORDS = st.text(string.ascii_letters + string.digits + "-_.:", min_size=1, max_size=40)


def test_a_table_is_aligned() -> None:
    rows: list[dict[str, Any]] = [{"a": "x", "b": None, "c": 1}, {"a": "longer", "b": True, "c": ""}]
    assert report.table(("a", "b", "c"), rows).splitlines() == ["a       b     c", "x       None  1", "longer  True"]
    assert report.table(("a", "b"), []) == "a  b"


@given(st.lists(st.fixed_dictionaries({"a": WORDS, "b": st.integers(), "c": st.none()}), max_size=5))
def test_a_table_has_a_line_for_each_row(rows: list[dict[str, Any]]) -> None:
    heading, *lines = report.table(("a", "b", "c"), rows).splitlines()
    assert [line.split() for line in lines] == [[str(row[column]) for column in "abc"] for row in rows]
    assert all(line[heading.index("c") :] == "None" for line in lines)
