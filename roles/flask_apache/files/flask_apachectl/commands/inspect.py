"""Describe the host and the app on it, for the control node. Reads only; also where nothing is installed yet."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

from flask_apachectl import app as apps
from flask_apachectl import history, paths, releases, routing, venvs
from flask_apachectl.apache import others, server, site
from flask_apachectl.commands import apply
from flask_apachectl.declaration import DamagedError
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, facts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from flask_apachectl.app import App

APP_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


def inspect(_options: argparse.Namespace) -> dict[str, Any]:
    """Answer all that a run needs to know of the host.

    The question is a JSON object on standard input: ``app``, ``user``, ``python`` (interpreter), ``packages`` (names),
    ``calendars`` (of timers).
    """
    question = json.load(sys.stdin)
    name = question["app"] if APP_NAME.fullmatch(str(question["app"])) else "-"
    distribution, version = facts.distribution()
    found = facts.packages(question["packages"])
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
        "mod_wsgi_package": found.get("libapache2-mod-wsgi-py3"),
        "python": facts.interpreter(str(question["python"])),
        "distribution_python": facts.interpreter("/usr/bin/python3"),
        "listeners": facts.listeners(),
        "build_user": facts.user(paths.BUILD_USER),
        "user": facts.user(str(question["user"])),
        "group": facts.group(str(question["user"])),
        "apps": declared_apps(),
        "configuration": others.configuration(),
        "calendars_wrong": [text for text in question["calendars"] if not facts.is_calendar(str(text))],
        "modules_built": [str(path) for path in paths.LIB.glob("mod_wsgi-*.so")],
        **state(name),
    }


def declared_apps() -> list[dict[str, Any]]:
    """Return what is known of the apps on this host, for the checks that two do not share what they cannot."""
    found = []
    for name in apps.known_apps():
        with contextlib.suppress(DamagedError, FileNotFoundError):
            kept = apps.read_json(paths.ETC / name / "app.json")
            if isinstance(kept, dict):
                found.append({**kept, **(kept.get("site") or {}), **(kept.get("spec") or {}), "app": name})
    keys = ("app", "user", "server_name", "server_aliases", "default_server", "port", "mount", "python")
    return [{key: each.get(key) for key in (*keys, "python_version")} for each in found]


def state(name: str) -> dict[str, Any]:
    """Return what the host has of an app, and what of it is not as it was last declared, installed and loaded."""
    home = paths.SRV / name
    found: dict[str, Any] = {
        "reserved": (paths.ETC / name).is_dir(),
        "wheelhouses": [path.name for path in home.glob("wheelhouses/[0-9a-f]*")],
        "sources": [],
        "live": None,
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
    whole = [release for release in releases.complete(app) if not releases.damaged_files(app, release)]
    return {
        **found,
        "sources": sorted({release.partition("-")[0] for release in whole}),
        "live": routing.slot_release(app, routing.live_slot(app)),
        "salt": str(kept.get("salt", "")),
        "digest": str(kept.get("digest", "")),
        "drift": drift,
    }


def drifted(app: App, kept: dict[str, Any], *, thorough: bool = False) -> Iterator[str]:
    """Yield the paths that are not as they were installed, and what the running Apache has not loaded."""
    installed = kept.get("installed")
    if not isinstance(installed, list):
        yield str(app.conf / "app.json")
        return
    for each in installed:
        try:
            if apply.differs(each):
                yield each["path"]
        except (KeyError, ValueError, TypeError, LookupError):
            yield str(app.conf / "app.json")
    yield from _drifted_links(app)
    if server.pid() is not None and server.loaded(app) != apply.expected_digest(app):
        yield f"Apache has not loaded {app.name}'s configuration"
    yield from routing.damaged(app)
    yield from history.damaged(app)
    release = routing.slot_release(app, routing.live_slot(app))
    if release:
        yield from releases.damaged_files(app, release, thorough=thorough)
        yield from venvs.damage((app.releases / release / "venv").resolve(), thorough=thorough)
    for slot in paths.SLOTS:
        if not (app.home / slot).exists():
            yield str(app.home / slot)


def _drifted_links(app: App) -> Iterator[str]:
    """Yield the links of Apache's that depend on all apps, and are not as they are to be."""
    try:
        shared = site.shared({**site.sites(but=app.name), app.name: app.site})
    except RefusedError as error:
        yield str(error).partition("\n")[0]
    else:
        yield from (str(each.path) for each in shared if desired.difference(each))
