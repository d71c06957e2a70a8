"""Release engine of flask_apache: which release is live, and how another one goes live without a visitor noticing.

An app has two pools of mod_wsgi daemon processes in the one Apache, blue and green. Each runs in the release that
its slot, a symbolic link, names. The file live.map names the pool that serves; Apache reads it again whenever it
changes, so a switch is one rename and Apache is never reloaded.

What an app is to have is declared by the role and applied here, under a lock. This program signals no process but
daemon processes of its own app that serve no visitor.

Exit codes: 0 done, or nothing to do; 1 refused or failed, the live release still serves, or a report of something
wrong; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from flask_apachectl import app, environments, routing
from flask_apachectl.build import fetch, locks
from flask_apachectl.commands import (
    apply,
    canary,
    certificates,
    cleanup,
    deploy,
    doctor,
    inspect,
    logs,
    metrics,
    removal,
    rollback,
    shell,
    show,
    status,
    traffic,
)
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    Command = Callable[..., dict[str, Any]]


# Faults of the host, such as a full disk, whose text tells all.
EXPECTED = (OSError, FileNotFoundError, PermissionError, TimeoutError)


class Commands:
    """The command line's commands, as they are added."""

    def __init__(self) -> None:
        paragraphs = (__doc__ or "").split("\n\n")
        self.parser = argparse.ArgumentParser(prog="flask-apachectl", description=paragraphs[0], epilog=paragraphs[-1])
        self.parser.add_argument(
            "--app",
            metavar="NAME",
            help="name of the app; may be omitted if the host has only one, and for `status`, `doctor` and `metrics`",
        )
        self.parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
        self.commands = self.parser.add_subparsers(required=True, metavar="COMMAND")
        self.listed = True  # in --help

    def add(
        self, name: str, function: Command, *, plan: bool = False, of_app: bool = True, report: bool = False
    ) -> argparse.ArgumentParser:
        """Add a command: a function of an app and the arguments, or of the arguments alone; perhaps with --plan.

        The answer of a ``report`` goes to standard output also when it is that something is wrong.
        """
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        if self.listed:
            command = self.commands.add_parser(name, description=summary, help=summary)
        else:
            command = self.commands.add_parser(name, description=summary)
        command.set_defaults(function=function, of_app=of_app, plan=False, canary=0, skip_once=False, declaration="")
        command.set_defaults(report=report)
        if plan:
            command.add_argument("--plan", action="store_true", help="report what would change, without changing it")
        return command


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    top = Commands()
    top.add("status", status.status, of_app=False, report=True)
    top.add("releases", show.list_releases)
    top.add("history", show.show_history)
    log = top.add("logs", logs.logs)
    chosen = log.add_mutually_exclusive_group()
    chosen.add_argument("--access", action="store_true", help="only the requests")
    chosen.add_argument("--error", action="store_true", help="only what the app and Apache say of errors")
    chosen.add_argument("--worker", metavar="NAME", help="only a worker or a timer's job, from the journal")
    log.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    log.add_argument("-n", "--lines", type=logs.number, default=50, metavar="N", help="last lines; default: 50")
    thorough = top.add("doctor", doctor.doctor, of_app=False, report=True)
    thorough.add_argument("--thorough", action="store_true", help="also compare the checksum of every file")
    measured = top.add("metrics", metrics.show, of_app=False, report=True)
    measured.add_argument(
        "--textfile",
        action="append",
        default=[],
        metavar="DIRECTORY",
        help="write them for node_exporter: those of each app that declares this directory; may be repeated",
    )
    measured.add_argument(
        "--served", action="store_true", help="write them for Apache: those of each app that serves them over HTTP"
    )
    top.add("probe", show.probe)
    source = top.add("deploy", deploy.deploy)
    source.add_argument(
        "source", nargs="?", help="id of a source that is on the host; default: that of the live release"
    )
    back = top.add("rollback", rollback.rollback, plan=True)
    back.add_argument("release", nargs="?", help="a kept release that was live before; default: the previous one")
    back.add_argument("--force", action="store_true", help="roll back even past an irreversible release")
    share = top.add("canary", canary.canary, plan=True)
    share.add_argument(
        "canary", metavar="PERCENT", type=canary.percentage, help="percentage of the visitors, from 1 to 99"
    )
    share.add_argument("release", nargs="?", help="a kept release; default: the one in the idle pool")
    top.add("promote", canary.promote)
    top.add("abort", canary.abort)
    for name, function in (("maintenance", traffic.maintenance), ("drain", traffic.drain)):
        top.add(name, function).add_argument("state", choices=("on", "off"))
    command = top.add("run", shell.run)
    command.add_argument("--release", metavar="ID", help="a kept release; default: the live one, or the newest")
    command.add_argument(
        "command", nargs=argparse.REMAINDER, help="the command and its arguments, such as `-- flask routes`"
    )
    command = top.add("shell", shell.shell)
    command.add_argument("--release", metavar="ID", help="a kept release; default: the live one, or the newest")
    top.add("certificates", certificates.load, of_app=False)
    top.add("prune", cleanup.prune).add_argument(
        "--keep", type=int, metavar="N", help="number of releases to keep; default: flask_apache_keep_releases"
    )
    for_the_role(top)
    return top.parser


def for_the_role(top: Commands) -> None:
    """Add the commands that the role calls; their requests come on standard input."""
    top.listed = False
    top.add("inspect", inspect.inspect, of_app=False)
    top.add("reserve", inspect.reserve, of_app=False)
    top.add("await-packages", inspect.await_packages, of_app=False)
    top.add("apply", apply.apply, plan=True, of_app=False)
    top.add("remove", removal.remove, plan=True, of_app=False)
    top.add("fetch", deploy.fetch_source, of_app=False)
    command = top.add("prepare", deploy.prepare, plan=True, of_app=False)
    command.add_argument("source", help="id of a source")
    from_stdin = command.add_mutually_exclusive_group()
    from_stdin.add_argument("--request", action="store_true", help="read the declaration from standard input, as JSON")
    from_stdin.add_argument(
        "--index-urls",
        action="store_true",
        help="read the package indexes with credentials from standard input, as a JSON list",
    )
    for name, function in (("before-start", deploy.before_start), ("activate", deploy.activate)):
        command = top.add(name, function, plan=True)
        command.add_argument("release", help="id of a kept release")
        command.add_argument("--skip-once", action="store_true", help="skip the hooks that run on one host only")
        command.add_argument(
            "--declaration",
            default="",
            metavar="DIGEST",
            help="refuse to run unless this is the digest of the declaration",
        )
        command.add_argument(
            "--canary",
            type=canary.percentage,
            default=0,
            metavar="PERCENT",
            help="percentage of the visitors who get the release",
        )
    command = top.add("await-certificate", certificates.await_first, of_app=False)
    command.add_argument("seconds", type=float, help="how long to wait for it")
    top.add("serving", show.serving)
    top.add("shadow", apply.shadow, of_app=False).add_argument("copies", help="an empty directory")


def answer(options: argparse.Namespace) -> dict[str, Any]:
    """Carry out a command and return what is to be said of it."""
    if os.geteuid() != 0:
        raise RefusedError("flask-apachectl must run as root: use sudo")
    arguments: tuple[Any, ...] = (options,)
    if options.of_app:
        one = app.load_app(options.app)
        environments.conceal(one)  # what its own code prints may be told, also in the history
        arguments = (one, options)
    result: dict[str, Any] = options.function(*arguments)
    return result


def unforeseen(error: BaseException, options: argparse.Namespace) -> str:
    """Say in a sentence what ended a command that should not have ended so: what, where, and what is served."""
    own = [each for each in traceback.extract_tb(error.__traceback__) if "flask" in each.filename]
    where = f" ({own[-1].filename.rpartition('/')[2]}:{own[-1].lineno})" if own and type(error) not in EXPECTED else ""
    cause = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}".rstrip(": ")
    cause = report.without_secrets(cause)
    return f"{'out of memory' if isinstance(error, MemoryError) else cause}{at_step()}{where}{served(options)}"


def at_step() -> str:
    """Name the step that a command had reached."""
    return f", at the step `{report.last_step()}`" if report.last_step() else ""


def served(options: argparse.Namespace) -> str:
    """Say what visitors get, as far as that can be told."""
    with contextlib.suppress(Exception):
        return f"\n{routing.consequence(app.load_app(options.app))}"
    return ""


def told(message: str, options: argparse.Namespace) -> str:
    """Return a message without the app's secrets: it may contain what the app's own code has printed."""
    with contextlib.suppress(Exception):
        environments.conceal(app.load_app(options.app))
    return report.concealed(message)


def as_on_any_host() -> None:
    """Work alike whatever root's umask and language are: other programs' messages are read, and files made for all."""
    os.umask(0o022)
    os.environ.update(LC_ALL="C.UTF-8", LANGUAGE="")


def _end(number: int, _frame: FrameType | None) -> None:
    """Let a signal end the program as an exception does, so that what is open is closed."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["dependencies"]:  # as the build user, by the interpreter of the tools
        return locks.main(words[1])
    if words[:1] == ["fetch-as-build-user"]:
        print(json.dumps(fetch.as_build_user(json.load(sys.stdin))))
        return 0
    options = parser().parse_args(words)
    as_on_any_host()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    began = time.monotonic()
    try:
        result = answer(options)
    except RefusedError as error:
        result = {"failed": True, "msg": str(error)}
    except KeyboardInterrupt as error:
        result = {"failed": True, "msg": f"ended by {error or 'SIGINT'}{at_step()}{served(options)}"}
    except Exception as error:  # noqa: BLE001 - whatever happens is said in a sentence
        result = {"failed": True, "msg": unforeseen(error, options)}
    return say(result, options, time.monotonic() - began)


def say(result: dict[str, Any], options: argparse.Namespace, seconds: float) -> int:
    """Print a command's answer and return the exit code."""
    failed = bool(result.get("failed"))
    if failed and not options.report:
        result = {**result, "msg": told(str(result["msg"]), options)}
    if options.json:
        print(json.dumps({**result, "seconds": round(seconds, 2)}))
    elif failed and not (options.report and len(result) > len(("failed", "msg"))):
        print(f"flask-apachectl: {result['msg']}", file=sys.stderr)
    elif result["msg"]:
        print(result["msg"])
    return int(failed)
