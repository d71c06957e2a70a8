"""The app's interpreter, and the environment of its commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import interpreter
from tests.unit.flask_apachectl.samples import changed

if TYPE_CHECKING:
    from flask_apachectl.app import App


def test_the_version_is_asked_of_the_interpreter(app: App) -> None:
    major, minor, *_ = sys.version_info
    assert interpreter.version(changed(app, python=sys.executable)) == f"{major}.{minor}"


@pytest.mark.parametrize(("declared", "expected"), [("0027", 0o027), ("", 0o022)])
def test_a_umask_is_octal(app: App, declared: str, expected: int) -> None:
    assert interpreter.umask(changed(app, umask=declared)) == expected


def test_a_command_starts_with_the_releases_own_python(app: App) -> None:
    assert interpreter.entry(app, "r1") == [
        f"{app.releases}/r1/venv/bin/python",
        f"{app.conf}/entry.wsgi",
    ]


def test_a_command_gets_the_terminal_and_nothing_else_of_the_operators(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("API_TOKEN", "the operator's own")
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)
    assert interpreter.environment_of_commands(changed(app, user="clerk")) == {
        "TERM": "xterm",
        "USER": "clerk",
        "LOGNAME": "clerk",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }
