"""One app: what was declared for it, and its places on the host."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from flask_apachectl import declaration, paths
from flask_apachectl.declaration import DamagedError, Site, Spec
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class App:
    """One app as it is declared, and its places on the host.

    ``spec`` is that of the release that is dealt with: the declared one, or what a kept release carries.
    """

    name: str
    site: Site
    spec: Spec = field(repr=False)
    index_urls: tuple[str, ...] = field(default=(), repr=False)  # with their credentials, while the role deploys
    environment: dict[str, str] | None = field(default=None, repr=False)  # that a run of the role declares

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
    def map_copy(self) -> Path:
        """A copy of it, to which Apache turns when the file is missing or damaged."""
        return self.conf / "live.map.copy"

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
        return paths.SLOTS[:1] if self.site.strategy == "rolling" else paths.SLOTS

    @property
    def url_path(self) -> str:
        """Path of the health check, mount included."""
        return self.site.mount.rstrip("/") + self.spec.health_path

    @property
    def is_certified(self) -> bool:
        """Whether there is no certificate to wait for; until it is there, visitors are not led to HTTPS."""
        flag = self.site.https_flag
        return flag is None or (flag.is_file() and flag.stat().st_size > 0)

    @property
    def url(self) -> str:
        """Address of the app as a visitor writes it."""
        is_secure = self.site.is_secure and self.is_certified
        number = self.site.main_port if self.is_certified else self.site.port
        scheme, usual = ("https", 443) if is_secure else ("http", 80)
        port = "" if number == usual else f":{number}"
        return f"{scheme}://{self.site.server_name}{port}{self.site.mount.rstrip('/')}/"

    def pool(self, slot: str) -> str:
        """Return the name of a slot's WSGIDaemonProcess."""
        return f"{self.name}-{slot}"


def known_apps() -> list[str]:
    """Return the names of the apps on this host."""
    return sorted(path.parent.name for path in paths.ETC.glob("*/app.json"))


def present_apps() -> list[str]:
    """Return the same with those whose declaration is missing, but not what else there is of them."""
    files = ("app.json", "live.map", "live.map.copy")
    return sorted({path.parent.name for file in files for path in paths.ETC.glob(f"*/{file}")})


def of(name: str, declared: object, place: str) -> App:
    """Return an app of a declaration. Raises DamagedError for one that this engine cannot read."""
    mapping = declaration.expect_format(declared, place)
    site = declaration.read(Site, mapping.get("site"), f"{place}: site")
    return App(name, site, declaration.read(Spec, mapping.get("spec"), f"{place}: spec"))


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what a file of the state holds. Raises DamagedError, naming it, or FileNotFoundError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged ({error}): run the role for this app") from None


def load_app(name: str | None) -> App:
    """Return the named app, or the host's only one."""
    names = known_apps()
    if name is None and len(names) == 1:
        name = names[0]
    if name is None:
        raise RefusedError(f"which app? Use --app NAME; apps on this host: {', '.join(names) or 'none'}")
    path = paths.ETC / name / "app.json"
    try:
        return of(name, read_json(path), str(path))
    except FileNotFoundError:
        if (path.parent / "live.map").exists() or (path.parent / "live.map.copy").exists():
            raise DamagedError(f"{path} is missing: run the role for this app") from None
        raise RefusedError(f"there is no app {name} on this host; apps: {', '.join(names) or 'none'}") from None


def unknown(name: str, user: str) -> App:
    """Return an app of which only the name and the user are known: enough to end and to remove it."""
    blank: dict[str, Any] = {"str": "", "bool": False, "int": 0}

    def made(kind: type[Any]) -> Any:  # noqa: ANN401 - Site or Spec
        return kind(**{field.name: blank.get(str(field.type), ()) for field in fields(kind)})

    spec = replace(made(Spec), units={}, health_request_timeout=5)
    site = replace(made(Site), user=user, server_name="localhost", port=80, mount="/", manage_service=True, shared={})
    return App(name, site, spec)
