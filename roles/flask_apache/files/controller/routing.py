"""How Apache finds out which of its requests an app gets, and what it does with them: names and patterns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .claims import restricts
from .values import is_on

if TYPE_CHECKING:
    from .values import Values

# Where a static file is looked for: in the slot of the request's pool, which a condition captures, or else elsewhere.
STATIC_PLACES = ["%1", "blue", "green", "replaced"]
HIDDEN = r"(?!.*/\.(?:git|hg|ht|svn))"  # not what version control leaves, nor .htaccess: the app gets these requests
NOTHING = "(?!)"  # a pattern that nothing matches
# Keys of live.map. What a condition has captured may be part of a key.
KEYS = {
    "live": "live",
    "canary": "canary",
    "pin": "pin-%1",
    "release": "release-%1",
    "probe": "probe-%{HTTP:X-Flask-Apache-Probe}",
    "bypass": "bypass-%1",
    "maintenance": "maintenance",
    "drain": "drain",
    "ready": "ready",
}


@dataclass(frozen=True)
class Routing:
    """What the app's part of the virtual host needs to know."""

    map: dict[str, str]  # how RewriteRule and RewriteCond look up a key of live.map: {"live": "${shop:live}"}
    map_copy: dict[str, str]  # the same in its copy
    cookie: str
    mount_pattern: str  # of a request's path
    path_pattern: str  # the same, and captures what is below the mount
    below_mount: str  # the beginning of such a path without its query, and captures the same
    script_name: str  # as WSGI has it: the mount, or nothing for /
    ready_pattern: str
    open_pattern: str  # of what is not redirected
    names_pattern: str  # of the names that the app answers for
    server_name_pattern: str
    main_scheme: str  # of the address at which visitors get the app
    main_suffix: str  # its port after a colon, or nothing for the usual one
    # Names of variables that Apache sets for a request
    pool_variable: str
    canary_variable: str
    bypass_variable: str
    closed_variable: str
    asked_variable: str
    static_variable: str
    # Static files
    static: bool
    static_pattern: str
    static_places: list[str]
    static_immutable: list[str]  # URLs of files that never change


def routing(values: Values) -> Routing:
    """Return how Apache routes an app's requests."""
    app, path = values.text("app"), values.text("mount").rstrip("/")
    static = values.mappings("static")
    urls = [re.escape(re.sub("/$", "", entry["url"])) for entry in static]
    suffix = app.upper().replace("-", "_")
    ready = f"^{re.escape(path + values.text('ready_path'))}$"
    names = [name.lower() for name in (values.text("server_name"), *values.texts("server_aliases"))]
    is_secure = values.text("tls") != "none"
    port = values.number("https_port" if is_secure else "port")
    return Routing(
        map={name: f"${{{app}:{key}}}" for name, key in KEYS.items()},
        map_copy={name: f"${{{app}_copy:{key}}}" for name, key in KEYS.items()},
        cookie=f"flask_apache_{app}",
        mount_pattern=f"^{re.escape(path)}(?:/|$)",
        path_pattern=f"(?s)^{re.escape(path)}((?:/.*)?)$",
        below_mount=f"^{re.escape(path)}(/[^?]*)",
        script_name=path,
        ready_pattern=ready,
        open_pattern=NOTHING if restricts(values.texts("directives")) else ready,
        names_pattern=f"^({'|'.join(map(name_pattern, names))})$",
        server_name_pattern=f"^{re.escape(names[0])}$",
        main_scheme="https" if is_secure else "http",
        main_suffix="" if port == (443 if is_secure else 80) else f":{port}",
        pool_variable=f"FLASK_APACHE_POOL_{suffix}",
        canary_variable=f"FLASK_APACHE_CANARY_{suffix}",
        bypass_variable=f"FLASK_APACHE_BYPASS_{suffix}",
        closed_variable=f"FLASK_APACHE_CLOSED_{suffix}",
        asked_variable=f"FLASK_APACHE_ASKED_{suffix}",
        static_variable=f"FLASK_APACHE_STATIC_{suffix}",
        static=bool(static),
        static_pattern=f"^{HIDDEN}{re.escape(path)}((?:{'|'.join(urls)})(?:/.*)?)$",
        static_places=STATIC_PLACES,
        static_immutable=[entry["url"].rstrip("/") for entry in static if is_on(entry.get("immutable", False))],
    )


def name_pattern(name: str) -> str:
    """Return the pattern of a host name, in which * stands for any text."""
    return re.escape(name).replace(r"\*", r"\S+")
