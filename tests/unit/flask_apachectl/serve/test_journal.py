"""Logs in the journal are read as files are: what is new, the last lines, and how many requests."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import paths
from flask_apachectl.commands import logs as command
from flask_apachectl.serve import journal, logs, requests
from flask_apachectl.serve.journal import JournalLog
from tests.unit.flask_apachectl.samples import changed

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App

NAME = "flask-apache-shop-access"
# Does as journalctl does with the options that are used here.
JOURNALCTL = """#!{python}
import json, sys
options = dict(word.lstrip("-").partition("=")[::2] for word in sys.argv[1:])
assert "_UID" in options and options["output"] == "cat", sys.argv
found = []
for number, line in enumerate(open("{entries}")):
    entry = json.loads(line)
    if entry["name"] == options["identifier"] and entry["uid"] == int(options["_UID"]):
        found.append((number, entry["text"]))
if "after-cursor" in options:
    found = [each for each in found if each[0] > int(options["after-cursor"][2:])]
if "lines" in options:
    found = found[len(found) - int(options["lines"]):]
for _, text in found:
    print(text)
if found and "show-cursor" in options:
    print(f"-- cursor: s={{found[-1][0]}}")
"""


class Journal:
    """The host's journal."""

    def __init__(self, path: Path) -> None:
        self.entries = path / "entries"
        self.entries.touch()
        program = path / "journalctl"
        program.write_text(JOURNALCTL.format(python=sys.executable, entries=self.entries))
        program.chmod(0o755)

    def write(self, text: str, name: str = NAME, uid: int = 0) -> None:
        """Add an entry."""
        with self.entries.open("a") as file:
            file.write(json.dumps({"name": name, "uid": uid, "text": text}) + "\n")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Return a journal in which others have written."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    found = Journal(tmp_path / "bin")
    found.write(answer(500), name="flask-apache-other-access")
    return found


@pytest.fixture
def shop(app: App) -> App:
    """Return an app whose logs go to the journal."""
    return changed(app, access_log=paths.JOURNAL, error_log=paths.JOURNAL)


def answer(status: int, agent: str = "curl") -> str:
    """Return a line of an access log in JSON."""
    found = {"time": "2026-11-26T03:00:05.000001+0000", "status": status, "user_agent": agent}
    return json.dumps(found, separators=(",", ":"))


def test_what_is_new_is_read_once(host: Journal) -> None:
    host.write("before")
    log = JournalLog(NAME)
    assert list(log.lines()) == []
    host.write("one")
    host.write("two")
    assert list(log.lines()) == ["one\n", "two\n"]
    host.write("three", name="another")
    assert list(log.lines()) == []
    host.write("four")
    assert list(log.lines()) == ["four\n"]


def test_a_log_that_is_empty_yet_is_read_from_its_beginning(host: Journal) -> None:
    log = JournalLog(NAME)
    assert list(log.lines()) == []
    host.write("one")
    assert list(log.lines()) == ["one\n"]
    assert list(log.lines()) == []


def test_what_an_app_writes_under_the_logs_name_is_not_apaches(host: Journal) -> None:
    log = JournalLog(NAME)
    host.write("forged", uid=1000)
    assert list(log.lines()) == []
    assert journal.last(NAME, 5) == []


def test_the_soak_counts_errors(host: Journal, shop: App) -> None:
    host.write(answer(500))
    seen = logs.AccessLog(shop)
    for status in (200, 501, 500, 503):
        host.write(answer(status))
    assert seen.errors() == 2
    host.write(answer(502))
    assert seen.errors() == 3


def test_a_failed_start_tells_what_was_logged(host: Journal, shop: App) -> None:
    seen = logs.ErrorLog(shop)
    host.write("[a] [wsgi:error] [pid 1] [shop-blue] [request x] boo", name="flask-apache-shop-error")
    assert seen.lines().strip() == "boo"


def test_requests_are_counted_across_collections(host: Journal, shop: App) -> None:
    host.write(answer(200))
    assert requests.count(shop) == {"200": 0, "404": 0, "500": 0, "503": 0}
    for status, agent in ((200, "curl"), (418, "curl"), (200, "flask-apachectl")):
        host.write(answer(status, agent))
    assert requests.count(shop) == {"200": 1, "404": 0, "418": 1, "500": 0, "503": 0}
    assert requests.count(shop) == {"200": 1, "404": 0, "418": 1, "500": 0, "503": 0}
    host.write(answer(500))
    host.write('192.0.2.1 - - [26/Nov/2026:03:00:05 +0000] "GET / HTTP/1.1" 404 2 "-" "-"')  # as it was before
    assert requests.count(shop) == {"200": 1, "404": 1, "418": 1, "500": 1, "503": 0}


def test_counting_goes_on_when_the_log_moves(host: Journal, shop: App, tmp_path: Path) -> None:
    requests.count(shop)
    host.write(answer(200))
    assert (requests.count(shop) or {})["200"] == 1
    file = tmp_path / "access.log"
    file.write_text(answer(200) + "\n")
    assert (requests.count(changed(shop, access_log=str(file))) or {})["200"] == 1
    host.write(answer(200))
    assert (requests.count(shop) or {})["200"] == 1, "what was written meanwhile is not counted"


def test_the_command_shows_them(host: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "SYSTEMD", host.entries.parent)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    error = "[Thu Nov 26 03:00:04.000000 2026] [wsgi:error] [pid 7] [shop-blue] first"
    host.write(answer(200))
    host.write(error, name="flask-apache-shop-error")
    chosen = command.Chosen({}, [], {"access": NAME, "error": "flask-apache-shop-error"})
    assert [line.log for line in command.last_lines(chosen, 5)] == ["error", "access"]
    assert [line.log for line in command.last_lines(chosen, 1)] == ["access"]
    assert set(chosen.followed()) == {"access", "error"}
    assert all("--follow" in each for each in chosen.followed().values())
