"""Counting visitors' errors in the access log, also across a rotation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.errors import RefusedError
from flask_apachectl.serve import logs
from tests.unit.flask_apachectl.samples import changed

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App

BEFORE = '192.0.2.1 - - [23/Nov/2026:06:26:43 +0000] "GET / HTTP/1.1" 500 12 "-" "curl/8"\n'


@pytest.mark.parametrize(
    ("request_line", "status", "rest", "counts"),
    [
        ("GET / HTTP/1.1", 500, '12 "-" "curl/8"', True),
        ("GET / HTTP/1.1", 503, '- "-" "-"', True),
        ("GET / HTTP/1.1", 599, '0 "-" "-"', True),
        ("GET / HTTP/1.1", 200, '500 "-" "-"', False),
        ("GET / HTTP/1.1", 404, '12 "-" "a 500 b"', False),
        ("GET / HTTP/1.1", 200, r'12 "-" "\" 500 \""', False),
        ("GET / HTTP/1.1", 200, '12 "http://x/?\\" 503 " "-"', False),
        (r"GET /?q=\"a\" HTTP/1.1", 500, '12 "-" "-"', True),
        (r"GET /?q=\"a\" HTTP/1.1", 200, '12 "-" "-"', False),
        (r"GET /\" 500 \" HTTP/1.1", 200, '12 "-" "-"', False),
        (r"GET /\\", 500, '12 "-" "-"', True),
        (r"GET /\\\" 500 HTTP/1.1", 200, '12 "-" "-"', False),
        (r"\x16\x03\x01", 400, '0 "-" "-"', False),
        ("-", 408, '0 "-" "-"', False),
        ("", 500, '0 "-" "-"', True),
    ],
)
def test_what_visitors_got_is_counted(
    app: App, tmp_path: Path, request_line: str, status: int, rest: str, *, counts: bool
) -> None:
    line = f'192.0.2.1 - alice [23/Nov/2026:06:26:43 +0000] "{request_line}" {status} {rest}\n'
    path = tmp_path / "access.log"
    path.write_text(BEFORE)
    log = logs.AccessLog(changed(app, access_log=str(path)))
    assert log.errors() == 0  # earlier errors do not count for the new release
    with path.open("a") as file:
        file.write(3 * line)
    assert log.errors() == (3 if counts else 0)
    with path.open("a") as file:
        file.write(BEFORE[:60])  # an incomplete line does not count yet
    assert log.errors() == (3 if counts else 0)


def test_a_visitor_without_a_name_is_counted(app: App, tmp_path: Path) -> None:
    """Apache writes an empty user name as two quotes."""
    path = tmp_path / "access.log"
    log = logs.AccessLog(changed(app, access_log=str(path)))
    path.write_text('192.0.2.1 - "" [23/Nov/2026:06:26:43 +0000] "GET / HTTP/1.1" 500 12 "-" "-"\n')
    assert log.errors() == 1


def test_a_burst_of_errors_names_the_release(app: App, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = logs.AccessLog(changed(app, access_log=str(path)))
    log.refuse_more_than(0, "r1")  # the log may not exist yet
    path.write_bytes(b"\xff\n" + 5 * BEFORE.encode())
    log.refuse_more_than(5, "r1")
    with pytest.raises(RefusedError, match="release r1 answered 5 requests of visitors with 5xx"):
        log.refuse_more_than(4, "r1")


@pytest.mark.parametrize("rotation", ["a new file a day", "moved away", "emptied"])
def test_errors_are_counted_across_a_rotation(app: App, tmp_path: Path, rotation: str) -> None:
    """A soak may last past midnight. No line is counted twice or missed."""
    path, old, new = (tmp_path / name for name in ("access.log", "access.1", "access.2"))
    old.write_text(10 * BEFORE)
    path.hardlink_to(old)  # as rotatelogs -L does
    log = logs.AccessLog(changed(app, access_log=str(path)))
    with path.open("a") as file:
        file.write(2 * BEFORE)
        file.flush()
        assert log.errors() == 2
        file.write(BEFORE)
        file.flush()
        if rotation == "emptied":
            assert log.errors() == 3  # lines between the last read and a truncation are lost
            os.truncate(path, 0)
        else:
            path.unlink()
            assert log.errors() == 3
            new.write_text(2 * BEFORE)
            path.hardlink_to(new) if rotation == "a new file a day" else new.rename(path)
            file.write(BEFORE[:10])
    if rotation == "emptied":
        path.write_text(2 * BEFORE)
    assert (log.errors(), log.errors()) == (5, 5)
    with path.open("a") as file:
        file.write(BEFORE)
    assert log.errors() == 6


def test_only_what_is_new_is_read(app: App, tmp_path: Path) -> None:
    """A read only reads what is new, not everything since the soak began."""
    path = tmp_path / "access.log"
    log = logs.AccessLog(changed(app, access_log=str(path)))
    path.write_text(1000 * BEFORE)
    assert log.errors() == 1000
    assert list(log.log.lines()) == []
