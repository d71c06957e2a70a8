"""Run commands as the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask_apachectl import interpreter, routing
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App


def run(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Run a command as the app: its user, its environment, the live release's directory and virtual environment."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise RefusedError(
            "a command is required: run `flask-apachectl run -- COMMAND`, such as `flask-apachectl run -- flask routes`"
        )
    interpreter.become(app, command)
    raise AssertionError  # the process is another program now


def shell(app: App, _options: argparse.Namespace) -> dict[str, Any]:
    """Open the app's own shell: Flask's, if it is installed, or Python's."""
    flask = app.releases / routing.live_release(app) / "venv/bin/flask"
    interpreter.become(app, ["flask", "shell"] if flask.exists() else ["python"])
    raise AssertionError  # the process is another program now
