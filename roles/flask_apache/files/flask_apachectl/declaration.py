"""What was declared for an app: typed, every key present. The control node applies each default once, before this.

``Site`` is how the host serves the app; Apache's configuration and the engine follow it at once. ``Spec`` is what a
release is made of and judged by; each release carries its own, so that a rollback brings back that, too.
"""

from __future__ import annotations

import typing
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 4
EARLIEST = 2  # that can still be read
# What each format has that the one before has not: an app gets none of it until a run of this version declares it.
SINCE: dict[int, dict[str, object]] = {
    3: {
        "https_port": 0,
        "certificate": "",
        "acme": "",
        "metrics_textfile": "",
        "harden_server": False,
        "sandbox": "none",
        "sandbox_without": [],
        "sandbox_writable": [],
    },
    4: {"proxy_protocol": False, "shared": {}, "metrics_served": False},
}
Record = TypeVar("Record")


class DamagedError(RefusedError):
    """A file of the engine's state cannot be read: the message says which and why."""


@dataclass(frozen=True)
class Hook:
    """A command of the app's at a point of a deploy. ``run`` is split as a shell does, unless it is a list of words."""

    at: str
    run: str | tuple[str, ...]
    once: bool
    timeout: int  # seconds


@dataclass(frozen=True)
class DataDirectory:
    """A directory below the app's data, and the path in a release that leads to it, if any."""

    name: str
    link: str


@dataclass(frozen=True)
class Static:
    """Files that Apache serves: below which URL, and from which path of the source."""

    url: str
    path: str
    immutable: bool


@dataclass(frozen=True)
class Worker:
    """A queue worker: the name of its unit, and how many run."""

    name: str
    instances: int
    stop_timeout: int  # seconds


@dataclass(frozen=True)
class Site:
    """How the host serves an app, whatever its release."""

    user: str
    server_name: str
    server_aliases: tuple[str, ...]
    default_server: bool
    port: int
    https_port: int  # 0 without flask_apache_tls; otherwise what comes to `port` is led there
    certificate: str  # the path of the certificate of flask_apache_tls, or nothing
    acme: str  # the address of the authority from which it comes, or nothing
    mount: str
    tls: bool  # flask_apache_directives make it a site of HTTPS
    restricted: bool  # not everybody may visit all of it
    proxy_protocol: bool  # its ports speak the PROXY protocol
    shared: dict[str, str]  # what stands for the values of the variables that its virtual host has once, by name
    processes: int
    strategy: str
    idle_pool: str
    keep_releases: int
    lock_wait: int  # seconds
    ready_path: str
    umask: str
    access_log: str  # a path, or journald
    error_log: str
    manage_service: bool
    metrics_textfile: str  # the directory of node_exporter's textfile collector, or nothing
    metrics_served: bool  # over HTTP
    harden_server: bool
    sandbox: str  # auto, always, none
    sandbox_without: tuple[str, ...]
    sandbox_writable: tuple[str, ...]
    environment_secrets: tuple[str, ...]
    python_version: str

    @property
    def main_port(self) -> int:
        """The port at which visitors get the app."""
        return self.https_port or self.port

    @property
    def https_flag(self) -> Path | None:
        """The file that is not empty once visitors are redirected to HTTPS, if that has to wait for a certificate."""
        return paths.https_flag(self.server_name, self.https_port, self.acme) if self.acme else None

    @property
    def is_secure(self) -> bool:
        """Whether visitors get the app over HTTPS."""
        return bool(self.https_port) or self.tls


@dataclass(frozen=True)
class Spec:
    """What a release is made of, served by and judged by."""

    wsgi: str
    python: str
    requirements: tuple[str, ...] | None
    constraints: tuple[str, ...]
    extras: tuple[str, ...]
    index_url: str
    extra_index_urls: tuple[str, ...]
    index_private: bool
    wheelhouse: str
    installer: str
    uv_version: str
    pip_args: tuple[str, ...]
    build_timeout: int  # seconds
    data_directories: tuple[DataDirectory, ...]
    static: tuple[Static, ...]
    hooks: tuple[Hook, ...]
    workers: tuple[Worker, ...]
    timers: tuple[str, ...]
    units: dict[str, str]  # systemd's files by their names
    irreversible: bool
    health_path: str
    health_status: tuple[int, ...]
    health_body: str
    health_host: str
    health_successes: int
    health_request_timeout: int  # seconds
    health_timeout: int  # seconds
    soak: int  # seconds
    soak_errors: int

    @property
    def inputs(self) -> dict[str, Any]:
        """What makes one release differ from another; how it was built and what it forbids later does not."""
        left_out = ("irreversible", "index_private", "installer", "uv_version", "build_timeout")
        return {name: value for name, value in asdict(self).items() if name not in left_out}

    @property
    def data_links(self) -> dict[str, str]:
        """The paths in a release that lead to directories of the app's data: {path: directory}."""
        return {each.link: each.name for each in self.data_directories if each.link}


def read(kind: type[Record], value: object, place: str) -> Record:
    """Return a record of JSON. Raises DamagedError, naming the place, unless every key is there, and of its type."""
    if not isinstance(value, dict):
        raise DamagedError(f"{place} must be a mapping, got {type(value).__name__}")
    hints = typing.get_type_hints(kind)
    names = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    if set(value) != set(names):
        missing, unknown = sorted(set(names) - set(value)), sorted(set(value) - set(names))
        problem = f"lacks {', '.join(missing)}" if missing else f"has unknown keys: {', '.join(map(str, unknown))}"
        raise DamagedError(f"{place} {problem}")
    return kind(**{name: _value(hints[name], value[name], f"{place}.{name}") for name in names})


def _value(hint: Any, value: object, place: str) -> Any:  # noqa: ANN401 - a type of typing's, and what it describes
    """Return one value as its annotation says."""
    choices = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(choices[0], item, f"{place}[{number}]") for number, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {str(key): _value(choices[1], item, f"{place}[{key}]") for key, item in value.items()}
    if origin not in (None, tuple, dict):  # a union
        for choice in choices:
            try:
                return _value(choice, value, place)
            except DamagedError:
                continue
    elif origin is None and hasattr(hint, "__dataclass_fields__"):
        return read(hint, value, place)
    elif origin is None and type(value) is hint:
        return value
    raise DamagedError(f"{place} must be {getattr(hint, '__name__', hint)}, got {type(value).__name__}")


def expect_format(value: object, place: str) -> dict[str, Any]:
    """Return a declaration's mapping. Raises DamagedError for one that this engine cannot read."""
    if not isinstance(value, dict):
        raise DamagedError(f"{place} must be a mapping, got {type(value).__name__}")
    found = value.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise DamagedError(
            f"{place} was written by a newer flask_apache: its format is {found}, and this engine reads {FORMAT}. "
            "Use that version of the role, or a newer one"
        )
    if not isinstance(found, int) or found < EARLIEST:
        raise DamagedError(f"{place} was written by an older flask_apache: run the role for this app")
    if found == FORMAT or not isinstance(value.get("site"), dict):
        return value
    site = dict(value["site"])
    for later in range(found + 1, FORMAT + 1):
        site = {**SINCE[later], **site}
    return {**value, "format": FORMAT, "site": site}
