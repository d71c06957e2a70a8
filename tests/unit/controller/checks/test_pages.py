"""The user's own error pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.controller.given import errors, variables

if TYPE_CHECKING:
    from pathlib import Path

KEYS = "have no keys other than 400, 403, 404, 413, 414, 500, 501, 503 and 504"


def test_a_page_is_a_file_on_the_control_node(source: Path, tmp_path: Path) -> None:
    page = tmp_path / "503.html"
    page.write_text("<h1>Zurück in 5 Minuten</h1>\n")
    assert errors(variables(source, error_pages={503: str(page), "404": str(page)})) == []
    page.write_bytes(b"\xff\xfe<\x00")
    must = "flask_apache_error_pages.503 must be"
    assert errors(variables(source, error_pages={503: str(page)})) == [f"{must} a file in UTF-8, got {str(page)!r}"]
    page.write_text(" \n")
    (line,) = errors(variables(source, error_pages={503: str(page)}))
    assert line.startswith(f"{must} a file of 1 to 1,048,576 bytes, got ")
    (line,) = errors(variables(source, error_pages={503: str(tmp_path / "none")}))
    assert line.startswith(f"{must} a file on the control node that can be read, got ")
    (line,) = errors(variables(source, error_pages={503: "pages/503.html"}))
    assert line == f"{must} the absolute path of a file on the control node, got 'pages/503.html'"


def test_only_what_apache_shows_can_be_replaced(source: Path) -> None:
    assert errors(variables(source, error_pages={418: "/x"})) == [f"flask_apache_error_pages must {KEYS}, got 418"]
    (line,) = errors(variables(source, error_pages={"a/b": "/x"}))
    assert line == f"flask_apache_error_pages must {KEYS}, got 'a/b'"
