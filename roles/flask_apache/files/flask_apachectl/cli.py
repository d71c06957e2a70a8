"""Release engine of flask_apache: which release is live, and how another one goes live without a visitor noticing.

An app has two pools of mod_wsgi daemon processes in the one Apache, blue and green. Each runs in the release that
its slot, a symbolic link, names. The file live.map names the pool that serves; Apache reads it anew whenever it
changes, so a switch is one rename and Apache is never reloaded.

Declared state (app.json, env) is written by the role and only read here. This program never edits Apache's
configuration and signals no process but daemon processes of its own app that serve no visitor.

Exit codes: 0 done, or nothing to do; 1 refused or failed, the live release still serves; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import time
from typing import TYPE_CHECKING, Any

from flask_apachectl import app
from flask_apachectl.commands import apply, canary, cleanup, deploy, doctor, rollback, shell, show, traffic
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask_apachectl.app import App

# Of the host: a damaged file, a missing user, a full disk. Whoever asked with --json gets them as JSON, too.
FAULTS = (OSError, ValueError, LookupError, EOFError, tarfile.TarError, subprocess.SubprocessError)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    paragraphs = (__doc__ or "").split("\n\n")
    top = argparse.ArgumentParser(prog="flask-apachectl", description=paragraphs[0], epilog=paragraphs[-1])
    top.add_argument("--app", metavar="NAME", help="the app; not needed where there is only one")
    top.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Callable[[App, argparse.Namespace], dict[str, Any]]) -> argparse.ArgumentParser:
        summary = (function.__doc__ or "").strip()
        command = commands.add_parser(name, help=summary, description=summary)
        command.set_defaults(function=function, plan=False, canary=0, skip_once=False)
        return command

    def plannable(command: argparse.ArgumentParser) -> None:
        command.add_argument("--plan", action="store_true", help="only say what would change")

    add("status", show.status)
    add("releases", show.list_releases)
    add("history", show.show_history)
    add("doctor", doctor.doctor)
    add("probe", show.probe)
    add("deploy", deploy.deploy).add_argument("source", nargs="?", help="id of a source; by default the live one")
    rollback_ = add("rollback", rollback.rollback)
    rollback_.add_argument("release", nargs="?", help="a kept release that was live before")
    rollback_.add_argument("--force", action="store_true", help="go back over an irreversible release, too")
    plannable(rollback_)
    canary_ = add("canary", canary.canary)
    canary_.add_argument("canary", metavar="PERCENT", type=canary.percentage, help="share of the visitors, 1 to 99")
    canary_.add_argument("release", nargs="?", help="a kept release; by default the one in the idle pool")
    plannable(canary_)
    add("promote", canary.promote)
    add("abort", canary.abort)
    for name, function in (("maintenance", traffic.maintenance), ("drain", traffic.drain)):
        add(name, function).add_argument("state", choices=("on", "off"))
    add("run", shell.run).add_argument("command", nargs=argparse.REMAINDER, help="such as `-- flask routes`")
    add("shell", shell.shell)
    plannable(add("remove", cleanup.remove))
    add("prune", cleanup.prune).add_argument("--keep", type=int, metavar="N", help="releases to keep")
    wanted = "JSON: files with src and dest, links as [path, target]"
    add("prove", apply.prove).add_argument("wanted", help=wanted)
    shadow_ = add("shadow", apply.shadow)
    shadow_.add_argument("wanted", help=wanted)
    shadow_.add_argument("copies", help="an empty directory")
    prepare_ = add("prepare", deploy.prepare)
    prepare_.add_argument("source", help="id of a source that the role has shipped")
    from_stdin = "read them, with credentials, as a JSON list from standard input"
    prepare_.add_argument("--index-urls", action="store_true", help=from_stdin)
    plannable(prepare_)
    before_start_, activate_ = add("before-start", deploy.before_start), add("activate", deploy.activate)
    for command in (before_start_, activate_):
        command.add_argument("release", help="id of a kept release")
        command.add_argument("--skip-once", action="store_true", help="without the hooks that another host runs")
        plannable(command)
    activate_.add_argument(
        "--canary", type=canary.percentage, metavar="PERCENT", default=0, help="only for a share of visitors"
    )
    return top


def answer(options: argparse.Namespace) -> dict[str, Any]:
    """Carry out a command and return what is to be said of it."""
    if os.geteuid() != 0:
        raise RefusedError("this needs root: use sudo")
    first = options.function in (deploy.prepare, deploy.before_start, deploy.activate)
    if options.plan and first and options.app is not None and options.app not in app.known_apps():
        release = f"{options.source}-?" if "source" in options else options.release
        return {"changed": True, "release": release, "msg": f"{release} would be the first release of {options.app}"}
    result: dict[str, Any] = options.function(app.load_app(options.app), options)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = parser().parse_args(arguments)
    began = time.monotonic()
    try:
        result = answer(options)
    except (RefusedError, *FAULTS) as error:
        result = {"failed": True, "msg": str(error)}
    failed = bool(result.get("failed"))
    if options.json:
        print(json.dumps({**result, "seconds": round(time.monotonic() - began, 2)}))
    else:
        print(
            f"flask-apachectl: {result['msg']}" if failed else result["msg"], file=sys.stderr if failed else sys.stdout
        )
    return int(failed)
