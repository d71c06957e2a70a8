"""Lines of an access log, in each of its formats."""

from __future__ import annotations

import pytest

from flask_apachectl.serve import lines

COMBINED = '192.0.2.1 - - [26/Nov/2026:03:00:05 +0000] "GET /?q={{" {} 2 "-" "{}"\n'
JSON = '{{"time":"x","status":{},"app_us":-0e-1,"user_agent":"{}","encoded":"-"}}\n'


@pytest.mark.parametrize("form", [COMBINED, JSON])
@pytest.mark.parametrize(
    ("status", "agent", "is_own", "is_error"),
    [
        (200, "curl", False, False),
        (500, "flask-apachectl", True, True),
        (503, "not flask-apachectl", False, True),
        (501, "curl", False, False),
        (404, "flask-apachectl/1", False, False),
    ],
)
def test_what_was_answered(form: str, status: int, agent: str, *, is_own: bool, is_error: bool) -> None:
    found = lines.read(form.format(status, agent))
    assert found == (status, is_own)
    assert found is not None
    assert found.is_error == is_error


@pytest.mark.parametrize(
    "line",
    ["", "\n", "{", "{}", '{"status":200}', '{"status":"x","user_agent":""}', "[1]", "Traceback:\n", '"', "{" * 99],
)
def test_what_is_no_line_of_it(line: str) -> None:
    assert lines.read(line) is None
