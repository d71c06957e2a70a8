"""Who may visit an app, and whose word on a visitor is believed: proxies, logins and lists of addresses.

A request gets what the deepest of the declared paths asks of it. A path that is written in another way than it is
declared, which the app may still take for the same, needs what all paths around it ask.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .values import Values

ALL = "all"
REALM = "Restricted"
# What a proxy says of a visitor, and anybody else can say, too.
HEADERS = (
    *("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix"),
    *("X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Ssl", "X-Real-IP"),
)
NEVER = ("Forwarded", "X-Real-IP")  # not even from a trusted proxy: many pass on what the visitor has sent
LOGIN_MODULES = ("auth_basic", "authn_core", "authn_file", "authz_core", "authz_user")
ADDRESS_MODULES = ("authn_core", "authz_core", "authz_host")
# What a virtual host has only once, whatever apps are in it.
SHARED = ("proxy_protocol", "trusted_proxies")
SHARED_TLS = {
    "": ("tls", "tls_profile", "http2", "hsts"),
    "files": ("tls_on", "tls_certificate", "tls_chain"),
    "acme": ("acme_directory", "acme_email", "acme_key_id"),
}


@dataclass(frozen=True)
class Guard:
    """What is asked of some requests: a login, and an address of each of some lists. Nothing of both opens a path."""

    condition: str  # an expression of Apache's
    realm: str
    users_file: str  # a path on the host, or nothing without a login
    addresses: list[list[str]]


@dataclass(frozen=True)
class Access:
    """What Apache needs to know of proxies and of visitors."""

    trusted_proxies: list[str]
    proxy_protocol: bool
    guards: list[Guard]  # a later one replaces those before it
    ready_condition: str  # an expression that is true of a request for the readiness address
    forwarded_headers: list[str] = field(default_factory=lambda: list(HEADERS))
    never_forwarded: list[str] = field(default_factory=lambda: list(NEVER))


def access(values: Values, conf: str) -> Access:
    """Return what is declared. ``conf`` is the app's directory in /etc/flask-apache."""
    mount = values.text("mount").rstrip("/")
    is_app = f"reqenv('FLASK_APACHE_PAGES') == '{values.text('app')}'"
    ready = f"%{{REQUEST_URI}} == '{mount}{values.text('ready_path')}'"
    return Access(
        trusted_proxies=values.texts("trusted_proxies"),
        proxy_protocol=values.flag("proxy_protocol"),
        guards=guards(values, conf, is_app, mount),
        ready_condition=f"{is_app} && {ready} && %{{REQUEST_METHOD}} in {{'GET', 'HEAD'}}",
    )


def modules(values: Values) -> list[str]:
    """Return the modules of Apache that are needed."""
    is_proxied = values.raw("trusted_proxies") or values.flag("proxy_protocol")
    found = ["remoteip"] if is_proxied else []
    found += LOGIN_MODULES if values.raw("basic_auth") else ()
    found += ADDRESS_MODULES if values.raw("allow") else ()
    return list(dict.fromkeys(found))


def is_guarded(values: Values) -> bool:
    """Tell whether some visitors do not get everything."""
    return bool(values.raw("basic_auth") or values.raw("allow"))


def path_of(entry: Mapping[str, Any]) -> str:
    """Return the path of a declared login or list, as it is in a longer one: nothing for /."""
    return str(entry.get("path", "/")).rstrip("/")


def users_file(conf: str, path: str) -> str:
    """Return where the users of a path's login are on the host."""
    return f"{conf}/users-{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def users(values: Values, conf: str) -> dict[str, dict[str, str]]:
    """Return the passwords of all logins: ``{file on the host: {name: password}}``."""
    return {
        users_file(conf, path_of(entry)): {str(name): str(password) for name, password in entry["users"].items()}
        for entry in values.mappings("basic_auth")
    }


def guards(values: Values, conf: str, is_app: str, mount: str) -> list[Guard]:
    """Return the guards of all declared paths, the shallowest first."""
    logins = {path_of(entry): str(entry.get("realm", REALM)) for entry in values.mappings("basic_auth")}
    lists = {path_of(entry): [str(each) for each in entry["from"]] for entry in values.mappings("allow")}
    found = []
    for path in sorted({*logins, *lists}, key=lambda path: (path.count("/"), path)):
        around = [each for each in sorted({*logins, *lists}, key=len) if is_within(path, each)]
        login = next((each for each in reversed(around) if each in logins), None)
        nearest = next((each for each in reversed(around) if each in lists), None)
        opened = next((each for each in reversed(around) if lists.get(each) == [ALL]), None)
        is_opened = opened is not None and (login is None or len(opened) > len(login))
        every_list = [lists[each] for each in around if lists.get(each, [ALL]) != [ALL]]
        nearest_list = [lists[nearest]] if nearest is not None and lists[nearest] != [ALL] else []

        def guard(condition: str, login: str | None, addresses: list[list[str]]) -> Guard:
            file = users_file(conf, login) if login is not None else ""
            return Guard(condition, "" if login is None else logins[login], file, addresses)

        like = f" && %{{REQUEST_URI}} =~ {pattern_of_likes(mount, path)}" if path else ""
        found.append(guard(is_app + like, login, every_list))
        exact = f"{is_app} && %{{REQUEST_URI}} =~ {pattern(mount, path)}" if path else is_app
        found.append(guard(exact, None if is_opened else login, nearest_list))
        if (found[-2].users_file, found[-2].addresses) == (found[-1].users_file, found[-1].addresses):
            del found[-1]
    return found


def is_within(path: str, other: str) -> bool:
    """Tell whether a path is another one, or below it, in upper or lower case."""
    return f"{path}/".lower().startswith(f"{other}/".lower())


def pattern(mount: str, path: str) -> str:
    """Return the pattern of just a path and what is below it."""
    return f"m#^{escaped(mount + path)}(/|$)#"


def pattern_of_likes(mount: str, path: str) -> str:
    """Return the pattern of a path in all the ways in which an app may understand it, and of what is below it.

    Apache has decoded it, and resolved its dots. What is left are slashes, upper and lower case, and what follows.
    """
    return f"m#^{escaped(mount)}{escaped(path).replace('/', '/+')}([^A-Za-z0-9._~-]|$)#i"


def escaped(path: str) -> str:
    """Return a path in a pattern: only its dots would mean something else there."""
    return path.replace(".", "[.]")


def shared(values: Values) -> dict[str, str]:
    """Return what stands for the values of the variables that a virtual host has once, by their names."""
    kind = values.text("tls")
    names = [*SHARED, *(SHARED_TLS[""] if kind != "none" else ()), *SHARED_TLS.get(kind, ())]
    return {name: digest(value_of(values, name)) for name in names}


def value_of(values: Values, name: str) -> object:
    """Return a variable's value in one form, whichever it was written in."""
    if name in ("proxy_protocol", "http2"):
        return values.flag(name)
    return sorted(values.texts(name)) if name == "trusted_proxies" else values.text(name)


def digest(value: object) -> str:
    """Return what stands for a value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]
