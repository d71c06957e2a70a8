"""Make the release of a shipped source, complete and checked, beside the live one."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import time
from typing import TYPE_CHECKING, Any

from flask_apachectl import environments, history, interpreter, paths, releases, routing, slots
from flask_apachectl.apache import server
from flask_apachectl.build import environment, staging, static
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, programs, report
from flask_apachectl.serve import hooks, start

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App

ABANDONED = 3600 * 10**9  # nanoseconds after which a shipped source that no run has used is one of a killed run


def prepare(app: App, source: str) -> dict[str, Any]:
    """Make the release of a shipped source, complete and checked, beside the live one."""
    group = grp.getgrnam(app.config["user"]).gr_gid
    make_slots(app, group)
    release = releases.wanted_release(app, source)
    directory = app.releases / release
    staging.make_data_directories(app)
    partial = app.releases / f".{release}.partial"
    made = (directory / "release.json").exists()
    changed = not made or not environment.is_complete((directory / "venv").resolve())
    venvs = set(app.venvs.iterdir())
    try:
        if not made:
            make_release(app, source, release, partial, group)
            files.remove(directory)
            partial.rename(directory)
            files.sync_directory(app.releases)
        elif changed:  # it may be live: its directory stays where it is
            files.replace_link(directory / "venv", environment.build(app, source, directory, group))
            check(app, release, directory)
    except BaseException as error:
        for unfinished in (
            partial,
            *(path for path in set(app.venvs.iterdir()) - venvs if not environment.is_complete(path)),
        ):
            files.remove(unfinished)
        if isinstance(error, OSError):
            raise RefusedError(f"release {release} cannot be made: {error}\n{routing.consequence(app)}") from None
        raise
    if made and environments.of_release(app, release) != environments.wanted(
        app
    ):  # its secrets were replaced meanwhile
        environments.assign(app, release, environments.wanted(app))
        changed = True
    if releases.is_irreversible(app, release) != app.config.get("irreversible", False):
        changed = True
        mark = directory / "irreversible"
        mark.unlink() if mark.exists() else mark.touch(mode=0o640)
    clear_incoming(app, source)
    return {"changed": changed, "release": release}


def clear_incoming(app: App, source: str) -> None:
    """Remove the archive of a source that is a release now, and those of killed runs; others are still to be used."""
    for archive in (app.home / "incoming").iterdir():
        if archive.name == f"{source}.tar.gz" or time.time_ns() - archive.stat().st_mtime_ns > ABANDONED:
            archive.unlink()


def make_release(app: App, source: str, release: str, partial: Path, group: int) -> None:
    """Stage, build and check a release in a directory of its own."""
    staging.stage(app, source, partial)
    staging.link_data(app, partial / "app")
    venv = environment.build(app, source, partial, group)
    (partial / "venv").symlink_to(os.path.relpath(venv, partial))
    describe(app, release, partial, group)
    static.publish(app, release, partial)
    hooks.before_check(app, partial)
    check(app, release, partial)


def make_slots(app: App, group: int) -> None:
    """Make the app's places, and give each slot without a release a virtual environment that runs nothing."""
    for path, mode in ((app.releases, paths.ON_APACHES_WAY), (app.venvs, paths.READABLE_TO_THE_APP)):
        path.mkdir(exist_ok=True)
        path.chmod(mode)
        os.chown(path, 0, group)
    for slot in paths.SLOTS:
        empty = app.home / "empty" / slot
        if not (empty / "venv/pyvenv.cfg").exists():
            files.remove(empty)
            (empty / "app").mkdir(parents=True)
            subprocess.run([app.config["python"], "-m", "venv", "--without-pip", empty / "venv"], check=True)
            files.set_ownership(empty, group)
        if not (app.home / slot).exists():
            slots.assign(app, slot, empty)
    if routing.live_slot(app) is None:  # the first time, or the map is damaged
        was_live = history.last_live(history.read(app), None, releases.complete(app))
        routing.switch(
            app,
            next(
                (slot for slot in paths.SLOTS if was_live and routing.slot_release(app, slot) == was_live),
                paths.SLOTS[0],
            ),
        )
    if routing.live_slot(app) not in app.slots:  # the strategy is rolling now: the pool that serves will be gone
        release = routing.live_release(app)
        if server.pid() is None:
            slots.assign(app, paths.SLOTS[0], app.releases / release)
        else:
            start.start(app, paths.SLOTS[0], release)
        routing.switch(app, paths.SLOTS[0])


def describe(app: App, release: str, partial: Path, group: int) -> None:
    """Compile the source to byte code, and snapshot what the release runs with."""
    compileall = ["-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(partial / "app")]
    subprocess.run(["nice", app.config["python"], *compileall], check=False, stdout=subprocess.DEVNULL)
    files.set_ownership(partial / "app", group)
    files.write(partial / "env", json.dumps(environments.wanted(app)), mode=0o640, group=group)
    description = {
        "id": release,
        "app": app.name,
        "wsgi": app.config["wsgi"],
        "python": interpreter.version(app),
        "data": str(app.data),
        "made": report.timestamp(),
    }
    files.write(partial / "release.json", json.dumps(description), mode=0o640, group=group)


def check(app: App, release: str, partial: Path) -> None:
    """Import the app as its own user, aside."""
    report.say(f"check   {release}")
    user = pwd.getpwnam(app.config["user"])
    command = [f"{partial}/venv/bin/python", str(app.conf / "entry.wsgi")]
    try:
        seconds = app.config["health_timeout"]
        programs.run(command, user.pw_name, user.pw_gid, home=app.data, cwd=partial / "app", seconds=seconds)
    except RefusedError as failure:
        cause = str(failure).replace(f"{partial}/app/", "")
        raise RefusedError(
            f"{app.config['wsgi']} of release {release} cannot be loaded:\n{cause}\n"
            f"{routing.consequence(app)} Correct the app, flask_apache_requirements or flask_apache_wsgi, then deploy "
            "again."
        ) from None
