"""Run commands as the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask_apachectl import interpreter, releases, routing
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import report

if TYPE_CHECKING:
    import argparse

    from flask_apachectl.app import App


def run(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Run a command as the app: its user, its environment, a release's directory and virtual environment."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise RefusedError(
            "a command is required: run `flask-apachectl run -- COMMAND`, such as `flask-apachectl run -- flask routes`"
        )
    interpreter.become(app, chosen(app, options.release), command)
    raise AssertionError  # the process is another program now


def shell(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Open the app's own shell: Flask's, if it is installed, or Python's."""
    release = chosen(app, options.release)
    flask = app.releases / release / "venv/bin/flask"
    interpreter.become(app, release, ["flask", "shell"] if flask.exists() else ["python"])
    raise AssertionError  # the process is another program now


def chosen(app: App, wanted: str | None) -> str:
    """Return the release to work in: a named one, the live one, or before the first live one the newest.

    Says which one when that is not the live one.
    """
    live, kept = routing.slot_release(app, routing.live_slot(app)), releases.complete(app)
    release = wanted or live or next(iter(kept), None)
    if release is None:
        raise RefusedError(f"{app.name} has no release yet: run the role")
    if release not in (live, *kept):
        raise RefusedError(f"there is no release {release}; kept releases: {', '.join(kept) or 'none'}")
    if release != live:
        report.say(f"run     in {release}, which is not live")
    return release
