"""Every place of the role's variables that takes a string, found in meta/argument_specs.yml, and a value for it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.unit.controller.given import SPECS, variables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Way = tuple[str | int, ...]
KEY = object()  # at the end of a way: a key of the mapping there

# Each string is found nowhere else in what is made of the variables, so that it can be told where it arrives.
VALUES: dict[str, Any] = {
    "app": "the-app",
    "wsgi": "the.module:make('argument')",
    "python": "/usr/bin/the-python",
    "environment": {"THE_NAME": "the value"},
    "environment_secrets": ["*THE_PATTERN*"],
    "user": "theuser",
    "data_directories": ["thedirectory", {"name": "thename", "link": "thelink"}],
    "hooks": [
        {"at": "before_start", "run": "thehook a"},
        {"at": "before_start", "run": ["thehookword", "hooksecond"]},
    ],
    "source_directory": "thesubdirectory",
    "source_exclude": ["*.theexcluded"],
    "git_version": "theversion",
    "git_key": "-----BEGIN THE PRIVATE KEY-----",
    "git_known_hosts": ["the.host.example ssh-ed25519 AAAAAAAAAAAAAAAAAAAAAAAA"],
    "git_signers": ["the@signer.example ssh-ed25519 AAAAAAAAAAAAAAAAAAAAAAAA"],
    "archive_checksum": f"sha256:{'ab' * 32}",
    "package_requirements": ["therequirement==1"],
    "requirements": ["therequirements.txt"],
    "constraints": ["theconstraints.txt"],
    "extras": ["thebonus"],
    "index_url": "https://theindex.example/simple",
    "extra_index_urls": ["https://theextraindex.example/simple"],
    "uv_version": "12.34.56",
    "pip_args": ["--the-argument"],
    "system_packages": ["the-package"],
    "server_name": "the.server.example",
    "server_aliases": ["the.alias.example"],
    "mount": "/the-mount",
    "static": [{"url": "/the-url", "path": "the/path"}],
    "access_log": "/var/log/the-access.log",
    "error_log": "/var/log/the-error.log",
    "metrics_textfile": "/var/lib/the-metrics",
    "metrics_allow": ["192.0.2.77"],
    "metrics_path": "/the-numbers",
    "directives": ["Header set X-The-Header the-directive"],
    "trusted_proxies": ["192.0.2.77"],
    "basic_auth": [{"path": "/the-login", "realm": "The realm", "users": {"the_visitor": "the password"}}],
    "allow": [{"path": "/the-list", "from": ["192.0.2.88"]}],
    "acme_directory": "https://the-authority.example/dir",
    "acme_email": "the-admin@mail.example",
    "acme_key_id": "the-customer",
    "acme_hmac": "thehmac",
    "tls_certificate": "/etc/ssl/certs/the-certificate.pem",
    "tls_chain": "/etc/ssl/certs/the-chain.pem",
    "tls_key": "/etc/ssl/private/the-key.pem",
    "sandbox_without": ["ProtectHome"],
    "sandbox_writable": ["/srv/the-writable"],
    "mod_wsgi_version": "6.12.34",
    "mod_wsgi_telemetry": "unix:/run/the-telemetry.sock",
    "health_path": "/the-health",
    "health_body": "the body",
    "health_host": "the.health.example",
    "ready_path": "/the-readiness",
    "workers": [
        {"name": "theworker", "command": "thecommand a", "stop_signal": "SIGINT"},
        {"name": "otherworker", "command": ["thecommandword", "thecommandsecond"]},
    ],
    "timers": [
        {"name": "thetimer", "command": "thejob a", "calendar": "Mon..Fri 04:30"},
        {"name": "othertimer", "command": ["thejobword", "thejobsecond"], "calendar": "05:30"},
    ],
    "rollback_to": "abcdef-012345",
    "daemon_umask": "0013",
    "daemon_lang": "the_LANG.UTF-8",
    "daemon_locale": "the_LOCALE.UTF-8",
    "daemon_supplementary_groups": ["thegroup"],
}
TYPES = {"git": ("git_",), "archive": ("archive_",), "package": ("package_",)}  # of sources, which have these variables
ON_THE_CONTROL_NODE = ("source", "wheelhouse", "ca_certificates", "error_pages")  # paths that must exist there


@dataclass(frozen=True)
class Place:
    """A place for a string: the way to it, with indexes and keys; a choice takes some strings only."""

    way: tuple[Any, ...]
    is_choice: bool = False

    @property
    def name(self) -> str:
        """Return the variable's name without its prefix."""
        return str(self.way[0])

    def __str__(self) -> str:
        """Return the place as errors name it."""
        parts = [f"[{each}]" if isinstance(each, int) else f".{each}" for each in self.way[1:] if each is not KEY]
        return self.name + "".join(parts)


def _options(name: str, options: dict[str, Any], values: list[Any]) -> Iterator[Place]:
    for index, item in enumerate(values):
        for key, option in options.items():
            if key in item and option["type"] in ("str", "path", "raw"):
                words = item[key] if isinstance(item[key], list) else None
                if words is None:
                    yield Place((name, index, key), "choices" in option)
                else:
                    yield from (Place((name, index, key, position)) for position in range(len(words)))
            elif key in item and option["type"] == "dict":
                yield from (*(Place((name, index, key, each)) for each in item[key]), Place((name, index, key, KEY)))
            elif key in item and option.get("elements") == "str":
                yield Place((name, index, key, 0))
        yield Place((name, index, KEY))


def places() -> Iterator[Place]:
    """Yield all places."""
    for entry_point in SPECS["argument_specs"].values():
        for full, option in entry_point["options"].items():
            name, kind, elements = full.removeprefix("flask_apache_"), option["type"], option.get("elements")
            if kind in ("str", "path"):
                yield Place((name,), "choices" in option)
            elif kind == "dict":
                yield from (Place((name, "404" if name == "error_pages" else "THE_NAME")), Place((name, KEY)))
            elif "options" in option:
                yield from _options(name, option["options"], VALUES[name])
            elif elements in ("str", "path"):
                yield Place((name, 0))
            elif elements == "raw":
                yield from (Place((name, 0)), Place((name, 1, "name")), Place((name, 1, "link")), Place((name, 1, KEY)))


def base(place: Place, source: Path) -> dict[str, Any]:
    """Return variables in which every string has a value that is accepted, for a place that is to have another one."""
    kind = next((kind for kind, prefixes in TYPES.items() if place.name.startswith(prefixes)), "directory")
    own = copy.deepcopy(VALUES) | {"source_type": kind, "mod_wsgi_source": "pip"}
    if kind != "directory":
        own["source"] = {
            "git": "ssh://git@the.host.example/x",
            "archive": "https://archive.example/x.zip",
            "package": "thepackage==1",
        }[kind]
    if kind == "package":
        del own["source_directory"], own["requirements"]
    if place.name in ("source", "source_directory"):
        own |= {"requirements": None, "constraints": []}
    if place.name == "source":
        del own["source_directory"]
    if place.name.startswith("acme_"):
        own |= {"tls": "acme", "acme_terms_agreed": True}
    if place.name.startswith("tls_"):
        own |= {"tls": "files", "tls_on": "host"}
    if place.name == "wheelhouse":
        own |= {"wheelhouse": str(source / "wheels"), "index_url": "", "extra_index_urls": []}
    own["ca_certificates"] = [str(source / "certificate.pem")]
    own["error_pages"] = {"404": str(source / "page.html")}
    return variables(source, **own)


def key_of(place: Place) -> str:
    """Return the text that stands for a key of the mapping at a place."""
    return "the_visitor" if "users" in place.way else "THE_NAME"


def at(values: dict[str, Any], place: Place) -> Any:  # noqa: ANN401 - whatever is there
    """Return what is at a place; of a key, the text that stands for it."""
    found: Any = values[f"flask_apache_{place.name}"]
    for step in place.way[1:]:
        found = key_of(place) if step is KEY else found[step]
    return found


def put(values: dict[str, Any], place: Place, value: object) -> dict[str, Any]:
    """Return variables with another value at a place."""
    changed = copy.deepcopy(values)
    holder: Any = changed
    *way, last = [f"flask_apache_{place.name}", *place.way[1:]]
    for step in way:
        holder = holder[step]
    if last is not KEY:
        holder[last] = value
    else:
        holder[value] = holder.pop(key_of(place), "the value")
    return changed


def write_source(source: Path) -> Path:
    """Write what the variables name on the control node."""
    app = source / "thesubdirectory"
    app.mkdir(parents=True)
    for name in ("therequirements.txt", "theconstraints.txt", "requirements.txt"):
        (app / name).write_text("")
    (source / "wheels").mkdir()
    (source / "wheels/a.whl").write_text("")
    (source / "certificate.pem").write_text("-----BEGIN CERTIFICATE-----")
    (source / "page.html").write_text("the page")
    return source
