"""Make the host have what was declared for an app: files, Apache's configuration, and what apps share."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from flask_apachectl import declaration, history, lock, paths, routing, slots
from flask_apachectl.apache import hardening, neighbours, others, proof, rotation, server, site, users
from flask_apachectl.app import read_json
from flask_apachectl.build import builders
from flask_apachectl.commands import request
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, owners, report
from flask_apachectl.host.desired import Change, Directory, File, Link
from flask_apachectl.serve import timers, units

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from flask_apachectl.app import App
    from flask_apachectl.commands.request import Request
    from flask_apachectl.declaration import Site
    from flask_apachectl.host.desired import Wanted

LOADED_TWICE = "/mods-enabled/md.load"  # the first time that mod_md is loaded, it takes that for a trial only
RESTARTS = ("wsgi.load", "flask_apache_wsgi.load")  # another mod_wsgi is loaded by a restart only


def apply(options: argparse.Namespace) -> dict[str, Any]:
    """Make the host have what was declared, and let Apache load it; with --plan only tell the difference."""
    wanted = _without_somebodys(request.of_json(request.read()))
    app = wanted.app
    if options.plan:
        wanted = _with_users(wanted, plan=True)
        steps = [*_apache_steps(wanted), *timers.wanted(_apps(wanted))]
        steps += users.unneeded(app.conf, wanted.users)
        changes = _changes([*wanted.directories, *wanted.files, _declaration(wanted), *steps])
        return _answer(app, changes, "would change")
    with history.attempt(app, "deploy", None), lock.held(app), lock.host_held():
        _expect_safe_logs(app)
        others.forget()
        wanted = _with_users(wanted)
        steps = _apache_steps(wanted)
        differing = _changes(steps)
        if differing:
            _prove(wanted, steps)
        changes = _changes([*wanted.directories, *wanted.files, _declaration(wanted)]) + differing
        changes += _changes(timers.wanted(_apps(wanted)))
        was_killed = _is_pending(app)
        if not rotation.is_diverted() and any(each.path == rotation.ROTATION for each in wanted.files):
            rotation.divert()
        make(wanted.directories)
        if changes:
            make([_declaration(wanted, pending=True)])
        replace_entry(app, wanted.files)
        make([*wanted.files, *steps])
        if builders.is_shared_one_unused():
            builders.remove_shared_one()
            changes.append(Change(f"the Unix user {paths.SHARED_BUILD_USER}", "present\n", ""))
        others.forget()
        loaded = _load(app, differing, was_killed=was_killed)
        unneeded = users.unneeded(app.conf, wanted.users)  # what Apache had loaded may have needed it
        changes += _changes(unneeded)
        make(unneeded)
        started = timers.install(_apps(wanted))
        make([_declaration(wanted)])
    answer = _answer(app, changes, "changed")
    if loaded and not changes:
        answer["msg"] = "Apache had not loaded its configuration; it has now"
    elif started and not changes:
        answer["msg"] = f"started {' and '.join(started)}"
    return {**answer, "changed": bool(changes) or loaded or bool(started), "reloaded": loaded}


def _without_somebodys(wanted: Request) -> Request:
    """Return a request without the files that somebody has replaced by their own."""
    kept = [each for each in wanted.files if each.path != rotation.ROTATION or not rotation.is_somebodys(each.content)]
    if len(kept) < len(wanted.files):
        report.say(f"keep    {rotation.ROTATION}, which somebody has changed: a reload there ends long requests")
    return replace(wanted, files=tuple(kept))


def _with_users(wanted: Request, *, plan: bool = False) -> Request:
    """Return a request with the files of its users' passwords. Apache reads them whenever it is asked."""
    return replace(wanted, files=(*wanted.files, *users.files(wanted.users, plan=plan)))


def make(things: Iterable[Wanted]) -> None:
    """Make those things so that differ, in order."""
    for each in things:
        if desired.difference(each):
            desired.make(each)


def _expect_safe_logs(app: App) -> None:
    """Refuse log files that the app, or somebody else, could replace by a link: root opens them."""
    for path in {app.site.access_log, app.site.error_log} - {paths.JOURNAL}:
        if why := owners.not_only_root(path, [app.site.user]):
            raise RefusedError(f"the log {path} must be a path that only root can change: {why}")


def _apps(wanted: Request) -> dict[str, Site]:
    """Return all apps of the host, with the app as it is declared now."""
    return {**site.sites(but=wanted.app.name), wanted.app.name: wanted.app.site}


def _apache_steps(wanted: Request) -> list[Wanted]:
    """Return what Apache's configuration is to be."""
    return site.wanted(_apps(wanted), wanted.app.name, wanted.apache)


def replace_entry(app: App, wanted: Iterable[File]) -> None:
    """Replace the entry script if it differs. Processes that loaded another one are outdated: so also after a kill."""
    for each in wanted:
        if each.path == app.conf / "entry.wsgi" and desired.difference(each):
            _renew(app)
            desired.make(each)
            _renew(app)


def _declaration(wanted: Request, *, pending: bool = False) -> File:
    """Return the file of the declaration, which lists all of the app's own that is installed.

    While it is ``pending`` it has no digest: other apps see what is declared, and the next run applies all of it.

    The engine is the host's: a run for another app may have installed a newer one.
    """
    app = wanted.app
    things = [*wanted.directories, *wanted.files, *site.own(app.name, _apps(wanted), wanted.apache)]
    others_too = (paths.ENGINE, paths.APACHE / "sites-enabled" / site.STOCK)
    kept = {
        "format": declaration.FORMAT,
        "app": app.name,
        "site": asdict(app.site),
        "spec": asdict(app.spec),
        "salt": wanted.salt,
        "digest": "" if pending else wanted.digest,
        "installed": [described(each) for each in things if each.path not in others_too],
    }
    text = json.dumps(kept, indent=2, ensure_ascii=False) + "\n"
    return File(app.conf / "app.json", text.encode(), mode=0o640)


def _is_pending(app: App) -> bool:
    """Tell whether the last run was killed before all that it declared was installed and loaded."""
    try:
        kept = read_json(app.conf / "app.json")
    except (declaration.DamagedError, FileNotFoundError):
        return False
    return isinstance(kept, dict) and kept.get("digest") == ""


def described(thing: Wanted) -> dict[str, Any]:
    """Return what tells later whether a thing is still as it was installed."""
    found = desired.to_json(thing) if not isinstance(thing, File) else {"path": str(thing.path), "group": thing.group}
    if isinstance(thing, File):
        found |= {"mode": f"{thing.mode:04o}", "sha256": hashlib.sha256(thing.content).hexdigest()}
    return found


def differs(kept: dict[str, Any]) -> bool:
    """Tell whether a thing is not as it was installed."""
    if "sha256" not in kept:
        return desired.difference(desired.of_json(kept)) is not None
    path = Path(kept["path"])
    try:
        content = b"" if path.is_symlink() else path.read_bytes()
    except OSError:
        return True
    whole = hashlib.sha256(content).hexdigest() == kept["sha256"] and not path.is_symlink()
    return not whole or desired.difference(File(path, content, kept["group"], int(kept["mode"], 8))) is not None


def _changes(things: Iterable[Wanted]) -> list[Change]:
    return [change for change in map(desired.difference, things) if change]


def _prove(wanted: Request, steps: Sequence[Wanted]) -> None:
    """Prove Apache's new configuration, and that other people's sites keep all their visitors."""
    try:
        after = proof.prove(steps, hardening.limits(_apps(wanted)))
        before = others.everything()
        if before == others.BARE:  # it could not be read, and what is new has been proved
            before = after
        taken = list(neighbours.conflicts(before, after, _apps(wanted).values()))
        if taken:
            problems = "\n".join(f"  {problem}" for problem in taken)
            remedy = "Set another server name, alias or port, or change that site."
            raise RefusedError(  # noqa: TRY301
                f"Apache's new configuration does not go together with what other sites serve:\n{problems}\n{remedy}"
            )
    except RefusedError as failure:
        consequence = routing.consequence(wanted.app)
        raise RefusedError(f"{failure}\nNone of it has been installed. {consequence}") from None


def _renew(app: App) -> None:
    """Let the daemon processes that loaded another entry script be outdated."""
    for slot in paths.SLOTS:
        if (app.home / slot).exists():
            slots.assign(app, slot, (app.home / slot).resolve())


def expected_digest(app: App) -> str:
    """Return the digest of the app's configuration on disk, which Apache is to have loaded."""
    path = site.fragments().get(app.name)
    text = path.read_text(encoding="utf-8", errors="replace") if path else ""
    found = re.search(r'X-Flask-Apache-Configuration "\S+ ([0-9a-f]+)"', text)
    return found[1] if found else ""


def expect_declaration(app: App, digest: str) -> None:
    """Raise RefusedError when another run has declared the app after this one did, and Apache serves that."""
    if digest and read_json(app.conf / "app.json").get("digest") != digest:
        raise RefusedError(
            f"another run has changed the declaration of {app.name}: nothing was activated; run the play again. "
            f"{routing.consequence(app)}"
        )
    if server.pid() is not None and app.site.manage_service:
        loaded = server.loaded(app)
        if loaded != expected_digest(app):
            raise RefusedError(
                f"Apache has not loaded {app.name}'s configuration: run the role, or see `apache2ctl -S`. "
                f"{routing.consequence(app)}"
            )


def _load(app: App, differing: Sequence[Change], *, was_killed: bool) -> bool:
    """Let a running Apache load what it has not loaded; tell whether it did."""
    digest = expected_digest(app)
    unit = hardening.concerns_unit(differing)
    if unit:
        units.systemctl("daemon-reload")
    if server.pid() is None or not app.site.manage_service:
        return False
    if not differing and not was_killed and server.loaded(app) == digest:
        return False
    other = any(change.path.endswith(RESTARTS) for change in differing) and not server.has_wanted_module()
    limited = unit and (_is_changed_at_once() or _serves_nobody(app))
    if unit and not limited:
        report.say("keep    Apache running: its sandbox changes when it starts next (`systemctl restart apache2`)")
    restart = other or limited
    try:
        server.load(app, digest, restart=restart)
    except RefusedError as failure:
        if limited and server.pid() is None:
            _start_as_before(failure, differing)
        raise
    if not restart and any(change.path.endswith(LOADED_TWICE) for change in differing):
        server.load(app, digest, restart=False)
    return True


def _start_as_before(failure: RefusedError, differing: Sequence[Change]) -> NoReturn:
    """Start Apache with the limits that it had before, as it does not start with the new ones. Raises RefusedError."""
    hardening.restore(differing)
    units.systemctl("daemon-reload")
    server.reload("start")
    raise RefusedError(
        f"{failure}\nIt does not start in its sandbox, and runs as before: name what it writes to in "
        "flask_apache_sandbox_writable, or set flask_apache_sandbox to none (docs/hardening.md)"
    ) from None


def _is_changed_at_once() -> bool:
    """Tell whether Apache restarts for its sandbox: it has one that the apps need to be another, or to be gone.

    Where it goes because of other people's sites, it is not worth an interruption to them.
    """
    return hardening.is_in_effect(server.pid()) and ((paths.UNITS / hardening.DROP_IN).exists() or others.are_none())


def _serves_nobody(app: App) -> bool:
    """Tell whether a restart of Apache disturbs nobody: this is the first deploy of the only app, and all there is."""
    is_only = site.fragments().keys() <= {app.name}
    return is_only and routing.slot_release(app, routing.live_slot(app)) is None and others.are_none()


def _answer(app: App, changes: Sequence[Change], verb: str) -> dict[str, Any]:
    """Return what the command says. The units' files are shown here, and installed when their release goes live."""
    paths_changed = [change.path for change in changes]
    return {
        "changed": bool(changes),
        "paths": paths_changed,
        "diff": [change.shown() for change in [*changes, *units.differences(app)]],
        "msg": f"{app.name}: {verb} {', '.join(paths_changed)}" if changes else f"{app.name}: nothing to change",
    }


def shadow(options: argparse.Namespace) -> dict[str, Any]:
    """Start Apache aside: part of a proof."""
    if os.getpid() != 1:
        raise RefusedError("this is a part of a proof, which runs it where it touches nothing")
    asked = json.load(sys.stdin)
    wanted = [desired.of_json(each) for each in asked["wanted"]]
    limits = hardening.Limits(*asked["limits"]) if asked["limits"] else None
    things = [each for each in wanted if isinstance(each, (Directory, File, Link))]
    found = proof.shadow(things, Path(options.copies), limits)
    return {"msg": "it starts", "listing": asdict(found)}
