"""A host's Apache configuration, as several apps declare it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask_apachectl import paths
from flask_apachectl.apache import neighbours, site
from flask_apachectl.apache.site import Declared
from flask_apachectl.host import desired, files
from tests.unit.flask_apachectl.samples import declared, shop

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.declaration import Site
    from flask_apachectl.host.desired import Wanted

STOCK = "../sites-available/000-default.conf"


def rendered(name: str, own: Site, *, wsgi_load: str = "") -> Declared:
    """Return what the control node renders for an app."""
    hosts, file = [place.host for place in neighbours.places(own)], f"{999 - len(own.mount)}-{name}.conf"
    text = f"# {name} {site.PLACEHOLDER}\n"
    variants = {kind: f"# {kind}\n<VirtualHost {site.ADDRESSES}>\n" for kind in ("listen", "plain")}
    return Declared(
        fragments={host: (paths.ETC / f"vhosts/{host}/{file}", text) for host in hosts},
        pools=(paths.APACHE / f"conf-available/flask-apache-{name}.conf", f"# pools of {name}\n"),
        vhosts=dict.fromkeys(hosts, variants),
        server="# server\n",
        harden_server={"sized": "# hardened\n", "plain": "# hardened\n"},
        modules=("headers", "rewrite"),
        wsgi_load=wsgi_load,
        certificate="certificate\n" if own.https_port else "",
        key="key\n" if own.https_port else "",
    )


@dataclass
class Apaches:
    """What apps were declared; their files are below the paths of the engine."""

    apps: dict[str, Site] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("headers.load", "rewrite.load", "wsgi.load", "wsgi.conf"):
            (paths.APACHE / "mods-available" / name).write_text("")
            if name.startswith("wsgi"):  # as its package does
                (paths.APACHE / "mods-enabled" / name).symlink_to(f"../mods-available/{name}")
        (paths.APACHE / "sites-available/000-default.conf").write_text("")
        (paths.APACHE / "sites-enabled/000-default.conf").symlink_to(STOCK)

    def steps(self, name: str, *, wsgi_load: str = "", **changes: object) -> list[Wanted]:
        """Return what is wanted when an app is declared."""
        own = shop(**changes).site
        return site.wanted({**site.sites(but=name), name: own}, name, rendered(name, own, wsgi_load=wsgi_load))

    def deploy(self, name: str, *, wsgi_load: str = "", **changes: object) -> list[str]:
        """Declare an app, and return the paths that differed."""
        found = make(self.steps(name, wsgi_load=wsgi_load, **changes))
        self.apps[name] = shop(**changes).site
        (paths.ETC / name).mkdir(exist_ok=True)
        (paths.ETC / name / "app.json").write_text(json.dumps(declared(**changes)))
        return found

    def remove(self, name: str) -> list[str]:
        """Remove an app, and return the paths that differed."""
        found = make(site.wanted(site.sites(but=name), name, None))
        self.apps.pop(name, None)
        files.remove(paths.ETC / name)
        return found


def make(steps: list[Wanted]) -> list[str]:
    """Make things so, and return the paths that differed. After each step, Apache could load its configuration."""
    found = []
    for step in steps:
        if desired.difference(step):
            desired.make(step)
            found.append(str(step.path))
            assert dangling() == []
    assert [step for step in steps if desired.difference(step)] == []
    return found


def dangling() -> list[str]:
    """Return Apache's links that lead nowhere: with one it does not start."""
    return [str(path) for path in paths.APACHE.glob("*-enabled/*") if not path.exists()]


def tree(top: Path) -> dict[str, str]:
    """Return the files and links below a directory."""
    return {
        str(path.relative_to(top)): f"-> {os.readlink(path)}" if path.is_symlink() else path.read_text()  # noqa: PTH115
        for path in sorted(top.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def enabled(kind: str = "sites") -> list[str]:
    """Return the names of what is enabled."""
    return sorted(path.name for path in (paths.APACHE / f"{kind}-enabled").iterdir())
