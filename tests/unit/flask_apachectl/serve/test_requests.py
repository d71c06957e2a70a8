"""Counting requests: each line once, whatever becomes of the log."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_apachectl.host import files
from flask_apachectl.serve import requests
from tests.unit.flask_apachectl.samples import changed

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App

pytestmark = pytest.mark.usefixtures("as_root")
LINE = '192.0.2.1 - {user} [23/Nov/2026:06:26:{second:02} +0000] "{request}" {status} 12 "-" "{agent}"\n'


class Log:
    """An access log, and how many lines of it were answered with which status."""

    def __init__(self, path: Path) -> None:
        self.path, self.written = path, {"200": 0, "404": 0, "500": 0, "503": 0}
        self.number = 0

    def visit(self) -> None:
        """Write a line of the engine's own, as each collection does."""
        self.number += 1
        request = f"GET /{self.number} HTTP/1.1"
        with self.path.open("a") as file:
            file.write(LINE.format(user="-", second=1, request=request, status=200, agent="flask-apachectl"))

    def write(self, *statuses: int, path: Path | None = None) -> None:
        """Write a line for each status."""
        with (path or self.path).open("a") as file:
            for status in statuses:
                self.number += 1
                request = f"GET /{self.number} HTTP/1.1"
                file.write(LINE.format(user="-", second=7, request=request, status=status, agent="curl/8"))
                self.written[str(status)] = self.written.get(str(status), 0) + 1


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Return an access log with a line that is not counted, as it was there before the first collection."""
    found = Log(tmp_path / "access.log")
    found.path.write_text(LINE.format(user="-", second=1, request="GET / HTTP/1.1", status=500, agent="-"))
    return found


@pytest.fixture
def shop(app: App, log: Log) -> App:
    """Return an app with that log, whose requests have been counted once."""
    found = changed(app, access_log=str(log.path))
    assert requests.count(found) == log.written
    return found


def test_requests_are_counted_by_their_status(shop: App, log: Log) -> None:
    log.write(200, 200, 302, 500, 501, 404)
    assert requests.count(shop) == log.written == {"200": 2, "302": 1, "404": 1, "500": 1, "501": 1, "503": 0}
    assert requests.count(shop) == log.written
    log.write(503)
    assert requests.count(shop) == log.written


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (LINE.format(user='""', second=1, request="GET / HTTP/1.1", status=500, agent="-"), "500"),
        (LINE.format(user="-", second=1, request=r"GET /\" 503 \" HTTP/1.1", status=200, agent="-"), "200"),
        (LINE.format(user="-", second=1, request="-", status=408, agent="-"), "408"),
        (LINE.format(user="-", second=1, request="GET / HTTP/1.1", status=200, agent="flask-apachectl"), None),
        (LINE.format(user="-", second=1, request="GET / HTTP/1.1", status=200, agent="flask-apachectl/2"), "200"),
        ("\0\n", None),
        ("something else\n", None),
    ],
)
def test_a_line_counts_by_what_apache_answered(shop: App, log: Log, line: str, code: str | None) -> None:
    with log.path.open("a") as file:
        file.write(line)
    if code:
        log.written[code] = log.written.get(code, 0) + 1
    assert requests.count(shop) == log.written


def test_half_a_line_counts_once_it_is_whole(shop: App, log: Log) -> None:
    line = LINE.format(user="-", second=1, request="GET / HTTP/1.1", status=404, agent="-")
    with log.path.open("a") as file:
        for part, count in ((line[:50], 0), (line[50:], 1)):
            file.write(part)
            file.flush()
            found = requests.count(shop)
            assert found is not None
            assert found["404"] == count


def daily(log: Log) -> None:
    """Begin a new file, as `rotatelogs -L` does: the log is a link to the file of the day."""
    log.path.rename(log.path.with_name(f"access.{log.number:04}a.log"))
    new = log.path.with_name(f"access.{log.number:04}b.log")
    log.number += 1
    new.touch()
    log.path.hardlink_to(new)
    later(log.path)


def moved(log: Log) -> None:
    """Rename the log, as logrotate does."""
    for number in range(9, 0, -1):
        older = log.path.with_name(f"access.log.{number}")
        if older.exists():
            older.rename(log.path.with_name(f"access.log.{number + 1}"))
    log.path.rename(log.path.with_name("access.log.1"))
    log.path.touch()
    later(log.path)


def copied(log: Log) -> None:
    """Copy the log and empty it, as logrotate's copytruncate does."""
    number = len(list(log.path.parent.glob("access.log.*")))
    shutil.copy2(log.path, log.path.with_name(f"access.log.{number + 1}"))
    os.truncate(log.path, 0)
    later(log.path)


def later(path: Path) -> None:
    """Let a file be newer than all beside it, as it would be a day later."""
    newest = max(each.stat().st_mtime_ns for each in path.parent.iterdir())
    os.utime(path, ns=(newest + 10**9, newest + 10**9))


ROTATIONS = {"daily": daily, "moved": moved, "copied": copied}


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("days", [1, 3])
def test_no_line_is_lost_or_counted_twice_across_rotations(shop: App, log: Log, rotation: str, days: int) -> None:
    log.write(200, 500)
    requests.count(shop)
    for _ in range(days):
        log.write(500, 404)
        later(log.path)
        ROTATIONS[rotation](log)
    log.write(*[503] * 20)  # the new file may be longer than the old one was
    assert requests.count(shop) == log.written
    log.write(200)
    assert requests.count(shop) == log.written


def test_what_is_gone_is_not_counted_and_nothing_goes_backwards(shop: App, log: Log) -> None:
    log.write(200, 200)
    before = requests.count(shop)
    os.truncate(log.path, 0)
    assert requests.count(shop) == before
    log.path.unlink()
    assert requests.count(shop) == before
    log.write(200)
    assert requests.count(shop) == log.written


def test_a_log_that_comes_later_is_counted_from_its_beginning(app: App, tmp_path: Path) -> None:
    log = Log(tmp_path / "access.log")
    shop = changed(app, access_log=str(log.path))
    assert requests.count(shop) == log.written
    log.write(200, 500)
    assert requests.count(shop) == log.written


def test_another_log_goes_on_with_the_same_counts(shop: App, log: Log, tmp_path: Path) -> None:
    log.write(200, 500)
    requests.count(shop)
    other = tmp_path / "other.log"
    log.write(404, path=other)
    log.written["404"] = 0  # it was there before
    moved = changed(shop, access_log=str(other))
    assert requests.count(moved) == log.written
    log.write(404, path=other)
    assert requests.count(moved) == log.written


def test_what_is_no_file_is_not_counted(app: App) -> None:
    assert requests.count(changed(app, access_log="/dev/null")) is None


KEPT = {"log": "/x", "offset": 1, "mark": "", "codes": {"200": 1}}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", json.dumps({**KEPT, "offset": -1}), json.dumps({**KEPT, "codes": {"200": -1}})]
)
def test_damaged_counts_begin_at_zero(shop: App, log: Log, text: str) -> None:
    log.write(200)
    (shop.home / "requests.json").write_text(text)
    assert requests.count(shop) == {"200": 0, "404": 0, "500": 0, "503": 0}
    log.write(500)
    assert requests.count(shop) == {"200": 0, "404": 0, "500": 1, "503": 0}


def test_a_full_disk_keeps_no_count_and_loses_none(shop: App, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "write", full)
        for _ in range(2):
            log.write(200, 500)
            assert requests.count(shop) == log.written
    log.write(200)
    assert requests.count(shop) == log.written


def test_a_count_that_ends_late_takes_nothing_back(shop: App, log: Log) -> None:
    """What is kept is the counts with their place: so another collection at the same time does no harm."""
    kept = shop.home / "requests.json"
    log.write(200)
    requests.count(shop)
    older = kept.read_text()
    log.write(200, 500)
    assert requests.count(shop) == log.written
    kept.write_text(older)
    log.write(404)
    assert requests.count(shop) == log.written


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(st.sampled_from(["write", "count", *ROTATIONS]), max_size=25))
def test_whatever_happens_in_whatever_order(
    app: App, tmp_path_factory: pytest.TempPathFactory, events: list[str]
) -> None:
    log = Log(tmp_path_factory.mktemp("logs") / "access.log")
    log.visit()
    shop = changed(app, access_log=str(log.path))
    (shop.home / "requests.json").unlink(missing_ok=True)
    requests.count(shop)
    for event in events:
        if event in ROTATIONS and log.path.stat().st_size:  # an empty one is not rotated
            ROTATIONS[event](log)
        elif event == "write":
            log.write(200, 500)
            later(log.path)
        elif event == "count":
            log.visit()
            later(log.path)
            assert requests.count(shop) == log.written
    assert requests.count(shop) == log.written
