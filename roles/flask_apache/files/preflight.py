#!/usr/bin/env python3
"""Check the role's variables against each other, the source and the host. Runs on the controller, changes nothing.

Reads one JSON object from standard input: ``variables`` (every ``flask_apache_*`` variable), ``known`` (the role's
names), ``host`` (what inspect_host.py printed), ``distributions`` (supported ones, with their versions). Prints a
JSON list of all errors, one line each: variable, value, what to write instead. Types and choices are declared in
meta/argument_specs.yml and have been checked by Ansible before.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Variables = dict[str, Any]

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST_NAME = re.compile(rf"(?=.{{1,253}}$){LABEL}(\.{LABEL})*", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
FORBIDDEN_IN_CONFIGURATION = re.compile(r"[\"'`\\]|\$\{")
MAXIMUM_PORT = 65535
STATIC_SYSTEM_UIDS = range(100)  # Debian's policy: root, daemon, www-data and their like
LEAST_MEMORY = 32 * 2**20  # bytes; below it is surely a number of megabytes

# Strings by pattern: {variable: (pattern, what to write)}
PATTERNS: dict[str, tuple[str, str]] = {
    "app": (r"(?!vhosts$)[a-z][a-z0-9-]{0,31}", "a lower-case letter, then up to 31 letters, digits or hyphens"),
    "user": (r"[a-z_][a-z0-9_-]{0,31}", "a Unix user name of the app's own"),
    "mount": (r"/|(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+", "/ or a path such as /shop, with no slash at its end"),
    "health_path": (r"/[\w.~!$&()*+,;=:@%/?-]*", "a path below the mount, such as /healthz"),
    "python": (r"(/[\w.+-]+)+", "the absolute path of an interpreter on the host, such as /usr/bin/python3"),
    "wsgi": (
        r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(.*\))?",
        "module:callable or module:factory()",
    ),
    "access_log": (r"|(/[\w.@+-]+)+", "an absolute path, or nothing for the app's own files"),
    "error_log": (r"|(/[\w.@+-]+)+", "an absolute path, or nothing for the app's own files"),
    "mod_wsgi_version": (r"\d+(\.\d+){1,2}", "a version of mod_wsgi on PyPI, such as 6.1.1"),
    "mod_wsgi_telemetry": (
        r"|unix:(/[\w.@+-]+)+( interval=\d+(\.\d+)?)?",
        "unix:/path, or unix:/path interval=SECONDS",
    ),
    "daemon_umask": (r"0?[0-7]{3}", "three octal digits in quotes, such as '0027'"),
    "daemon_lang": (r"[\w@-]+\.(?i:utf-?8)", "a UTF-8 locale such as C.UTF-8: others break file names"),
    "daemon_locale": (r"[\w@-]+\.(?i:utf-?8)", "a UTF-8 locale such as C.UTF-8: others break file names"),
}
LIST_PATTERNS: dict[str, tuple[str, str]] = {
    "requirements": (r"(?!/)(?!.*\.\.(/|$))[\w./+-]+", "paths below the source, such as requirements.txt"),
    "source_exclude": (r"[^/]+", "names or patterns of names, such as *.log, without a slash"),
    "daemon_supplementary_groups": (r"[a-z_][a-z0-9_-]{0,31}", "names of Unix groups"),
}
# Numbers by range: {variable: (least, most, unit)}
NUMBERS: dict[str, tuple[int, int, str]] = {
    "port": (1, MAXIMUM_PORT, ""),
    "keep_releases": (2, 1000, "releases: the live and the previous one are always kept"),
    "log_keep_days": (1, 36500, "days"),
    "request_body_limit": (0, 2**31 - 1, "bytes, 0 for no limit"),
    "health_timeout": (1, 3600, "seconds"),
    "build_timeout": (10, 86400, "seconds"),
    "mod_wsgi_slow_requests": (0, 86400, "seconds"),
    "daemon_processes": (1, 1000, "processes"),
    "daemon_threads": (1, 1000, "threads"),
    "daemon_cpu_priority": (-20, 19, ""),
    "daemon_switch_interval": (0, 60, "seconds"),
    "daemon_memory_limit": (LEAST_MEMORY, 2**62, "bytes"),
    "daemon_virtual_memory_limit": (LEAST_MEMORY, 2**62, "bytes"),
    "daemon_stack_size": (16384, 2**31 - 1, "bytes"),
    "daemon_listen_backlog": (1, 65535, "connections"),
    "daemon_maximum_requests": (0, 2**31 - 1, "requests"),
    "daemon_restart_interval": (0, 2**31 - 1, "seconds"),
    "daemon_cpu_time_limit": (0, 2**31 - 1, "seconds"),
    "daemon_header_buffer_size": (8192, 2**31 - 1, "bytes"),
    "daemon_receive_buffer_size": (512, 2**31 - 1, "bytes"),
    "daemon_send_buffer_size": (512, 2**31 - 1, "bytes"),
    "daemon_response_buffer_size": (65536, 2**31 - 1, "bytes"),
    "daemon_response_flush_delay": (0, 2**31 - 1, "milliseconds"),
    "daemon_response_socket_timeout": (0, 86400, "seconds"),
    **{
        f"daemon_{name}_timeout": (0, 86400, "seconds")
        for name in (
            *("connect", "deadlock", "eviction", "graceful", "inactivity", "interrupt"),
            *("queue", "request", "shutdown", "socket", "startup"),
        )
    },
}


def message(name: str, value: object, remedy: str) -> str:
    """Return the one line for one error."""
    return f"flask_apache_{name}: {value!r} {remedy}"


def strings(value: object) -> Iterator[str]:
    """Yield the strings in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from strings(pair)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)


def check_names(variables: Variables, known: list[str]) -> Iterator[str]:
    """Report variables that the role does not have."""
    for name in sorted(set(variables) - set(known)):
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
        yield f"{name}: no such variable; did you mean {nearest[0]}?"


def check_characters(own: Variables) -> Iterator[str]:
    """Report control characters, and what would end a quoted string of Apache's configuration."""
    for name, value in own.items():
        if name == "environment":
            continue
        for text in strings(value):
            if CONTROL.search(text):
                yield message(name, text, "holds a control character; write it without")
            elif name not in ("wsgi", "pip_args", "source") and FORBIDDEN_IN_CONFIGURATION.search(text):
                yield message(name, text, "holds a quote, a backslash or ${; write it without")


def check_patterns(own: Variables) -> Iterator[str]:
    """Report strings that are not of their variable's form."""
    for name, (pattern, remedy) in PATTERNS.items():
        value = own[name]
        if value is not None and not re.fullmatch(pattern, str(value)):
            yield message(name, value, f"is not valid; write {remedy}")
    for name, (pattern, remedy) in LIST_PATTERNS.items():
        for value in own[name] or []:
            if not re.fullmatch(pattern, str(value)):
                yield message(name, value, f"is not valid; write {remedy}")


def check_numbers(own: Variables) -> Iterator[str]:
    """Report numbers out of their range."""
    for name, (least, most, unit) in NUMBERS.items():
        value = own[name]
        if value is not None and not least <= float(value) <= most:
            yield message(name, value, f"is out of range; write {least} to {most} {unit}".rstrip())
    for value in own["health_status"]:
        if not 100 <= int(value) <= 599:  # noqa: PLR2004
            yield message("health_status", value, "is no HTTP status; write numbers such as 200")


def check_hosts(own: Variables) -> Iterator[str]:
    """Report server names and aliases that no browser could ask for."""
    if not HOST_NAME.fullmatch(str(own["server_name"])):
        yield message("server_name", own["server_name"], "is no host name; write one such as www.example.com")
    for value in own["server_aliases"]:
        if not HOST_NAME.fullmatch(str(value).removeprefix("*.")):
            yield message("server_aliases", value, "is no host name; write one such as example.com or *.example.com")


def check_wsgi(own: Variables) -> Iterator[str]:
    """Report a factory call whose arguments are not literals."""
    expression = str(own["wsgi"]).partition(":")[2]
    if "(" not in expression:
        return
    try:
        call = ast.parse(expression, mode="eval").body
        if not isinstance(call, ast.Call) or isinstance(call.func, ast.Call):
            raise ValueError(expression)  # noqa: TRY301, TRY004
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
            ast.literal_eval(argument)
    except (SyntaxError, ValueError):
        yield message("wsgi", own["wsgi"], "is not valid; write module:factory() with literal arguments")


def check_environment(own: Variables) -> Iterator[str]:
    """Report environment variables that cannot be set. Never shows a value: it may be a secret."""
    for name, value in own["environment"].items():
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            yield message("environment", name, "is no name of an environment variable; write letters, digits and _")
        elif name.startswith("FLASK_APACHE_"):
            yield message("environment", name, "is set by the role itself; choose another name")
        elif not isinstance(value, (str, int, float)):
            yield message("environment", name, f"has a {type(value).__name__} for a value; write a string in quotes")
        elif "\0" in str(value):
            yield message("environment", name, "has a NUL byte in its value; encode it, for example as base64")


def check_source(own: Variables) -> Iterator[str]:
    """Report a missing source, requirements file or certificate on the controller."""
    source = Path(own["source"])
    if not source.is_absolute() or not source.is_dir():
        yield message("source", own["source"], "is no directory of the controller; write the app's absolute path")
    else:
        for name in own["requirements"] or []:
            if not (source / str(name)).is_file():
                yield message("requirements", name, f"is not in {source}; write an existing file, or [] for none")
    for name in own["ca_certificates"]:
        path = Path(name)
        if not path.is_file() or b"-----BEGIN CERTIFICATE-----" not in path.read_bytes():
            yield message("ca_certificates", name, "is no PEM certificate on the controller; write its path")


def check_host(own: Variables, host: Variables, distributions: dict[str, dict[str, str]]) -> Iterator[str]:
    """Report a host that the role cannot work on."""
    name, version = host["distribution"], host["distribution_version"]
    if version not in distributions.get(name, {}):
        supported = ", ".join(
            f"{system} {release}" for system, releases in distributions.items() for release in releases
        )
        yield f"host: {name} {version} is not supported; use one of {supported}"
    if not host["root"]:
        yield "host: the role does not run as root there; set become: true on the play"
    if host["python"] is None:
        yield message("python", own["python"], "does not run on the host; write an installed interpreter")
    elif own["mod_wsgi_source"] == "package" and host["python"] != host["distribution_python"]:
        yield message(
            "python",
            own["python"],
            f"is Python {host['python']}, but the distribution's mod_wsgi is of {host['distribution_python']}; "
            "write /usr/bin/python3, or set flask_apache_mod_wsgi_source: pip",
        )


def check_user(own: Variables, host: Variables) -> Iterator[str]:
    """Report a Unix user that is not the app's own."""
    if host["user"] and host["user"]["uid"] in STATIC_SYSTEM_UIDS:
        yield message("user", own["user"], "is a user of the system; write a user of the app's own")


def check_port(own: Variables, host: Variables) -> Iterator[str]:
    """Report a port that another program listens on."""
    holder = host["listeners"].get(str(own["port"]))
    if holder and not holder.startswith("apache2 "):
        yield message("port", own["port"], f"is held by {holder}; stop that program, or write another port")


def check_neighbours(own: Variables, host: Variables) -> Iterator[str]:
    """Report what would take something away from another app or site of the host."""
    names = {str(own["server_name"]).lower(), *(str(alias).lower() for alias in own["server_aliases"])}
    port = int(own["port"])
    for app in host["apps"]:
        if app["app"] == own["app"]:
            continue
        if app["user"] == own["user"]:
            yield message("user", own["user"], f"is the user of the app {app['app']}; write a user of the app's own")
        if app["python_version"] != host["python"] and host["python"]:
            yield message(
                "python",
                own["python"],
                f"is Python {host['python']}, but the app {app['app']} on this Apache runs {app['python_version']}; "
                "one Apache has one mod_wsgi, and that one Python: write the same interpreter",
            )
        if (
            app["port"] == port
            and names & {app["server_name"], *app["server_aliases"]}
            and app["mount"] == own["mount"]
        ):
            yield message(
                "mount", own["mount"], f"is the mount of the app {app['app']}; write another path or server name"
            )
    for site in host["configuration"]["sites"]:
        if site["port"] != port or site["stock"]:
            continue
        for name in sorted(names & set(site["hosts"])):
            yield message("server_name", name, f"is already served by {site['file']}; write another name or port")
        if own["default_server"]:
            yield message(
                "default_server",
                own["default_server"],
                f"would take requests away from {site['file']}; write false and a server name, or another port",
            )


def errors(variables: Variables, known: list[str], host: Variables, distributions: dict[str, Any]) -> list[str]:
    """Return all errors, in the order of the checks."""
    own = {name.removeprefix("flask_apache_"): value for name, value in variables.items() if name in known}
    checks: list[Callable[[], Iterator[str]]] = [
        lambda: check_names(variables, known),
        lambda: check_characters(own),
        lambda: check_patterns(own),
        lambda: check_numbers(own),
        lambda: check_hosts(own),
        lambda: check_wsgi(own),
        lambda: check_environment(own),
        lambda: check_source(own),
        lambda: check_host(own, host, distributions),
        lambda: check_user(own, host),
        lambda: check_port(own, host),
        lambda: check_neighbours(own, host),
    ]
    return list(dict.fromkeys(error for check in checks for error in check()))


if __name__ == "__main__":
    print(json.dumps(errors(**json.load(sys.stdin))))
