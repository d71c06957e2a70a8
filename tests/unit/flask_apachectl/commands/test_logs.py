"""An app's logs, together or one of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.cli import parser
from flask_apachectl.commands import logs
from flask_apachectl.errors import RefusedError
from tests.unit.flask_apachectl import samples

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App

WORKERS = [{"name": "queue", "instances": 2, "stop_timeout": 30}]


def error(second: int, text: str) -> str:
    """Return a line of an error log."""
    return f"[Thu Nov 26 03:00:{second:02}.000000 2026] [wsgi:error] [pid 7] [shop-blue] {text}\n"


def access(second: int, path: str) -> str:
    """Return a line of an access log."""
    return f'192.0.2.1 - - [26/Nov/2026:03:00:{second:02} +0000] "GET {path} HTTP/1.1" 200 2 "-" "-"\n'


@pytest.fixture
def app(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Return an app with two logs, workers and a timer; the journal has two lines."""
    monkeypatch.setenv("TZ", "UTC")
    (tmp_path / "access.log").write_text(access(1, "/one") + access(5, "/two"))
    (tmp_path / "error.log").write_text(error(2, "first") + "  continued\n" + error(6, "second"))
    line = "2026-11-26T03:00:04.000000+0000 web shop-queue[9]: a job"
    monkeypatch.setattr(logs, "of_units", lambda units, _count: list(logs.dated("journal", [line] if units else [])))
    paths = {f"{name}_log": str(tmp_path / f"{name}.log") for name in ("access", "error")}
    return samples.changed(app, workers=WORKERS, timers=["nightly"], **paths)


def show(app: App, *words: str) -> list[str]:
    """Return the lines that the command shows."""
    return str(logs.logs(app, parser().parse_args(["logs", *words]))["msg"]).splitlines()


def test_all_logs_are_shown_in_the_order_of_time(app: App) -> None:
    found = show(app)
    assert [line.split()[0] for line in found] == ["access", "error", "error", "journal", "access", "error"]
    assert [word for word in " ".join(found).split() if word in ("/one", "first", "continued", "/two", "second")] == [
        *("/one", "first", "continued", "/two", "second")
    ]


def test_the_last_lines_of_all_together(app: App) -> None:
    assert [line.split()[0] for line in show(app, "-n", "2")] == ["access", "error"]
    assert show(app, "-n", "0") == []


def test_one_log_is_shown_as_it_is(app: App) -> None:
    assert show(app, "--access", "-n1") == [access(5, "/two").rstrip()]
    assert show(app, "--error", "--lines", "1") == [error(6, "second").rstrip()]
    assert show(app, "--worker", "queue") == ["2026-11-26T03:00:04.000000+0000 web shop-queue[9]: a job"]


@pytest.mark.parametrize(("name", "expected"), [("queue", 2), ("nightly", 1)])
def test_the_units_of_a_worker_and_of_a_timer(app: App, name: str, expected: int) -> None:
    units = logs.choose(app, parser().parse_args(["logs", "--worker", name])).units
    assert len(units) == expected
    assert all(unit.startswith(f"flask-apache-shop-{name}") and unit.endswith(".service") for unit in units)


def test_an_unknown_worker_is_refused(app: App) -> None:
    with pytest.raises(RefusedError, match="no worker or timer cron; workers and timers: nightly, queue"):
        show(app, "--worker", "cron")


def test_lines_before_a_rotation_are_found(app: App, tmp_path: Path) -> None:
    old = tmp_path / "error.2026-11-25.log"
    old.write_text("".join(error(second, f"old {second}") for second in range(3)))
    os.utime(old, (1, 1))
    (tmp_path / "error.2026-11-26.log").hardlink_to(tmp_path / "error.log")  # as rotatelogs -L does
    (tmp_path / "error.2026-11-24.log.gz").write_bytes(b"\x1f\x8b")
    found = show(app, "--error", "-n", "4")
    assert [line.split()[-1] for line in found] == ["2", "first", "continued", "second"]


def test_the_end_of_a_large_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"{number:099}\n" for number in range(5000)))
    assert logs.end_of(path, 1500)[0] == f"{3500:099}"
    assert logs.end_of(path, 9999)[0] == f"{0:099}"


def test_a_log_that_is_not_there_has_no_lines(app: App, tmp_path: Path) -> None:
    (tmp_path / "access.log").unlink()
    assert show(app, "--access") == []


def test_a_log_that_is_no_file_is_left_alone(app: App, tmp_path: Path) -> None:
    """In a container, it may be the standard error of Apache."""
    (tmp_path / "error.log").unlink()
    os.mkfifo(tmp_path / "error.log")  # to open it would wait for ever
    assert [line.split()[0] for line in show(app)] == ["access", "journal", "access"]
    assert show(app, "--error") == []


def test_json_has_an_end(app: App) -> None:
    with pytest.raises(RefusedError, match="--follow has no end"):
        logs.logs(app, parser().parse_args(["--json", "logs", "-f"]))
    assert len(logs.logs(app, parser().parse_args(["--json", "logs"]))["lines"]) == 6
