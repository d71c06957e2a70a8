"""A host on which apps are declared and removed: only Apache itself, users and programs are made up."""

from __future__ import annotations

import io
import itertools
import json
import os
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import app as apps
from flask_apachectl import declaration, paths
from flask_apachectl.apache import neighbours, others, proof, rotation, server, site
from flask_apachectl.commands import apply, inspect, removal
from flask_apachectl.declaration import Site
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, report
from flask_apachectl.serve import pools, units
from tests.unit.flask_apachectl.apache.hosts import Apaches
from tests.unit.flask_apachectl.kills import Killer
from tests.unit.flask_apachectl.samples import declared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flask_apachectl.apache.hardening import Limits
    from flask_apachectl.apache.listing import Listing
    from flask_apachectl.app import App
    from flask_apachectl.host.desired import Wanted

PLACES = ("SRV", "VAR_LIB", "CACHE", "RUN", "VAR_LOG", "LIB", "UNITS", "STAMPS", "SYSTEMD", "HOST_LOCK", "ENGINE")


class Machine:
    """The host: what is declared, what Apache has loaded, and what it was told."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.killer = root, Killer()
        for name in PLACES:
            patch.setattr(paths, name, root / name.lower())
        patch.setattr(paths, "HTTPS", paths.SRV / ".https")
        for name in ("SRV", "VAR_LIB", "CACHE", "VAR_LOG", "LIB", "UNITS", "STAMPS"):
            (root / name.lower()).mkdir()
        (root / "program").write_text("the engine")
        patch.setattr(sys, "argv", [str(root / "program")])
        self.patch = patch
        self.running, self.loads, self.proofs, self.refusal = True, list[bool](), 0, ""
        self.configuration = self.on_disk()
        Apaches()
        self.diverted, self.proved = False, others.BARE
        for module, name, value in (
            (server, "pid", lambda: 7 if self.running else None),
            (server, "loaded", lambda app: self.configuration.get(app.name, "")),
            (server, "load", self.killer.around(self.load)),
            (proof, "prove", self.prove),
            (rotation, "ROTATION", root / "rotation"),
            (rotation, "is_diverted", lambda: self.diverted),
            (rotation, "divert", lambda: setattr(self, "diverted", True)),
            (rotation, "give_back", self.give_back),
            (pools, "daemon_processes", lambda app: [app] if app.name in self.configuration else []),
            (pools, "own_processes", lambda _app: []),
            (pools, "end_all", lambda _app: None),
            (units, "systemctl", lambda *_: ""),
            (report, "say", lambda _text: None),
            (removal, "CERTIFICATES", root / "certificates"),
            (removal, "COMPLETION", root / "completion"),
            (removal, "pwd", SimpleNamespace(getpwall=list)),
            (removal, "_remove_users", lambda *_, **__: None),
        ):
            patch.setattr(module, name, value)
        for owner, name in (
            *((files, name) for name in ("replace_link", "write", "remove")),
            *((Path, name) for name in ("mkdir", "rename", "replace", "symlink_to", "unlink")),
        ):
            patch.setattr(owner, name, self.killer.around(getattr(owner, name)))

    def on_disk(self) -> dict[str, str]:
        """Return the digest that each enabled app's file tells, and which links are enabled."""
        digests = {name: path.read_text().split('"')[1].split()[-1] for name, path in site.fragments().items()}
        return digests | {"links": " ".join(sorted(path.name for path in paths.APACHE.glob("*-enabled/*")))}

    def load(self, _app: App, _digest: str, *, restart: bool) -> None:
        """Load what is on disk."""
        self.configuration = self.on_disk()
        self.loads.append(restart)

    def give_back(self) -> None:
        """Put the distribution's file back, which this host has not."""
        rotation.ROTATION.unlink(missing_ok=True)
        self.diverted = False

    def prove(self, _steps: Sequence[Wanted], _limits: Limits | None = None) -> Listing:
        """Count, and refuse if a test says so."""
        self.proofs += 1
        if self.refusal:
            raise RefusedError(self.refusal)
        return self.proved

    def request(self, name: str, *, digest: str = "1", entry: str = "entry\n", **changes: object) -> dict[str, Any]:
        """Return what the role sends for an app."""
        flat: dict[str, Any] = {"user": "root", "manage_service": True, **changes}
        environment, wsgi_load, users = flat.pop("environment", {}), flat.pop("wsgi_load", ""), flat.pop("users", {})
        parts = declared(**flat)
        own = declaration.read(Site, parts["site"], "site")
        hosts, file = [place.host for place in neighbours.places(own)], f"{999 - len(own.mount)}-{name}.conf"
        text = f'Header X-Flask-Apache-Configuration "{name} {site.PLACEHOLDER}"\n# {name}\n'
        conf = paths.ETC / name
        owned = {"owner": "root", "group": "root", "mode": "0755"}
        plain = {"group": "root", "mode": "0644", "secret": False}
        return {
            "app": name,
            **parts,
            "environment": environment,
            "index_urls": [""],
            "users": users,
            "directories": [{"path": str(path), **owned} for path in (conf, conf / "pages", paths.SRV / name)],
            "files": [
                {"path": str(conf / "pages/503.html"), "content": "closed\n", **plain},
                {"path": str(conf / "entry.wsgi"), "content": entry, **plain},
                {"path": str(rotation.ROTATION), "content": "logrotate.distribution\n", **plain},
            ],
            "apache": {
                "fragments": {
                    host: {"path": str(paths.ETC / "vhosts" / host / file), "content": text} for host in hosts
                },
                "pools": {"path": str(paths.APACHE / f"conf-available/flask-apache-{name}.conf"), "content": "pools\n"},
                "vhosts": {host: {"plain": "plain\n", "listen": "listen\n"} for host in hosts},
                "server": "server\n",
                "harden_server": {"sized": "hardened\n", "plain": "hardened\n"},
                "modules": ["headers", "rewrite"],
                "wsgi_load": wsgi_load,
                "certificate": "certificate\n" if own.https_port else "",
                "key": "key\n" if own.https_port else "",
                "self_signed": False,
                "external_account": "",
            },
            "digest": digest,
            "salt": "salt",
        }

    def send(self, request: dict[str, Any]) -> None:
        """Put a request on the engine's standard input."""
        self.patch.setattr(sys, "stdin", io.StringIO(json.dumps(request)))

    def apply(self, name: str, *, plan: bool = False, **changes: object) -> dict[str, Any]:
        """Let the role apply what is declared for an app."""
        (paths.SRV / name).mkdir(exist_ok=True)
        self.send(self.request(name, **changes))  # type: ignore[arg-type]
        return apply.apply(Namespace(plan=plan))

    def remove(self, name: str, *, plan: bool = False, data: bool = False) -> dict[str, Any]:
        """Let the role remove an app."""
        self.send({"user": "root", "data": data})
        return removal.remove(Namespace(app=name, plan=plan))

    def drift(self, name: str) -> list[str]:
        """Return what of an app is not as it was applied, but for what comes with a release."""
        later = ("history", "live.map", "blue", "green")
        found = inspect.state(name)["drift"]
        return [path for path in found if "/empty/" not in path and not path.rpartition("/")[2].startswith(later)]

    def app(self, name: str = "shop") -> App:
        """Return an app as it is declared on the host."""
        return apps.load_app(name)

    def tree(self) -> dict[str, str]:
        """Return what is on the host but for the history: files, links and directories."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            if path.name not in ("lock", "host_lock", "history.jsonl"):
                text = f"-> {os.readlink(path)}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()  # noqa: PTH115
                found[str(path.relative_to(self.root))] = text.replace(str(self.root), "")
        return found


@pytest.fixture
def machine(tmp_path: Path, apache: Path, as_root: None) -> Iterator[Machine]:  # noqa: ARG001
    """Return a host without apps, with a running Apache."""
    with pytest.MonkeyPatch.context() as patch:
        yield Machine(tmp_path, patch)


def fresh_machine(root: Path, patch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Machine:
    """Return a host of its own."""
    request.getfixturevalue("as_root")
    request.getfixturevalue("apache")
    patch.setattr(paths, "APACHE", root / "apache2")
    patch.setattr(paths, "ETC", root / "etc")
    for kind, place in itertools.product(("conf", "sites", "mods"), ("available", "enabled")):
        (paths.APACHE / f"{kind}-{place}").mkdir(parents=True)
    (paths.ETC / "vhosts").mkdir(parents=True)
    (paths.APACHE / "ports.conf").write_text("Listen 80\n")
    return Machine(root, patch)
