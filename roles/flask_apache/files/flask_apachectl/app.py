"""One app: what was declared for it, and its places on the host."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class App:
    """One app as the role declared it in app.json, and its places on the host."""

    name: str
    config: dict[str, Any] = field(repr=False)
    index_urls: tuple[str, ...] = field(default=(), repr=False)  # with their credentials, while the role deploys

    @property
    def conf(self) -> Path:
        """Directory of what is declared."""
        return paths.ETC / self.name

    @property
    def home(self) -> Path:
        """Directory of releases, virtual environments and slots."""
        return paths.SRV / self.name

    @property
    def releases(self) -> Path:
        """Directory of the releases, one directory each."""
        return self.home / "releases"

    @property
    def venvs(self) -> Path:
        """Directory of the virtual environments, named by what went into them."""
        return self.home / "venvs"

    @property
    def map(self) -> Path:
        """The file by which Apache finds the pool for a request."""
        return self.conf / "live.map"

    @property
    def history(self) -> Path:
        """The audit log: one JSON object a line."""
        return self.home / "history.jsonl"

    @property
    def data(self) -> Path:
        """The directory that the app may write."""
        return paths.VAR_LIB / self.name

    @property
    def waiting(self) -> Path:
        """The file that names the release whose hooks after its switch have not all run yet."""
        return self.home / "after_switch"

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots that have a pool: one is enough where processes are replaced one by one."""
        return paths.SLOTS[:1] if self.config["strategy"] == "rolling" else paths.SLOTS

    @property
    def url_path(self) -> str:
        """Path of the health check, mount included."""
        return str(self.config["mount"]).rstrip("/") + str(self.config["health_path"])

    @property
    def url(self) -> str:
        """Address of the app as a visitor writes it."""
        port = "" if self.config["port"] == 80 else f":{self.config['port']}"  # noqa: PLR2004
        return f"http://{self.config['server_name']}{port}{self.config['mount'].rstrip('/')}/"

    def pool(self, slot: str) -> str:
        """Return the name of a slot's WSGIDaemonProcess."""
        return f"{self.name}-{slot}"


def known_apps() -> list[str]:
    """Return the names of the apps on this host."""
    return sorted(path.parent.name for path in paths.ETC.glob("*/app.json"))


def load_app(name: str | None) -> App:
    """Return the named app, or the host's only one."""
    names = known_apps()
    if name is None and len(names) == 1:
        name = names[0]
    if name is None:
        raise RefusedError(f"which app? Say --app NAME; on this host: {', '.join(names) or 'none'}")
    try:
        return App(name, json.loads((paths.ETC / name / "app.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RefusedError(f"no app {name} on this host; there is: {', '.join(names) or 'none'}") from None
    except ValueError as error:
        raise RefusedError(f"{paths.ETC / name / 'app.json'} is damaged ({error}): run the role again") from None
