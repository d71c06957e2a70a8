"""Remove an app: take it out of Apache, end what it runs, and remove its files; with the last one, all the rest."""

from __future__ import annotations

import contextlib
import pwd
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl import app as apps
from flask_apachectl import lock, paths
from flask_apachectl.apache import hardening, others, proof, rotation, server, site
from flask_apachectl.build import builders
from flask_apachectl.commands import apply, request
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, files
from flask_apachectl.serve import pools, timers, units

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from flask_apachectl.app import App

CERTIFICATES = Path("/usr/local/share/ca-certificates")
COMPLETION = Path("/usr/share/bash-completion/completions/flask-apachectl")


def remove(options: argparse.Namespace) -> dict[str, Any]:
    """Remove the app; with --plan only tell what would be. The request says its ``user``, and ``data`` to remove it."""
    asked = request.read()
    app = _app(options.app, str(asked["user"]))
    with contextlib.ExitStack() as stack:
        if not options.plan:
            if app.home.is_dir():
                stack.enter_context(lock.held(app))
            stack.enter_context(lock.host_held())
        others.forget()
        left = site.sites(but=app.name) if paths.APACHE.is_dir() else {}
        steps = site.wanted(left, app.name, None) if paths.APACHE.is_dir() else []
        differing = [change for change in map(desired.difference, steps) if change]
        collected = [change for change in map(desired.difference, timers.wanted(left)) if change]
        ending = units.running(app, all_of_them=True) if paths.SYSTEMD.is_dir() else []
        processes = pools.own_processes(app)
        last = is_last(app)
        doomed = [path for path in traces(app, last=last, data=asked["data"]) if path.exists() or path.is_symlink()]
        gone = [*(change.path for change in [*differing, *collected]), *ending, *map(str, doomed)]
        diff = [change.shown() for change in [*differing, *collected]]
        if options.plan:
            verb = "would remove" if gone or processes else "there is nothing to remove of"
            return {"changed": bool(gone or processes), "paths": gone, "diff": diff, "msg": f"{verb} {app.name}"}
        if differing:
            proof.prove(steps, hardening.limits(left))
            apply.make(steps)
            others.forget()
        if hardening.concerns_unit(differing):
            units.systemctl("daemon-reload")
        if (differing or pools.daemon_processes(app)) and server.pid() is not None:
            ends = not left and hardening.is_in_effect(server.pid()) and others.are_none()
            server.load(app, "", restart=ends)
        pools.end_all(app)
        timers.install(left)
        _remove_files(app, doomed, last=last, data=asked["data"])
    return {"changed": bool(gone or processes), "paths": gone, "diff": diff, "msg": f"removed {app.name}"}


def _app(name: str, user: str) -> App:
    """Return the app to remove; when its declaration is damaged, what can be known of it."""
    try:
        return apps.load_app(name)
    except RefusedError:
        made = next((entry.pw_name for entry in pwd.getpwall() if entry.pw_dir == str(paths.VAR_LIB / name)), user)
        return apps.unknown(name, made)


def is_last(app: App) -> bool:
    """Tell whether no other app is on this host, nor has begun its first deploy."""
    return not [path for path in paths.ETC.glob("[a-z]*") if path.is_dir() and path.name not in (app.name, "vhosts")]


def traces(app: App, *, last: bool, data: bool) -> list[Path]:
    """Return what was made for the app, and with the last one for all; what declared it comes last."""
    found = [*units.outdated_files(replace(app, spec=replace(app.spec, units={})))]
    found += [paths.UNITS / f"multi-user.target.wants/flask-apache-{app.name}.target"]
    found += [app.home, paths.VAR_LOG / app.name, paths.CACHE / app.name]
    found += [Path(f"/etc/tmpfiles.d/flask-apache-{app.name}.conf")]
    found += [app.data] if data else []
    if last:
        for directory in (paths.SRV, paths.RUN, paths.VAR_LOG, paths.CACHE, paths.LIB):
            found += _whole(directory)
        found += [COMPLETION]
        found += sorted(CERTIFICATES.glob("flask-apache-*.crt"))
        gone = (app.data, files.doomed(app.data)) if data else ()
        found += [] if set(paths.VAR_LIB.glob("*")) - set(gone) else [paths.VAR_LIB]
    found += [app.conf, *([paths.ENGINE, *_whole(paths.ETC)] if last else [])]
    return [*map(files.doomed, found), *found]  # those of a removal that was killed come first


def _whole(directory: Path) -> list[Path]:
    """Return a directory, or what is in it where it is a link: that is the administrator's, and stays."""
    is_link = directory.is_symlink() and directory.is_dir()
    return sorted(directory.iterdir()) if is_link else [directory]


def _remove_files(app: App, doomed: Sequence[Path], *, last: bool, data: bool) -> None:
    """Remove an app's files and users. What declares it goes last, so that a killed removal can be run again."""
    declarations = [path for path in doomed if path in (app.conf, paths.ENGINE, paths.ETC)]
    certificates = [path for path in doomed if path.parent == CERTIFICATES]
    for path in doomed:
        if path not in declarations:
            files.remove(path)
    if any(path.is_relative_to(paths.UNITS) for path in doomed) and paths.SYSTEMD.is_dir():
        units.systemctl("daemon-reload")
    if last:
        rotation.give_back()
        if certificates:
            subprocess.run(["update-ca-certificates"], check=True, capture_output=True)
    _remove_users(app, last=last, data=data)
    for path in declarations:
        files.remove(path)


def _remove_users(app: App, *, last: bool, data: bool) -> None:
    """Remove the users that were made; data that stays keeps its owner, as another user could get that number."""
    made = [entry.pw_name for entry in pwd.getpwall() if entry.pw_dir == str(paths.VAR_LIB / app.name)]
    for name in made if data else []:
        builders.remove_user(name)
    builders.remove(app.name)
    if last or builders.is_shared_one_unused():
        builders.remove_shared_one()
