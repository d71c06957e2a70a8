"""Helpers of the engine's tests: declarations and files."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

from flask_apachectl import declaration
from flask_apachectl.app import App
from flask_apachectl.declaration import Site, Spec

if TYPE_CHECKING:
    from pathlib import Path

DECLARED: dict[str, Any] = {
    # Site
    "user": "shop",
    "server_name": "www.example.com",
    "server_aliases": [],
    "default_server": False,
    "port": 80,
    "mount": "/",
    "https_port": 0,
    "certificate": "",
    "acme": "",
    "tls": False,
    "restricted": False,
    "proxy_protocol": False,
    "shared": {},
    "processes": 2,
    "strategy": "blue_green",
    "idle_pool": "warm",
    "keep_releases": 2,
    "lock_wait": 0,
    "ready_path": "/-/ready",
    "umask": "0027",
    "access_log": "/nowhere/access.log",
    "error_log": "/nowhere/error.log",
    "manage_service": False,
    "metrics_textfile": "",
    "metrics_served": False,
    "harden_server": True,
    "sandbox": "auto",
    "sandbox_without": [],
    "sandbox_writable": [],
    "environment_secrets": ["*TOKEN*"],
    "python_version": "3.11",
    # Spec
    "wsgi": "app:app",
    "python": "/usr/bin/python3",
    "requirements": ["requirements.txt"],
    "constraints": [],
    "extras": [],
    "index_url": "",
    "extra_index_urls": [],
    "index_private": False,
    "wheelhouse": "",
    "installer": "pip",
    "uv_version": "1.2.3",
    "pip_args": [],
    "build_timeout": 900,
    "data_directories": [],
    "static": [],
    "hooks": [],
    "workers": [],
    "timers": [],
    "units": {},
    "irreversible": False,
    "health_path": "/",
    "health_status": [200],
    "health_body": "",
    "health_host": "",
    "health_successes": 2,
    "health_request_timeout": 10,
    "health_timeout": 30,
    "soak": 0,
    "soak_errors": 5,
}
SITE = {each.name for each in fields(Site)}


def declared(**changes: object) -> dict[str, Any]:
    """Return the content of an app.json, with some changes."""
    flat = DECLARED | changes
    site = {name: flat[name] for name in flat if name in SITE}
    spec = {name: flat[name] for name in flat if name not in SITE}
    return {"format": declaration.FORMAT, "site": site, "spec": spec}


def shop(**changes: object) -> App:
    """Return a declared app, with some changes."""
    kept = declared(**changes)
    return App("shop", declaration.read(Site, kept["site"], "site"), declaration.read(Spec, kept["spec"], "spec"))


def changed(app: App, **changes: Any) -> App:  # noqa: ANN401 - of any type that a declaration has
    """Return an app with another declaration."""
    site = {name: value for name, value in changes.items() if name in SITE}
    others = {name: value for name, value in changes.items() if name not in SITE}
    spec = declaration.read(Spec, asdict(app.spec) | others, "spec")
    return replace(app, site=replace(app.site, **site), spec=spec)


def on_another_disk(root: Path, *names: str) -> None:
    """Make directories of a host that are links to places elsewhere, as where data has a disk of its own."""
    for name in [name for name in names if not (root / name).exists()]:
        place = root / "disks/second/of two" / name
        place.mkdir(parents=True)
        (root / name).symlink_to(place)


def listed(directory: Path) -> list[str]:
    """Return the names of a directory's entries."""
    return sorted(path.name for path in directory.iterdir())


def declare(app: App, name: str, text: str = "") -> None:
    """Write the app.json of an app, beside that of another one."""
    path = app.conf.with_name(name) / "app.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text or json.dumps(declared()))
