"""Variables and hosts for which the role's templates are rendered, and readers of the results."""

from __future__ import annotations

import re
import shlex
from typing import Any

import yaml

from tests.unit.programs import ROLE

SPECS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
SPEC = SPECS["main"]["options"]
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
CONSTANTS = yaml.safe_load((ROLE / "vars/main.yml").read_text())
BASE: dict[str, Any] = {
    **DEFAULTS,
    "flask_apache_source": "/source",
    "flask_apache_server_name": "www.example.com",
}
DAEMON = sorted(name for name in SPEC if name.startswith("flask_apache_daemon_"))
NUMBERS = [name for name in DAEMON if SPEC[name]["type"] == "int"]
EVERY_OPTION: dict[str, Any] = {
    **{name: 100 + position for position, name in enumerate(NUMBERS)},
    "flask_apache_daemon_umask": "0022",
    "flask_apache_daemon_lang": "en_GB.UTF-8",
    "flask_apache_daemon_locale": "de_DE.UTF-8",
    "flask_apache_daemon_switch_interval": 0.005,
    "flask_apache_daemon_server_metrics": True,
    "flask_apache_daemon_supplementary_groups": ["adm", "ssl-cert"],
}
PIP = {"flask_apache_mod_wsgi_source": "pip", "flask_apache_mod_wsgi_version": "6.1.1"}
TELEMETRY = {
    "flask_apache_mod_wsgi_telemetry": "unix:/run/telemetry.sock interval=2",
    "flask_apache_mod_wsgi_slow_requests": 0.5,
}
AS_STRINGS = {name: str(value) for name, value in DEFAULTS.items() if isinstance(value, (bool, int, float))}


def host(version: str | None = "4.9.4") -> dict[str, Any]:
    """Return what a declaration depends on in the answer of the engine's command inspect."""
    return {
        "distribution": "Debian",
        "distribution_version": "12",
        "mod_wsgi_package": version,
        "python": "3.11",
    }


WORKER = {"name": "queue", "command": r"""program 'a b' "100%" \d $HOME n{instance}"""}
TIMER = {"name": "nightly", "command": ["program", 'say "hi"'], "calendar": "Mon..Fri 04:30", "timeout": 60}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "defaults": ({}, host()),
    "every-4.9.4": (EVERY_OPTION, host("4.9.4")),
    "every-6.0.0": (EVERY_OPTION | {**PIP, "flask_apache_mod_wsgi_version": "6.0.0"}, host()),
    "every-6.1.1": (EVERY_OPTION | PIP, host()),
    "nothing": ({**dict.fromkeys(DAEMON), "flask_apache_daemon_processes": 1, **PIP}, host()),
    "not-inspected": ({}, host(None)),  # mod_wsgi is not installed yet
    "metrics-off": ({"flask_apache_daemon_server_metrics": "no"}, host()),
    "metrics-on": ({"flask_apache_daemon_server_metrics": "yes"}, host()),
    "telemetry-4.9.4": (TELEMETRY, host()),
    "telemetry-6.1.1": (TELEMETRY | PIP, host()),
    "names": (
        {
            "flask_apache_app": "my-shop",
            "flask_apache_user": "clerk",
            "flask_apache_mount": "/a.b",
            "flask_apache_server_name": "WWW.Example.com",
            "flask_apache_server_aliases": ["Example.com", "*.example.com"],
            "flask_apache_port": 8080,
        },
        host(),
    ),
    "tls": (
        {
            "flask_apache_server_aliases": ["example.com", "*.example.org"],
            "flask_apache_mount": "/a.b",
            "flask_apache_tls": "files",
            "flask_apache_https_port": "8443",
            "flask_apache_hsts": "300",
        },
        host(),
    ),
    "tls-acme": (
        {
            "flask_apache_tls": "acme",
            "flask_apache_acme_email": "admin@example.com",
            "flask_apache_acme_key_id": "customer",
            "flask_apache_directives": ["SetEnv A b"],
        },
        host(),
    ),
    "tls-modern": (
        {
            "flask_apache_server_aliases": ["example.com"],
            "flask_apache_tls": "files",
            "flask_apache_tls_on": "host",
            "flask_apache_tls_certificate": "/etc/ssl/certs/own.pem",
            "flask_apache_tls_chain": "/etc/ssl/certs/chain.pem",
            "flask_apache_tls_key": "/etc/ssl/private/own.pem",
            "flask_apache_tls_profile": "modern",
            "flask_apache_http2": "no",
            "flask_apache_canonical_host": "yes",
            "flask_apache_directives": ["Require ip 192.0.2.1"],
        },
        host(),
    ),
    "logs": (
        {
            "flask_apache_access_log": "/var/log/shop/a.log",
            "flask_apache_error_log": "/var/log/shop/e.log",
            "flask_apache_metrics_textfile": "/var/lib/metrics",
        },
        host(),
    ),
    "logs-json": (
        {
            "flask_apache_app": "my-shop",
            "flask_apache_mount": "/a.b",
            "flask_apache_access_log": "journald",
            "flask_apache_error_log": "journald",
            "flask_apache_access_log_format": "json",
            "flask_apache_metrics_allow": ["192.0.2.7", "2001:db8::/32"],
            "flask_apache_metrics_path": "/numbers",
        },
        host(),
    ),
    "rolling": ({"flask_apache_strategy": "rolling", "flask_apache_idle_pool": "cold"}, host()),
    "units": (
        {
            "flask_apache_app": "my-shop",
            "flask_apache_workers": [{**WORKER, "instances": "2", "stop_timeout": "5"}],
            "flask_apache_timers": [TIMER],
        },
        host(),
    ),
    "unit-defaults": (
        {
            "flask_apache_workers": [WORKER],
            "flask_apache_timers": [{name: TIMER[name] for name in ("name", "command", "calendar")}],
            "flask_apache_daemon_umask": None,
            "flask_apache_daemon_lang": None,
        },
        host(),
    ),
    "static": (
        {
            "flask_apache_mount": "/a.b",
            "flask_apache_static": [
                {"url": "/static", "path": "shop/static"},
                {"url": "/i+g/", "path": "img", "immutable": "yes"},
            ],
            "flask_apache_static_max_age": "90",
            "flask_apache_compression": "false",
            "flask_apache_directives": ["SetEnv A b", "SetEnv C d"],
        },
        host(),
    ),
    "proxies": (
        {
            "flask_apache_server_aliases": ["example.com"],
            "flask_apache_trusted_proxies": ["192.0.2.1", "2001:db8::/32"],
            "flask_apache_hsts": 300,
            "flask_apache_tls": "files",
            "flask_apache_canonical_host": "yes",
            "flask_apache_directives": ["Require ip 192.0.2.1"],
        },
        host(),
    ),
    "proxy-protocol": (
        {
            "flask_apache_trusted_proxies": ["192.0.2.0/24"],
            "flask_apache_proxy_protocol": "yes",
            "flask_apache_tls": "self_signed",
            "flask_apache_directives": ["Require ip 192.0.2.1"],
        },
        host(),
    ),
    "guarded": (
        {
            "flask_apache_mount": "/a.b",
            "flask_apache_basic_auth": [
                {"users": {"alice": "wonderland"}},
                {"path": "/admin/", "realm": "Staff", "users": {"bob": 'a"b\\c'}},
            ],
            "flask_apache_allow": [
                {"path": "/admin", "from": ["192.0.2.1", "2001:db8::/32"]},
                {"path": "/hook.x", "from": ["all"]},
            ],
        },
        host(),
    ),
    "strict": ({"flask_apache_security_headers": "strict"}, host()),
    "no-headers": ({"flask_apache_security_headers": "none"}, host()),
    "strings": (
        {**AS_STRINGS, "flask_apache_health_status": ["200", "204"], "flask_apache_manage_service": "false"},
        host(),
    ),
}


def variables_of(case: str) -> dict[str, Any]:
    """Return all of the role's variables in a case."""
    variables = {**BASE, **CASES[case][0]}
    if "{{" in variables["flask_apache_user"]:
        variables["flask_apache_user"] = variables["flask_apache_app"]
    return variables


def lines(text: str) -> list[str]:
    """Return the directives of a configuration, one on each line."""
    joined = re.sub(r"\\\n[ \t]*", "", text)
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def directives(text: str, name: str) -> list[list[str]]:
    """Return the arguments of each occurrence of a directive."""
    return [shlex.split(line)[1:] for line in lines(text) if line.split()[0] == name]
