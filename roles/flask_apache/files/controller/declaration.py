"""What an app is to have on a host, computed from the role's variables and what the host said of itself.

``derive`` applies defaults and types once. Templates get its result as the variable ``app``, the engine gets
``declared`` as the app's ``app.json``.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from . import access
from .claims import Claims, claims, is_tls, restricts
from .daemon_options import daemon_options, mod_wsgi_version, version
from .headers import SecurityHeaders, security_headers
from .logs import Logs, logs
from .pages import ErrorPages
from .paths import Paths, paths
from .routing import Routing, routing
from .served_metrics import ServedMetrics, served_metrics
from .tls import Tls, modules, tls
from .units import Units, units
from .values import Values, is_on

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .access import Access

FORMAT = 4  # of app.json
SLOTS = ("blue", "green")
UMASK, LANG = "0022", "C.UTF-8"
HOOK_SECONDS = 300
CACHE_FOREVER = "public, max-age=31536000, immutable"  # a year, in seconds
MODULES = ("headers", "rewrite", "unique_id")
COMPRESSION_MODULES = ("filter", "deflate", "brotli")


@dataclass(frozen=True)
class Pool:
    """One of the app's process groups."""

    name: str
    slot: str


@dataclass(frozen=True)
class ModWsgi:
    """The host's mod_wsgi, and what it is told of the whole Apache and of the app's pools."""

    mod_wsgi_version: str
    mod_wsgi_module: str  # the path of the module that pip builds; nothing for the distribution's
    daemon_options: list[str]  # as name=value
    telemetry: str  # arguments of WSGITelemetryService, or nothing
    slow_requests: str  # seconds, or nothing


@dataclass(frozen=True)
class Site:
    """The app as visitors and its own processes see it."""

    name: str
    user: str
    server_name: str
    server_aliases: list[str]
    port: int
    mount: str
    pools: list[Pool]
    umask: str
    lang: str
    apache_modules: list[str]  # of Apache's own, by the names of their .load files
    compression: bool
    compressible: list[str]  # content types
    cache_forever: str
    static_max_age: int  # seconds
    retry_after: int  # seconds
    request_body_limit: int  # bytes
    directives: list[str]
    restricted: bool  # not everybody may visit everything
    log_keep_days: int


@dataclass(frozen=True)
class Derived:
    """Everything that is computed of an app, by subject."""

    site: Site
    paths: Paths
    routing: Routing
    logs: Logs
    metrics: ServedMetrics
    mod_wsgi: ModWsgi
    units: Units
    claims: Claims
    pages: ErrorPages
    headers: SecurityHeaders
    tls: Tls
    access: Access

    def as_app(self) -> dict[str, Any]:
        """Return all of it as the one flat mapping that templates know as ``app``."""
        own = (self.paths, self.routing, self.mod_wsgi, self.units, self.claims, self.pages, self.headers)
        parts = (*own, self.logs, self.metrics, self.tls, self.access, self.site)
        return {name: value for part in parts for name, value in asdict(part).items()}


def derive(variables: Mapping[str, Any], host: Mapping[str, Any], constants: Mapping[str, Any]) -> Derived:
    """Return what an app is to have.

    ``variables`` are all ``flask_apache_*`` variables, checked; ``host`` is the answer of `flask-apachectl inspect`;
    ``constants`` are those of vars/main.yml by their names there.
    """
    values = Values(variables)
    place, routes = paths(values), routing(values)
    return Derived(
        site=site(values, constants["__flask_apache_compressible"]),
        paths=place,
        routing=routes,
        logs=logs(values, place, routes.pool_variable),
        metrics=served_metrics(values),
        mod_wsgi=mod_wsgi(values, host, constants),
        units=units(values),
        claims=claims(values.texts("directives")),
        pages=ErrorPages(),
        headers=security_headers(values),
        tls=tls(values, place.vhosts[0].directory),
        access=access.access(values, place.conf),
    )


def site(values: Values, compressible: list[str]) -> Site:
    """Return how visitors and the app's processes see it."""
    app, compression = values.text("app"), values.flag("compression")
    slots = SLOTS[:1] if values.text("strategy") == "rolling" else SLOTS
    return Site(
        name=app,
        user=values.text("user"),
        server_name=values.text("server_name").lower(),
        server_aliases=[alias.lower() for alias in values.texts("server_aliases")],
        port=values.number("port"),
        mount=values.text("mount"),
        pools=[Pool(f"{app}-{slot}", slot) for slot in slots],
        umask=values.text("daemon_umask", UMASK),
        lang=values.text("daemon_lang", LANG),
        apache_modules=[
            *MODULES,
            *(COMPRESSION_MODULES if compression else ()),
            *(modules(values) if values.text("tls") != "none" else ()),
            *access.modules(values),
        ],
        compression=compression,
        compressible=list(compressible),
        cache_forever=CACHE_FOREVER,
        static_max_age=values.number("static_max_age"),
        retry_after=values.number("retry_after"),
        request_body_limit=values.number("request_body_limit"),
        directives=values.texts("directives"),
        restricted=restricts(values.texts("directives")) or access.is_guarded(values),
        log_keep_days=values.number("log_keep_days"),
    )


def mod_wsgi(values: Values, host: Mapping[str, Any], constants: Mapping[str, Any]) -> ModWsgi:
    """Return what the host's mod_wsgi is told."""
    found = mod_wsgi_version(values, host, constants["__flask_apache_distributions"])
    built, has_telemetry = values.text("mod_wsgi_source") == "pip", version(found) >= (6, 0, 0)
    module = f"/usr/local/lib/flask-apache/mod_wsgi-{found}-python{host['python']}.so"
    return ModWsgi(
        mod_wsgi_version=found,
        mod_wsgi_module=module if built else "",
        daemon_options=daemon_options(values.variables, found, constants["__flask_apache_daemon_since"]),
        telemetry=values.text("mod_wsgi_telemetry") if has_telemetry else "",
        slow_requests=values.text("mod_wsgi_slow_requests") if has_telemetry else "",
    )


def index_urls(variables: Mapping[str, Any]) -> list[str]:
    """Return the package indexes' addresses, the first one empty for pip's own. They may hold passwords."""
    values = Values(variables)
    return [values.text("index_url"), *values.texts("extra_index_urls")]


def declared(
    variables: Mapping[str, Any], derived: Derived, host: Mapping[str, Any], wheelhouse: str = ""
) -> dict[str, Any]:
    """Return the content of app.json. ``wheelhouse`` is the id of the packed wheelhouse, if there is one."""
    values, own = Values(variables), derived.site
    return {
        "format": FORMAT,
        "app": own.name,
        "user": own.user,
        "server_name": own.server_name,
        "server_aliases": own.server_aliases,
        "default_server": values.flag("default_server"),
        "port": own.port,
        "mount": own.mount,
        "https_port": derived.tls.https_port,
        "certificate": derived.tls.certificate,
        "acme": derived.tls.acme,
        "tls": is_tls(own.directives),
        "restricted": own.restricted,
        "proxy_protocol": derived.access.proxy_protocol,
        "shared": access.shared(values),
        "strategy": values.text("strategy"),
        "idle_pool": values.text("idle_pool"),
        "processes": values.number("daemon_processes"),
        "umask": own.umask,
        "access_log": derived.logs.access_log,
        "error_log": derived.logs.error_log,
        "manage_service": values.flag("manage_service"),
        "metrics_textfile": values.text("metrics_textfile"),
        "metrics_served": bool(derived.metrics.metrics_allow),
        "harden_server": values.flag("harden_server"),
        "sandbox": values.text("sandbox"),
        "sandbox_without": sandbox_without(values),
        "sandbox_writable": values.texts("sandbox_writable"),
        "keep_releases": values.number("keep_releases"),
        "lock_wait": values.number("lock_wait"),
        "workers": [
            {"name": worker.name, "instances": worker.instances, "stop_timeout": worker.stop_timeout}
            for worker in derived.units.workers
        ],
        "timers": [timer.name for timer in derived.units.timers],
        **release(values, host, wheelhouse),
        **gate(values),
    }


def sandbox_without(values: Values) -> list[str]:
    """Return which of the sandbox's settings an app cannot have: those that are named, and those of a priority."""
    priority = int(values.raw("daemon_cpu_priority") or 0)
    of_priority = ["SystemCallFilter"] * (priority != 0) + ["CapabilityBoundingSet"] * (priority < 0)
    named = values.texts("sandbox_without")
    return [*named, *(name for name in of_priority if name not in named)]


def release(values: Values, host: Mapping[str, Any], wheelhouse: str) -> dict[str, Any]:
    """Return of a declaration what a release is made of, and what runs while it goes live."""
    urls = index_urls(values.variables)
    shown = [re.sub(r"://[^/]*@", "://", url) for url in urls]
    required = values.raw("requirements")
    if values.text("source_type") == "package":
        required = ["requirements.txt"]
    return {
        "wsgi": values.text("wsgi"),
        "python": values.text("python"),
        "python_version": host["python"],
        "requirements": None if required is None else [str(path) for path in required],
        "constraints": values.texts("constraints"),
        "extras": values.texts("extras"),
        "index_url": shown[0],
        "extra_index_urls": shown[1:],
        "index_private": urls != shown,
        "wheelhouse": wheelhouse,
        "installer": values.text("installer"),
        "uv_version": values.text("uv_version"),
        "pip_args": values.texts("pip_args"),
        "build_timeout": values.number("build_timeout"),
        "environment_secrets": values.texts("environment_secrets"),
        "data_directories": [data_directory(entry) for entry in values.raw("data_directories")],
        "static": [
            {
                "url": str(entry["url"]),
                "path": str(entry["path"]),
                "immutable": is_on(entry.get("immutable", False)),
            }
            for entry in values.mappings("static")
        ],
        "hooks": [hook(entry) for entry in values.mappings("hooks")],
        "irreversible": values.flag("irreversible"),
    }


def gate(values: Values) -> dict[str, Any]:
    """Return of a declaration what a release is judged by."""
    return {
        "health_path": values.text("health_path"),
        "health_status": [int(status) for status in values.raw("health_status")],
        "health_body": values.text("health_body"),
        "health_host": values.text("health_host"),
        "health_successes": values.number("health_successes"),
        "health_request_timeout": values.number("health_request_timeout"),
        "health_timeout": values.number("health_timeout"),
        "soak": values.number("soak"),
        "soak_errors": values.number("soak_errors"),
        "ready_path": values.text("ready_path"),
    }


def data_directory(entry: str | Mapping[str, Any]) -> dict[str, str]:
    """Return a data directory and the path in the source that leads there, or nothing for none."""
    if isinstance(entry, str):
        return {"name": str(entry), "link": ""}
    return {"name": str(entry["name"]), "link": str(entry.get("link") or "")}


def hook(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a hook with its defaults."""
    run = entry["run"]
    return {
        "at": str(entry["at"]),
        "run": str(run) if isinstance(run, str) else [str(word) for word in run],
        "once": is_on(entry.get("once", False)),
        "timeout": int(entry.get("timeout", HOOK_SECONDS)),
    }
