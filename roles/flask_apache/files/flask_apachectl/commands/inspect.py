"""Describe the host and the app on it, for the control node. Reads only; also where nothing is installed yet."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl import app as apps
from flask_apachectl import environments, history, lock, paths, releases, routing, slots, venvs, wheelhouses
from flask_apachectl.apache import certificates, others, server, site
from flask_apachectl.build import builders
from flask_apachectl.commands import apply
from flask_apachectl.declaration import DamagedError
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import apt, desired, facts, owners, sockets
from flask_apachectl.serve import hooks, timers, units

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from flask_apachectl.app import App

PYTHON_APT = "python3-apt"  # Ansible's module `apt` needs it, and installs it when it is missing
APP_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


def inspect(_options: argparse.Namespace) -> dict[str, Any]:
    """Answer all that a run needs to know of the host.

    The question is a JSON object on standard input: ``app``, ``user``, ``python`` (interpreter), ``packages`` (names),
    ``calendars`` (of timers), ``logs`` (paths), ``tls`` (paths of a certificate, its chain and its key), ``textfile``
    (a directory for metrics).
    """
    question = json.load(sys.stdin)
    name = question["app"] if APP_NAME.fullmatch(str(question["app"])) else "-"
    distribution, version = facts.distribution()
    found = facts.packages([*question["packages"], PYTHON_APT])
    known = declared_apps()
    users = [str(question["user"]), *(str(each["user"]) for each in known)]
    return {
        "changed": False,
        "msg": f"{distribution} {version}",
        "root": os.geteuid() == 0,
        "distribution": distribution,
        "distribution_version": version,
        "systemd": paths.SYSTEMD.is_dir(),
        "apache_installed": shutil.which("apache2", path="/usr/sbin") is not None,
        "apache_running": server.pid() is not None,
        "apache_enabled": (paths.UNITS / "multi-user.target.wants/apache2.service").exists(),
        "packages_missing": [package for package in question["packages"] if package not in found],
        "python_apt": PYTHON_APT in found,
        "mod_wsgi_package": found.get("libapache2-mod-wsgi-py3"),
        "python": facts.interpreter(str(question["python"])),
        "distribution_python": facts.interpreter("/usr/bin/python3"),
        "listeners": [
            {"address": each.address, "port": each.port, "program": each.program, "holder": str(each)}
            for each in sockets.listening()
        ],
        "build_user": facts.user(paths.build_user(name)),
        "build_group": facts.group(paths.build_user(name)),
        "user": facts.user(str(question["user"])),
        "group": facts.group(str(question["user"])),
        "apps": known,
        "logs_unsafe": {path: why for path in question["logs"] if (why := owners.not_only_root(path, users))},
        "configuration": others.configuration(),
        "tls": certificates.on_host(question["tls"]) if question["tls"] else None,
        "textfile_missing": bool(question["textfile"]) and not Path(question["textfile"]).is_dir(),
        "calendars_wrong": [text for text in question["calendars"] if not facts.is_calendar(str(text))],
        "modules_built": [str(path) for path in paths.LIB.glob("mod_wsgi-*.so")],
        **state(name),
    }


def reserve(options: argparse.Namespace) -> dict[str, Any]:
    """Take an app's name on this host, before its first deploy: a removal of the last other app leaves the rest.

    Answers as `inspect` does, which what came before may not be true of any more: that app may just have been removed.
    """
    with lock.host_held():
        paths.ETC.mkdir(mode=0o755, exist_ok=True)
        (paths.ETC / options.app).mkdir(mode=0o755, exist_ok=True)
    return inspect(options)


def await_packages(_options: argparse.Namespace) -> dict[str, Any]:
    """Wait until no other program uses apt."""
    return {"changed": False, "msg": "apt was in use by another program" if apt.wait() else "apt is free"}


def declared_apps() -> list[dict[str, Any]]:
    """Return what is known of the apps on this host, for the checks that two do not share what they cannot."""
    found = []
    for name in apps.known_apps():
        with contextlib.suppress(DamagedError, FileNotFoundError):
            kept = apps.read_json(paths.ETC / name / "app.json")
            if isinstance(kept, dict):
                found.append({**kept, **(kept.get("site") or {}), **(kept.get("spec") or {}), "app": name})
    keys = ("app", "user", "server_name", "server_aliases", "default_server", "port", "https_port", "mount", "python")
    return [
        {key: each.get(key) for key in (*keys, "python_version", "tls", "certificate", "proxy_protocol", "shared")}
        for each in found
    ]


def state(name: str) -> dict[str, Any]:
    """Return what the host has of an app, and what of it is not as it was last declared, installed and loaded."""
    home = paths.SRV / name
    found: dict[str, Any] = {
        "reserved": (paths.ETC / name).is_dir(),
        "wheelhouses": wheelhouses.whole(home),
        "sources": [],
        "live": None,
        "certified": "",
        "salt": "",
        "digest": "",
        "drift": [],
    }
    try:
        app = apps.load_app(name)
        kept = apps.read_json(app.conf / "app.json")
    except DamagedError as error:
        return {**found, "drift": [str(error)]}
    except RefusedError:
        return found
    drift = list(drifted(app, kept))
    whole = [release for release in releases.complete(app) if releases.has_source(app, release)]
    return {
        **found,
        "sources": sorted({release.partition("-")[0] for release in whole}),
        "live": routing.slot_release(app, routing.live_slot(app)),
        "certified": str(app.site.https_flag or "") if app.is_certified else "",
        "salt": str(kept.get("salt", "")),
        "digest": str(kept.get("digest", "")),
        "drift": drift,
    }


def drifted(app: App, kept: dict[str, Any], *, thorough: bool = False) -> Iterator[str]:
    """Yield the paths that are not as they were installed or built, and what the running Apache has not loaded."""
    yield from _not_installed(app, kept)
    yield from _not_shared(app)
    if not paths.ENGINE.is_file() or paths.ENGINE.read_bytes() != Path(sys.argv[0]).read_bytes():
        yield str(paths.ENGINE)  # of another version than the role that asks
    if server.pid() is not None and server.loaded(app) != apply.expected_digest(app):
        yield f"Apache has not loaded {app.name}'s configuration"
    yield from damaged(app, thorough=thorough)


def damaged(app: App, *, thorough: bool) -> Iterator[str]:
    """Yield the paths of the app's state, its releases and its units that are not as they were written."""
    yield from routing.damaged(app)
    yield from history.damaged(app)
    yield from slots.damaged(app)
    yield from environments.damaged(app)
    yield from wheelhouses.damaged(app)
    release = routing.slot_release(app, routing.live_slot(app))
    for wrong in releases.damaged(app, thorough=thorough).values():
        yield from wrong
    if release:
        made, venv = releases.as_made(app, release), (app.releases / release / "venv").resolve()
        if venvs.python_of(venv) != facts.interpreter(made.spec.python):
            yield str(venv)  # the host's Python is another one now
        yield from units.damaged(made, release)
        if app.waiting.exists() and hooks.waiting_for(app) == release:
            yield str(app.waiting)  # its hooks have not run, or the file is damaged


def _not_installed(app: App, kept: dict[str, Any]) -> Iterator[str]:
    """Yield the app's own files, directories and links that differ."""
    if not kept.get("digest"):
        yield str(app.conf / "app.json")  # the last run has not come to its end
    installed = kept.get("installed")
    for each in installed if isinstance(installed, list) else [{}]:
        try:
            if apply.differs(each):
                yield each["path"]
        except (LookupError, ValueError, TypeError):
            yield str(app.conf / "app.json")


def _not_shared(app: App) -> Iterator[str]:
    """Yield the links that differ which depend on all apps of the host."""
    try:
        together = {**site.sites(but=app.name), app.name: app.site}
        wanted = [*site.shared(together), *timers.wanted(together)]
    except RefusedError as error:
        yield str(error).partition("\n")[0]
        return
    yield from (str(each.path) for each in wanted if desired.difference(each))
    yield from (f"{timer} does not run as its file says" for timer in timers.idle(together))
    if builders.is_shared_one_unused():
        yield f"the Unix user {paths.SHARED_BUILD_USER}"
    yield from site.misplaced(together, app.name)
