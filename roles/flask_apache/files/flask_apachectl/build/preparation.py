"""Make the release of a shipped source, complete and checked, beside the live one."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flask_apachectl import causes, environments, interpreter, paths, releases, routing, slots, venvs, wheelhouses
from flask_apachectl.apache import server
from flask_apachectl.build import environment, staging, static
from flask_apachectl.errors import FailedProgramError, RefusedError
from flask_apachectl.host import files, manifest, programs, report
from flask_apachectl.serve import hooks, start

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App

ABANDONED = 3600 * 10**9  # nanoseconds after which a shipped source that no run has used is one of a killed run


def prepare(app: App, source: str) -> dict[str, Any]:
    """Make the release of a shipped source, complete and checked, beside the live one."""
    group = grp.getgrnam(app.site.user).gr_gid
    healed = make_slots(app, group) | bool(environments.damaged(app)) | bool(wheelhouses.damaged(app))
    environment.wheelhouse(app, group)
    release = wanted_release(app, source)
    staging.make_data_directories(app)
    directory, before = app.releases / release, set(app.venvs.iterdir())
    outdated = is_of_another_python(app, release)
    changed = outdated or not is_whole(app, release)
    try:
        if outdated:
            rebuild_environment(app, source, release, group)
        elif changed:
            make_release(app, source, release, group)
    except BaseException as error:
        for path in set(app.venvs.iterdir()) - before:
            if not venvs.is_complete(path):
                files.remove(path)
        files.remove(app.releases / f".{release}.partial")
        if isinstance(error, OSError):
            raise RefusedError(f"release {release} cannot be made: {error}\n{routing.consequence(app)}") from None
        raise
    changed |= healed
    if environments.of_release(app, release) != environments.wanted(app):  # its secrets were replaced meanwhile
        environments.replace(app, release, environments.wanted(app))
        changed = True
    if releases.is_irreversible(app, release) != app.spec.irreversible:
        changed = True
        mark = directory / "irreversible"
        mark.unlink() if mark.exists() else mark.touch(mode=0o640)
    if changed:
        files.sync_filesystem(app.releases)
    clear_incoming(app, source)
    return {"changed": changed, "release": release}


def wanted_release(app: App, source: str) -> str:
    """Return the id of the release to make: another one than the live release when that is damaged."""
    release = releases.wanted_release(app, source)
    if release == routing.slot_release(app, routing.live_slot(app)) and releases.damaged_files(app, release):
        return releases.other_id(app, source, release)
    return release


def is_whole(app: App, release: str) -> bool:
    """Tell whether a release is as it was made, and the host's interpreter runs it."""
    venv = (app.releases / release / "venv").resolve()
    return not releases.damaged_files(app, release) and venvs.is_whole(venv, interpreter.version(app))


def is_of_another_python(app: App, release: str) -> bool:
    """Tell whether all that a release lacks is an environment of the interpreter that the host has now."""
    venv = (app.releases / release / "venv").resolve()
    return not releases.damaged_files(app, release) and venvs.python_of(venv) != interpreter.version(app)


def rebuild_environment(app: App, source: str, release: str, group: int) -> None:
    """Give a release, which may be live, an environment of the host's interpreter: its id is the same on all hosts."""
    directory = app.releases / release
    files.replace_link(directory / "venv", environment.build(app, source, directory, group))
    check(app, release, directory)
    seal(app, release, directory, group)
    for slot in paths.SLOTS:
        if routing.slot_release(app, slot) == release:
            slots.assign(app, slot, directory)  # what runs there is outdated


def clear_incoming(app: App, source: str) -> None:
    """Remove the archive of a source that is a release now, and those of killed runs; others are still to be used."""
    for archive in (app.home / "incoming").iterdir():
        if archive.name == f"{source}.tar.gz" or time.time_ns() - archive.stat().st_mtime_ns > ABANDONED:
            archive.unlink()


def make_release(app: App, source: str, release: str, group: int) -> None:
    """Stage, build and check a release in a directory of its own, and put it in its place."""
    partial = app.releases / f".{release}.partial"
    staging.stage(app, source, partial)
    staging.link_data(app, partial / "app")
    venv = environment.build(app, source, partial, group)
    (partial / "venv").symlink_to(os.path.relpath(venv, partial))
    describe(app, release, partial, group)
    static.publish(app, release, partial)
    hooks.before_check(app, partial)
    check(app, release, partial)
    seal(app, release, partial, group)
    if (app.releases / release).exists():
        start.discard(app, release)
    partial.rename(app.releases / release)
    files.sync_directory(app.releases)


def make_slots(app: App, group: int) -> bool:
    """Make the app's places, and give each slot without a release a virtual environment that runs nothing.

    Tells whether any of it was missing or damaged.
    """
    changed = False
    for path, mode in ((app.releases, paths.ON_APACHES_WAY), (app.venvs, paths.READABLE_TO_THE_APP)):
        path.mkdir(exist_ok=True)
        path.chmod(mode)
        os.chown(path, 0, group)
    for slot in paths.SLOTS:
        if venvs.damage(slots.empty(app, slot) / "venv"):
            make_empty(app, slot, group)
            changed = True
        changed |= repair_slot(app, slot)
    if routing.live_slot(app) is None:  # the first time, or the map is damaged
        was_live = slots.remembered(app)
        named = [slot for slot in paths.SLOTS if was_live and routing.slot_release(app, slot) == was_live]
        routing.switch(app, next(iter(named), paths.SLOTS[0]))
        changed = True
    elif routing.damaged(app):
        routing.write(app, routing.read(app))
        changed = True
    if routing.live_slot(app) not in app.slots:  # the strategy is rolling now: the pool that serves will be gone
        release = routing.live_release(app)
        if server.pid() is None:
            slots.assign(app, paths.SLOTS[0], app.releases / release)
        else:
            start.start(app, paths.SLOTS[0], release)
        routing.switch(app, paths.SLOTS[0])
        changed = True
    return changed


def make_empty(app: App, slot: str, group: int) -> None:
    """Make the directory that a slot without a release names."""
    empty = slots.empty(app, slot)
    files.remove(empty)
    (empty / "app").mkdir(parents=True)
    command = [app.spec.python, "-I", "-m", "venv", "--without-pip", str(empty / "venv")]
    subprocess.run(command, check=True, cwd="/")
    files.set_ownership(empty, group)
    venvs.seal(empty / "venv", interpreter.version(app), group)


def repair_slot(app: App, slot: str) -> bool:
    """Repair a slot's damaged link, to what it named or to nothing, and its date; tell whether it was damaged."""
    remembered = slots.remembered(app) if slot == routing.live_slot(app) else None
    target = app.releases / remembered if remembered else slots.empty(app, slot)
    if not slots.is_sound(app, slot):
        if remembered and slots.is_dated(app, slot):  # its processes run that all the time
            files.replace_link(app.home / slot, target)
        else:
            slots.assign(app, slot, target)
    elif not slots.is_dated(app, slot):  # how old its processes are cannot be told: they are replaced
        slots.assign(app, slot, (app.home / slot).resolve())
    else:
        return False
    return True


def describe(app: App, release: str, partial: Path, group: int) -> None:
    """Compile the source to byte code, and snapshot what the release runs with."""
    compileall = ["-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(partial / "app")]
    subprocess.run(["nice", app.spec.python, *compileall], check=False, cwd="/", stdout=subprocess.DEVNULL)
    files.set_ownership(partial / "app", group)
    files.write(partial / "env", json.dumps(environments.wanted(app)), mode=0o640, group=group)
    entry = {"id": release, "app": app.name, "wsgi": app.spec.wsgi, "data": str(app.data), "made": report.timestamp()}
    files.write(partial / "entry.json", json.dumps(entry), mode=0o640, group=group)


def seal(app: App, release: str, partial: Path, group: int) -> None:
    """Write the release's manifest: what it is judged by, and what tells whether its files are whole."""
    kept = {
        "id": release,
        "made": report.timestamp(),
        "spec": asdict(app.spec),
        "files": manifest.of(partial, ["app", "public", "venv", "entry.json", "locked.txt"]),
    }
    files.write(partial / "release.json", json.dumps(kept), mode=0o640, group=group)


def check(app: App, release: str, partial: Path) -> None:
    """Import the app as its own user, aside."""
    report.say(f"check   {release}")
    user = pwd.getpwnam(app.site.user)
    command = [f"{partial}/venv/bin/python", str(app.conf / "entry.wsgi")]
    try:
        seconds = app.spec.health_timeout
        programs.run(command, user.pw_name, user.pw_gid, home=app.data, cwd=partial / "app", seconds=seconds)
    except FailedProgramError as failure:
        cause = str(failure).replace(f"{partial}/app/", "")
        known = causes.of_app(failure.output)
        between = "\n" if known else " "
        remedy = known or "Correct the app, flask_apache_requirements or flask_apache_wsgi, then deploy again."
        raise RefusedError(
            f"{app.spec.wsgi} of release {release} cannot be loaded:\n{cause}\n"
            f"{routing.consequence(app)}{between}{remedy}"
        ) from None
