"""The app's own commands at points of a deploy."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from flask_apachectl import causes, environments, interpreter, routing
from flask_apachectl.apache import server
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, programs, report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flask_apachectl.app import App
    from flask_apachectl.declaration import Hook


def declared(app: App, at: str, *, skip_once: bool) -> list[Hook]:
    """Return the declared hooks at a point of the deploy; those for one host of many unless another one runs them."""
    return [hook for hook in app.spec.hooks if hook.at == at and not (hook.once and skip_once)]


def run_hooks(app: App, at: str, release: str, *, skip_once: bool) -> None:
    """Run hooks in a release: as the app's user, in its directory, environment and virtual environment.

    Raises RefusedError with the end of the output of the first one that fails or takes too long.
    """
    hooks = declared(app, at, skip_once=skip_once)
    if hooks:
        environments.conceal(app)
    for hook in hooks:
        command = programs.split(hook.run)
        report.say(f"hook    {at}: {shlex.join(command)}")
        failure, output = carry_out(app, release, command, hook.timeout)
        if failure:
            told = (
                (
                    f"hook {at} of release {release.removeprefix('.').removesuffix('.partial')}: "
                    f"`{shlex.join(command)}` {failure}"
                ),
                report.tail(report.concealed(output)),
                causes.of_app(output),
            )
            raise RefusedError("\n".join(filter(None, told)))


def before_check(app: App, partial: Path) -> None:
    """Run the hooks that make what the app's import needs, such as keys: on every host, also for an image."""
    try:
        run_hooks(app, "before_check", partial.name, skip_once=False)
    except RefusedError as failure:
        raise RefusedError(f"{failure}\n{routing.consequence(app)}") from None


def carry_out(app: App, release: str, command: Sequence[str], seconds: float) -> tuple[str, str]:
    """Run a command as the app, showing what it prints. Returns what went wrong, if anything, and the output.

    What is shown, line by line, does not have the app's secrets.

    It ends with this program, even if that is killed: a second one must not run beside it.
    """
    user = pwd.getpwnam(app.site.user)
    deadline, output, shown = time.monotonic() + seconds, "", 0
    with tempfile.NamedTemporaryFile() as file, open(file.name, encoding="utf-8", errors="replace") as reader:
        process = subprocess.Popen(
            ["/usr/bin/setpriv", "--pdeathsig", "KILL", *interpreter.entry(app, release), *command],
            cwd=app.releases / release / "app",
            env=interpreter.environment_of_commands(app),
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=os.getgrouplist(user.pw_name, user.pw_gid),
            umask=interpreter.umask(app),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
        try:
            while True:
                code = process.poll()
                output += reader.read()
                whole = len(output) if code is not None else output.rfind("\n", shown) + 1 or shown
                sys.stderr.write(report.concealed(output[shown:whole]))
                shown = whole
                if code is not None:
                    return (f"ended with {code}" if code else ""), output
                if time.monotonic() > deadline:
                    return f"did not finish within {seconds} s", output
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def before_start(app: App, release: str, *, skip_once: bool) -> bool:
    """Run the hooks before a release's first start, unless visitors get it already; tell whether there were any.

    An image that is being built has neither visitors nor a database: no hook runs in it.
    """
    routes = routing.read(app)
    has_visitors = release in (
        routing.slot_release(app, routes.live or None),
        routing.slot_release(app, routes.canary or None),
    )
    if has_visitors or not declared(app, "before_start", skip_once=skip_once):
        return False
    if server.pid() is None:
        server.expect_none(app)
        return False
    try:
        run_hooks(app, "before_start", release, skip_once=skip_once)
    except RefusedError as failure:
        raise RefusedError(f"{failure}\n{routing.consequence(app)}") from None
    return True


def before_switch(app: App, release: str, action: str, *, skip_once: bool) -> None:
    """Run the hooks before a deployed release's visitors, and note that those after its switch are to follow."""
    if action == "deploy":
        run_hooks(app, "before_switch", release, skip_once=skip_once)
    if action != "rollback" and declared(app, "after_switch", skip_once=skip_once):
        files.write(app.waiting, release)


def after_switch(app: App, *, skip_once: bool) -> bool:
    """Run the hooks that wait for the live release; tell whether there were any. They still wait when one fails."""
    if not app.waiting.exists():
        return False
    release = routing.live_release(app)
    waits = waiting_for(app)
    ran = waits == release and server.pid() is not None
    if ran:
        try:
            run_hooks(app, "after_switch", release, skip_once=skip_once)
        except RefusedError as failure:
            advice = f"{release} stays live; the next deploy runs its after_switch hooks again."
            raise RefusedError(f"{failure}\n{advice}") from None
    app.waiting.unlink()
    files.sync_directory(app.home)  # or they would run again after a power cut
    return ran


def waiting_for(app: App) -> str:
    """Return the release whose hooks after its switch wait: the live one, if the file does not say which."""
    text = app.waiting.read_bytes().decode(errors="replace")
    is_known = re.fullmatch(r"[\w.-]{1,100}", text) and (app.releases / text / "app").is_dir()
    return text if is_known else routing.live_release(app)
