#!/usr/bin/env python3
"""Check the role's variables against each other, the source and the host. Runs on the controller, changes nothing.

Reads one JSON object from standard input: ``variables`` (every ``flask_apache_*`` variable), ``known`` (the role's
names), ``host`` (what inspect_host.py printed), ``distributions`` (supported ones, with their versions). Prints a
JSON list of all errors, one line each: variable, value, what to write instead. Types and choices are declared in
meta/argument_specs.yml and have been checked by Ansible before; but Ansible hands over what it only found convertible,
such as "8080" for a number, or 200 for a list.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import json
import os
import re
import reprlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from dependencies import DependencyError, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Variables = dict[str, Any]

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST_NAME = re.compile(rf"(?=.{{1,200}}$){LABEL}(\.{LABEL})*", re.IGNORECASE | re.ASCII)  # the names of files hold it
CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
FORBIDDEN_IN_CONFIGURATION = re.compile(r"[\"'`\\]|\$\{")
MAXIMUM_PORT = 65535
STATIC_SYSTEM_UIDS = range(100)  # Debian's policy: root, daemon, www-data and their like
OTHERS_USERS = ("root", "nobody", "www-data", "flask-apache-build")
LEAST_MEMORY = 32 * 2**20  # bytes; below it is surely a number of megabytes
OLDEST_MOD_WSGI = (4, 9)
RELATIVE_PATH = r"(?!.{201})[\w-][\w.-]*(/[\w-][\w.-]*)*"
HOOK_POINTS = ("before_check", "before_start", "before_switch", "after_switch")
SHOWN = 100  # characters of a value in a message

BELOW_SOURCE = r"(?![/-])(?!.*\.\.(/|$))[\w./+-]+"

# Strings by pattern: {variable: (pattern, what to write)}
PATTERNS: dict[str, tuple[str, str]] = {
    "app": (r"(?!vhosts$)[a-z][a-z0-9-]{0,31}", "a lower-case letter, then up to 31 letters, digits or hyphens"),
    "user": (r"[a-z_][a-z0-9_-]{0,31}", "a Unix user name of the app's own"),
    "mount": (
        r"/|(?=.{1,200}$)(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+",
        "/ or a path such as /shop, with no slash at its end",
    ),
    "health_path": (r"/[\w.~!$&()*+,;=:@%/?-]*", "a path below the mount, such as /healthz"),
    "python": (r"(/[\w.+-]+)+", "the absolute path of an interpreter on the host, such as /usr/bin/python3"),
    "wsgi": (
        r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(.*\))?",
        "module:callable or module:factory()",
    ),
    "access_log": (r"|(/[\w.@+-]+)+", "an absolute path, or nothing for the app's own files"),
    "error_log": (r"|(/[\w.@+-]+)+", "an absolute path, or nothing for the app's own files"),
    "uv_version": (r"\d{1,4}(\.\d{1,4}){1,2}", "a version of uv on PyPI, such as 0.13.9"),
    "mod_wsgi_version": (r"\d{1,3}(\.\d{1,3}){1,2}", "a version of mod_wsgi on PyPI, such as 6.1.1"),
    "mod_wsgi_telemetry": (
        r"|unix:(/[\w.@+-]+)+( interval=(0\.[5-9]\d*|[1-9]\d*(\.\d+)?))?",
        "unix:/path, or unix:/path interval=SECONDS with at least 0.5",
    ),
    "source_directory": (r"|(?![/-])(?!(.*/)?\.\.(/|$))[\w./+ -]+", "a directory below the source, such as backend"),
    "git_version": (r"(?!-)(?!.*\.\.)[\w./+@-]{1,200}", "a branch, a tag, or a commit's 40 digits"),
    "archive_checksum": (r"|sha256:[0-9A-Fa-f]{64}", "sha256: and 64 digits, as `sha256sum` prints them"),
    "health_host": (rf"|(?i:{HOST_NAME.pattern})", "a host name, or nothing for the server name"),
    "ready_path": (r"(/(?!\.{1,2}(/|$))[\w.~-]+)+", "a path below the mount, such as /-/ready"),
    "rollback_to": (r"|[0-9a-f]+-[0-9a-f]+", "a release's id, as `flask-apachectl releases` shows it"),
    "daemon_umask": (r"0?[0-7]{3}", "three octal digits in quotes, such as '0027'"),
    "daemon_lang": (r"[\w@-]+\.(?i:utf-?8)", "a UTF-8 locale such as C.UTF-8: others break file names"),
    "daemon_locale": (r"[\w@-]+\.(?i:utf-?8)", "a UTF-8 locale such as C.UTF-8: others break file names"),
}
LIST_PATTERNS: dict[str, tuple[str, str]] = {
    "requirements": (BELOW_SOURCE, "paths below the source, such as requirements.txt"),
    "constraints": (BELOW_SOURCE, "paths below the source, such as constraints.txt"),
    "extras": (r"(?i:[a-z0-9]([a-z0-9._-]*[a-z0-9])?)", "names of extras, such as postgresql"),
    "system_packages": (r"[a-z0-9][a-z0-9.+-]+", "names of the distribution's packages, such as libpq5"),
    "source_exclude": (r"(?!-)[^/]+", "names or patterns such as *.log, without a slash or a leading hyphen"),
    "git_known_hosts": (
        r"(@cert-authority |@revoked )?\S+ [\w@.-]+ [A-Za-z0-9+/=]{16,}( .*)?",
        "lines of known_hosts, such as git.example.com ssh-ed25519 AAAA...",
    ),
    "package_requirements": (r"\S.*", "lines of a requirements file, such as psycopg==3.2.3"),
    "daemon_supplementary_groups": (r"[a-z_][a-z0-9_-]{0,31}", "names of Unix groups"),
}
# Numbers by range: {variable: (least, most, unit)}
NUMBERS: dict[str, tuple[float, int, str]] = {
    "port": (1, MAXIMUM_PORT, ""),
    "keep_releases": (2, 1000, "releases: the live and the previous one are always kept"),
    "git_depth": (0, 2**31 - 1, "commits, 0 for all"),
    "log_keep_days": (1, 36500, "days"),
    "static_max_age": (0, 31536000, "seconds"),
    "request_body_limit": (0, 2**31 - 1, "bytes, 0 for no limit"),
    "health_timeout": (1, 3600, "seconds"),
    "health_successes": (1, 100, "rounds"),
    "health_request_timeout": (1, 600, "seconds"),
    "build_timeout": (10, 86400, "seconds"),
    "soak": (0, 3600, "seconds, 0 for none"),
    "soak_errors": (0, 1000000, "answers"),
    "canary": (0, 99, "percent, 0 for all at once"),
    "lock_wait": (0, 3600, "seconds"),
    "retry_after": (1, 86400, "seconds"),
    "mod_wsgi_slow_requests": (0, 86400, "seconds"),
    "daemon_processes": (1, 1000, "processes"),
    "daemon_threads": (1, 1000, "threads"),
    "daemon_cpu_priority": (-20, 19, ""),
    "daemon_switch_interval": (0.0001, 60, "seconds"),
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
FRACTIONS = ("mod_wsgi_slow_requests", "daemon_switch_interval")
FLAGS = (
    *("compression", "default_server", "manage_service", "irreversible", "rollback_force"),
    *("daemon_server_metrics", "git_submodules", "source_gitignore"),
)
ON, OFF = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
UNITS = ("workers", "timers")
OTHER_LISTS = ("health_status", "static", "data_directories", "hooks", *UNITS)  # not of strings
LISTS = (
    *("ca_certificates", "environment_secrets", "extra_index_urls", "git_signers", "pip_args", "server_aliases"),
    "directives",
    *OTHER_LISTS,
    *LIST_PATTERNS,
)
STOP_SIGNALS = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH")
# Of a worker or a timer, by range: {option: (least, most, unit)}
UNIT_NUMBERS = {
    "instances": (1, 100, "instances"),
    "stop_timeout": (1, 86400, "seconds"),
    "timeout": (1, 604800, "seconds"),
}
ADDRESSES = ("index_url", "extra_index_urls")  # may hold a password
STRINGS = ("server_name", "source", "health_body", "index_url", "wheelhouse", "git_key", *PATTERNS)
# May hold quotes and the like, as they are in no configuration of Apache's; and those that may also hold lines.
QUOTED = (
    *("wsgi", "pip_args", "source", "health_body", "directives", "git_known_hosts", "package_requirements"),
    *("hooks", *UNITS, *ADDRESSES),
)
TEXTS = ("environment", "git_key", "git_signers")
# Forms of flask_apache_source, by its type
HTTPS = r"https://[^\s/?#-][^\s/?#]*/\S*"
SSH = r"ssh://([\w.-]+@)?(?P<host>\w[\w.-]*)(:\d+)?/\S+|[\w.-]+@(?P<short>\w[\w.-]*):(?!/?-)\S+"
REQUIREMENT = r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?(\[[\w.,-]+\])?==\w[\w.!+-]*"
WHEEL = r"(/.*\.whl)(\[[\w.,-]+\])?"
SIGNER = r"\S+ (\S+ )?(sk-)?(ssh|ecdsa)-[\w@.-]+ [A-Za-z0-9+/=]{16,}( .*)?"
PGP = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
# Besides daemon_*: null is as good as nothing.
NULLABLE = ("requirements", "access_log", "error_log", "mod_wsgi_telemetry", "mod_wsgi_slow_requests")


def message(name: str, value: object, remedy: str) -> str:
    """Return the one line for one error."""
    shown = repr(value) if isinstance(value, (str, int, float)) else reprlib.repr(value)
    shown = re.sub(r"://[^'\"]*@", "://****@", shown)
    shown = shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 3]}..."
    return f"flask_apache_{name}: {shown} {remedy}"


def may_be_null(name: str) -> bool:
    """Tell whether a variable may have no value."""
    return name in NULLABLE or (name.startswith("daemon_") and name != "daemon_processes")


def number(value: object, *, whole: bool = True) -> float | None:
    """Return a number, also from a string; None for what is not written as Apache reads it."""
    if isinstance(value, str):
        form = r"-?(0|[1-9]\d{0,18})" if whole else r"\d{1,9}(\.\d{1,9})?"
        return float(value) if re.fullmatch(form, value, re.ASCII) else None
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    return value if is_number else None  # type: ignore[return-value]


def is_on(value: object) -> bool:
    """Read a flag as Ansible's filter ``bool`` does."""
    return str(value).lower() in ON


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


def check_types(own: Variables) -> Iterator[str]:
    """Report values that Ansible found convertible, but the role would use as they are."""
    for name in STRINGS:
        if not isinstance(own[name], str) and not (own[name] is None and may_be_null(name)):
            yield message(name, own[name], "is no string; write one, in quotes")
    for name in FLAGS:
        if str(own[name]).lower() not in (*ON, *OFF, *(["none"] if may_be_null(name) else [])):
            yield message(name, own[name], "is neither true nor false; write one of these")
    for name in LISTS:
        if isinstance(own[name], list):
            wrong = [item for item in own[name] if not isinstance(item, str) and name not in OTHER_LISTS]
            yield from (message(name, item, "is no string; write it in quotes") for item in wrong)
        elif own[name] is not None or not may_be_null(name):
            yield message(name, own[name], "is no list; write one such as [a, b]")
    if own["health_status"] == []:
        yield message("health_status", [], "holds nothing; write numbers such as 200")
    if not isinstance(own["environment"], dict):
        # Its text may be a secret.
        yield "flask_apache_environment: is no mapping; write one such as {NAME: 'value'}"


def check_characters(own: Variables) -> Iterator[str]:
    """Report control characters, and what would end a quoted string of Apache's configuration."""
    for name, value in own.items():
        if name in TEXTS:
            continue
        for text in strings(value):
            if CONTROL.search(text):
                yield message(
                    name, "****" if name in ADDRESSES else text, "holds a control character; write it without"
                )
            elif name not in QUOTED and FORBIDDEN_IN_CONFIGURATION.search(text):
                yield message(name, text, "holds a quote, a backslash or ${; write it without")


def check_patterns(own: Variables) -> Iterator[str]:
    """Report strings that are not of their variable's form."""
    for name, (pattern, remedy) in PATTERNS.items():
        value = own[name]
        if isinstance(value, str) and not re.fullmatch(pattern, value, re.ASCII):
            yield message(name, value, f"is not valid; write {remedy}")
    for name, (pattern, remedy) in LIST_PATTERNS.items():
        for value in own[name] or []:
            if isinstance(value, str) and not re.fullmatch(pattern, value):
                yield message(name, value, f"is not valid; write {remedy}")


def check_numbers(own: Variables) -> Iterator[str]:
    """Report numbers out of their range."""
    for name, (least, most, unit) in NUMBERS.items():
        value = own[name]
        found = number(value, whole=name not in FRACTIONS)
        if found is None and not (value is None and may_be_null(name)):
            yield message(name, value, f"is no number; write {least} to {most} {unit}".rstrip())
        elif found is not None and not least <= found <= most:
            yield message(name, value, f"is out of range; write {least} to {most} {unit}".rstrip())
    for value in own["health_status"]:
        if not 100 <= (number(value) or 0) <= 599:  # noqa: PLR2004
            yield message("health_status", value, "is no HTTP status; write numbers such as 200")


def check_hosts(own: Variables) -> Iterator[str]:
    """Report server names and aliases that no browser could ask for."""
    if isinstance(own["server_name"], str) and not HOST_NAME.fullmatch(own["server_name"]):
        yield message("server_name", own["server_name"], "is no host name; write one such as www.example.com")
    for value in own["server_aliases"]:
        if isinstance(value, str) and not HOST_NAME.fullmatch(value.removeprefix("*.")):
            yield message("server_aliases", value, "is no host name; write one such as example.com or *.example.com")


def check_wsgi(own: Variables) -> Iterator[str]:
    """Report a factory call whose arguments are not literals."""
    expression = str(own["wsgi"]).partition(":")[2]
    if "(" not in expression:
        return
    try:
        call = ast.parse(expression, mode="eval").body
        if not isinstance(call, ast.Call) or not re.fullmatch(r"[\w.]+", ast.unparse(call.func)):
            raise ValueError(expression)  # noqa: TRY301
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
            ast.literal_eval(argument)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        yield message("wsgi", own["wsgi"], "is not valid; write module:factory() with literal arguments")


def check_static(own: Variables) -> Iterator[str]:
    """Report static files whose address or place could not be meant."""
    forms = {"url": PATTERNS["mount"], "path": LIST_PATTERNS["requirements"]}
    for entry in own["static"]:
        if not isinstance(entry, dict) or not {"url", "path"} <= set(entry) <= {"url", "path", "immutable"}:
            yield message("static", entry, "is not valid; write {url: /static, path: shop/static}")
            continue
        for key, remedy in (("url", forms["url"][1]), ("path", "a path below the source, such as shop/static")):
            if not isinstance(entry[key], str) or not re.fullmatch(forms[key][0], entry[key], re.ASCII):
                yield message("static", entry[key], f"is not valid as {key}; write {remedy}")
        if str(entry.get("immutable", "no")).lower() not in (*ON, *OFF):
            yield message("static", entry["immutable"], "is not valid as immutable; write true or false")
    urls = [entry.get("url") for entry in own["static"] if isinstance(entry, dict)]
    for url in sorted({str(url) for url in urls if urls.count(url) > 1}):
        yield message("static", url, "stands twice; write another url")


def check_environment(own: Variables) -> Iterator[str]:
    """Report environment variables that cannot be set. Never shows a value: it may be a secret."""
    for name, value in own["environment"].items():
        if not re.fullmatch(r"[A-Za-z_]\w*", str(name), re.ASCII):
            yield message("environment", name, "is no name of an environment variable; write letters, digits and _")
        elif name.startswith("FLASK_APACHE_"):
            yield message("environment", name, "is set by the role itself; choose another name")
        elif not isinstance(value, (str, int, float)):
            yield message("environment", name, f"has a {type(value).__name__} for a value; write a string in quotes")
        elif "\0" in str(value):
            yield message("environment", name, "has a NUL byte in its value; encode it, for example as base64")
        elif re.search("[\ud800-\udfff]", str(value)):
            yield message("environment", name, "has half a character in its value; write it in UTF-8, or as base64")


def check_hooks(own: Variables) -> Iterator[str]:
    """Report hooks that could not run."""
    for hook in own["hooks"]:
        if not isinstance(hook, dict) or not {"at", "run"} <= set(hook) <= {"at", "run", "once", "timeout"}:
            yield message("hooks", hook, "is no hook; write {at: before_start, run: flask db upgrade}")
            continue
        if hook["at"] not in HOOK_POINTS:
            yield message("hooks", hook["at"], f"is no point of a deploy; write one of {', '.join(HOOK_POINTS)}")
        if not is_command(hook["run"]):
            yield message("hooks", hook["run"], "is no command; write its words as in a shell, or a list of them")
        if not isinstance(hook.get("once", False), bool):
            yield message("hooks", hook["once"], "is neither true nor false; write one of these for once")
        elif hook["at"] == "before_check" and hook.get("once"):
            yield message("hooks", "before_check", "is not for one host only, as each imports the app; leave once out")
        timeout = hook.get("timeout", 1)
        if not isinstance(timeout, int) or isinstance(timeout, bool) or not 1 <= timeout <= 86400:  # noqa: PLR2004
            yield message("hooks", timeout, "is out of range; write 1 to 86400 seconds for timeout")


def check_data_directories(own: Variables) -> Iterator[str]:
    """Report directories and links that lead out of their place, or into each other."""
    links: list[str] = []
    for item in own["data_directories"]:
        declared = {"name": item} if isinstance(item, str) else item
        if not isinstance(declared, dict) or not {"name"} <= set(declared) <= {"name", "link"}:
            yield message("data_directories", item, "is no directory; write uploads, or {name: uploads, link: uploads}")
            continue
        for path in filter(None, (declared["name"], declared.get("link"))):
            if not isinstance(path, str) or not re.fullmatch(RELATIVE_PATH, path, re.ASCII):
                yield message("data_directories", path, "is not valid; write a relative path such as static/uploads")
            elif path == declared.get("link"):
                links.append(path)
        if not declared["name"]:
            yield message("data_directories", item, "has no name; write one such as uploads")
    for link in links:
        if links.count(link) > 1 or any(link.startswith(f"{each}/") for each in links):
            yield message("data_directories", link, "is linked twice, or below another link; write one link for both")


def check_units(own: Variables, host: Variables) -> Iterator[str]:
    """Report workers and timers that systemd or the app's entry script could not start."""
    names: list[object] = []
    for variable in UNITS:
        if own[variable] and not host["systemd"]:
            yield message(variable, own[variable], "needs systemd, which does not run on the host; write []")
        for unit in own[variable]:
            if unit.get("name") in names:
                yield message(variable, unit["name"], "is the name of two; write another one")
            names.append(unit.get("name"))
            yield from (message(variable, *error) for error in unit_errors(unit, host["calendars_wrong"]))


def unit_errors(unit: Variables, calendars_wrong: list[object]) -> Iterator[tuple[object, str]]:
    """Yield the wrong values of a worker or a timer, and what to write instead."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", str(unit.get("name")), re.ASCII):
        remedy = "is not valid; write a lower-case letter, then up to 31 letters, digits or underscores"
        yield unit.get("name"), remedy
    if not is_command(unit.get("command")):
        yield unit.get("command"), "is no command; write a program and its arguments"
    if unit.get("stop_signal", "SIGTERM") not in STOP_SIGNALS:
        yield unit["stop_signal"], f"is no signal to stop by; write {', '.join(STOP_SIGNALS)}"
    for option, (least, most, what) in UNIT_NUMBERS.items():
        found = number(unit.get(option, least))
        if found is None or not least <= found <= most:
            yield unit[option], f"is out of range for {option}; write {least} to {most} {what}"
    if unit.get("calendar") in calendars_wrong:
        yield unit["calendar"], "is not what systemd reads; write such as daily, or Mon..Fri 04:30"


def is_command(value: object) -> bool:
    """Tell whether a value is a program with its arguments: a list of words, or what a shell splits into them."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError:
        return False
    return isinstance(words, list) and bool(words) and all(isinstance(word, str) for word in words) and bool(words[0])


def check_source(own: Variables) -> Iterator[str]:
    """Report a source of another form than its type's, and what is missing on the controller."""
    if isinstance(own["source"], str):
        yield from {
            "git": check_git,
            "archive": check_archive,
            "package": check_package,
        }.get(str(own["source_type"]), check_directory)(own, str(own["source"]))
    for name in own["ca_certificates"]:
        if isinstance(name, str) and not is_certificate(name):
            yield message("ca_certificates", name, "is no PEM certificate on the controller; write its path")


def check_directory(own: Variables, source: str) -> Iterator[str]:
    """Report a directory or a requirements file that is not there."""
    directory = os.path.normpath(os.path.join(source, str(own["source_directory"])))
    if not (os.path.isabs(source) and os.path.isdir(source)):
        yield message("source", source, "is no directory of the controller; write the app's absolute path")
    elif not os.path.isdir(directory):
        yield message("source_directory", own["source_directory"], f"is no directory in {source}")
    else:
        for variable, names in (("requirements", own["requirements"] or []), ("constraints", own["constraints"])):
            for name in names:
                if isinstance(name, str) and not os.path.isfile(os.path.join(directory, name)):
                    yield message(variable, name, f"is not in {directory}; write an existing file, or [] for none")
        try:
            choose(Path(directory), own["requirements"])
        except (DependencyError, TypeError) as error:
            yield f"flask_apache_requirements: {error}"


def check_git(own: Variables, source: str) -> Iterator[str]:
    """Report what cannot be fetched by git, or not safely. Never shows a key: it is a secret."""
    ssh = re.fullmatch(SSH, source)
    if not ssh and not re.fullmatch(HTTPS, source) and not os.path.isabs(source):
        yield message("source", source, "is no repository; write https://…, ssh://…, git@host:path or an absolute path")
    elif os.path.isabs(source) and own["git_on"] != "host" and not os.path.isdir(source):
        yield message("source", source, "is no directory of the controller; write the repository's absolute path")
    if ssh and not own["git_known_hosts"]:
        server = ssh["host"] or ssh["short"]
        yield message(
            "git_known_hosts",
            [],
            f"holds no key of {server}; write what `ssh-keyscan {server}` prints, after comparing its fingerprints "
            "with those that its operator publishes",
        )
    for signer in own["git_signers"]:
        if isinstance(signer, str) and PGP not in signer and not re.fullmatch(SIGNER, signer.strip()):
            yield message("git_signers", signer, "is no line of allowed_signers and no armored OpenPGP public key")
    key = own["git_key"] if isinstance(own["git_key"], str) else ""
    with contextlib.suppress(OSError, ValueError):
        key = Path(key).read_text(encoding="utf-8") if os.path.isabs(key) else key
    if key and "PRIVATE KEY-----" not in key and not key.startswith("$ANSIBLE_VAULT;"):
        yield "flask_apache_git_key: is neither a private key nor the absolute path of one; write one of these"


def check_archive(own: Variables, source: str) -> Iterator[str]:
    """Report an archive that is not there, or that nothing proves to be the right one."""
    if not re.fullmatch(r"https?://\S+", source) and not (os.path.isabs(source) and os.path.isfile(source)):
        yield message("source", source, "is no file of the controller; write an archive's absolute path, or https://…")
    if not own["archive_checksum"]:
        yield message("archive_checksum", "", f"is needed for an archive; write {PATTERNS['archive_checksum'][1]}")


def check_package(own: Variables, source: str) -> Iterator[str]:
    """Report what names no package, and what a package does not have."""
    wheel = re.fullmatch(WHEEL, source)
    if not wheel and not re.fullmatch(REQUIREMENT, source, re.ASCII):
        yield message("source", source, "is no package; write name==version, or a wheel's absolute path")
    elif wheel and not os.path.isfile(wheel[1]):
        yield message("source", source, "is no file of the controller; write a wheel's absolute path")
    if own["source_directory"]:
        yield message("source_directory", own["source_directory"], "is not in a package; write nothing")
    if own["requirements"] not in (None, [], ["requirements.txt"]):
        yield message(
            "requirements", own["requirements"], "are not in a package; see flask_apache_package_requirements"
        )


def check_indexes(own: Variables) -> Iterator[str]:
    """Report package indexes that cannot be asked. Never shows an address: it may hold a password."""
    known: dict[str, tuple[str | None, str | None]] = {}
    urls = [("index_url", own["index_url"])] if own["index_url"] else []
    for variable, url in [*urls, *(("extra_index_urls", url) for url in own["extra_index_urls"])]:
        if not isinstance(url, str):
            continue
        parts = urlsplit(url) if re.fullmatch(r"https?://[^\s'\"\\]+", url, re.ASCII) else None
        access = (parts.username, parts.password) if parts else (None, None)
        if not parts or not parts.hostname or "@" in parts.path:
            remedy = "write https://host/path or https://user:password@host/path, percent-encoded"
            yield f"flask_apache_{variable}: an address in it is not valid; {remedy}"
        elif access != (None, None) and not all(access):
            yield f"flask_apache_{variable}: an address lacks the user or the password; write user:password, both"
        elif re.search(r"[\s'\"\\]", "".join(map(unquote, filter(None, access)))):
            yield f"flask_apache_{variable}: user or password holds a space, quote or backslash; choose others"
        elif access[0] and known.setdefault(parts.hostname, access) != access:
            yield f"flask_apache_{variable}: {parts.hostname} has two users or passwords; write the same for both"
    if any(isinstance(item, str) and re.search(r"https?://[^/\s]*@", item) for item in own["pip_args"]):
        yield (
            "flask_apache_pip_args: an address in it holds credentials, which every user of the host could see; "
            "write it into flask_apache_index_url or flask_apache_extra_index_urls"
        )


def check_wheelhouse(own: Variables) -> Iterator[str]:
    """Report a directory that is none, or that would not be all that is asked."""
    directory = own["wheelhouse"]
    if not directory or not isinstance(directory, str):
        return
    if not (os.path.isabs(directory) and any(Path(directory).glob("*.whl"))):
        yield message(
            "wheelhouse", directory, "has no wheels; write the absolute path of a directory of the controller"
        )
    elif own["index_url"] or own["extra_index_urls"]:
        yield message("wheelhouse", directory, "is asked instead of an index; write no flask_apache_*index_url*")


def is_certificate(name: str) -> bool:
    """Tell whether a file can be read and holds a PEM certificate."""
    try:
        return b"-----BEGIN CERTIFICATE-----" in Path(name).read_bytes()
    except (OSError, ValueError):
        return False


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


def check_mod_wsgi(own: Variables) -> Iterator[str]:
    """Report a version of mod_wsgi that lacks what the configuration uses."""
    version = str(own["mod_wsgi_version"])
    is_version = re.fullmatch(PATTERNS["mod_wsgi_version"][0], version, re.ASCII)
    if own["mod_wsgi_source"] == "pip" and is_version and tuple(map(int, version.split("."))) < OLDEST_MOD_WSGI:
        yield message("mod_wsgi_version", version, "is too old; write 4.9.0 or newer")


def check_user(own: Variables, host: Variables) -> Iterator[str]:
    """Report a Unix user that is not the app's own."""
    if own["user"] in OTHERS_USERS or (host["user"] and host["user"]["uid"] in STATIC_SYSTEM_UIDS):
        yield message("user", own["user"], "is a user of the system; write a user of the app's own")
    elif host["user"] and host["user"].get("group", own["user"]) != own["user"]:
        group = host["user"]["group"]
        yield message("user", own["user"], f"has the group {group}; write a user whose group has the same name")


def check_strategy(own: Variables) -> Iterator[str]:
    """Report wishes of a release's going live that exclude each other."""
    if own["strategy"] == "rolling" and number(own["canary"]):
        yield message("canary", own["canary"], "needs two pools; write 0, or flask_apache_strategy: blue_green")
    if own["ready_path"] == own["health_path"] != "/":
        yield message("ready_path", own["ready_path"], "is flask_apache_health_path, too; write another path")
    if number(own["soak"]) and str(own["access_log"]).startswith("/dev/"):
        yield message("soak", own["soak"], "needs an access log that is a file; write 0, or another access log")


def check_port(own: Variables, host: Variables) -> Iterator[str]:
    """Report a port that another program listens on."""
    holder = host["listeners"].get(str(own["port"]))
    if holder and not holder.startswith("apache2 "):
        yield message("port", own["port"], f"is held by {holder}; stop that program, or write another port")


def host_names(own: Variables) -> set[str]:
    """Return all names that the app answers for."""
    return {str(own["server_name"]).lower(), *(str(alias).lower() for alias in own["server_aliases"])}


def check_apps(own: Variables, host: Variables) -> Iterator[str]:
    """Report what would take something away from another app of the host."""
    for app in host["apps"]:
        name = app.get("app")
        if name == own["app"]:
            continue
        if app.get("user") == own["user"]:
            yield message("user", own["user"], f"is the user of the app {name}; write a user of the app's own")
        other_python = app.get("python") not in (None, own["python"])  # the same one may have been upgraded
        if other_python and host["python"] and app.get("python_version", host["python"]) != host["python"]:
            yield message(
                "python",
                own["python"],
                f"is Python {host['python']}, but the app {name} on this Apache runs {app['python_version']}; "
                "one Apache has one mod_wsgi, and that one Python: write the same interpreter",
            )
        server_name = app.get("server_name")
        same_port = app.get("port") == number(own["port"])
        same_name = server_name == str(own["server_name"]).lower()
        if is_on(own["default_server"]) and app.get("default_server") and same_port and not same_name:
            yield message(
                "default_server",
                own["default_server"],
                f"is what {server_name} of the app {name} is already; write false, or another port",
            )
        shared = sorted(host_names(own) & {server_name, *app.get("server_aliases", [])})
        if not same_port or not shared:
            continue
        if not same_name:
            yield message(
                "server_name",
                own["server_name"],
                f"would share {shared[0]} with the app {name} of {server_name}; "
                "write the same server name, or names that only one has",
            )
        elif app.get("mount") == own["mount"]:
            yield message("mount", own["mount"], f"is the mount of the app {name}; write another path or server name")


def check_sites(own: Variables, host: Variables) -> Iterator[str]:
    """Report what would take something away from a site that is not the role's."""
    for site in host["configuration"]["sites"]:
        if site["port"] != number(own["port"]) or site["stock"]:
            continue
        for name in sorted(host_names(own) & set(site["hosts"])):
            yield message("server_name", name, f"is already served by {site['file']}; write another name or port")
        if is_on(own["default_server"]):
            yield message(
                "default_server",
                own["default_server"],
                f"would take requests away from {site['file']}; write false and a server name, or another port",
            )


def errors(variables: Variables, known: list[str], host: Variables, distributions: dict[str, Any]) -> list[str]:
    """Return all errors, in the order of the checks."""
    own = {name.removeprefix("flask_apache_"): value for name, value in variables.items() if name in known}
    types = list(check_types(own))
    wrong = [name for name in LISTS if not isinstance(own[name], list) and (name, own[name]) != ("requirements", None)]
    own.update({name: [] for name in wrong})
    own["environment"] = own["environment"] if isinstance(own["environment"], dict) else {}
    checks: list[Callable[[], Iterator[str]]] = [
        lambda: check_names(variables, known),
        lambda: iter(types),
        lambda: check_characters(own),
        lambda: check_patterns(own),
        lambda: check_numbers(own),
        lambda: check_hosts(own),
        lambda: check_wsgi(own),
        lambda: check_static(own),
        lambda: check_environment(own),
        lambda: check_units(own, host),
        lambda: check_hooks(own),
        lambda: check_data_directories(own),
        lambda: check_source(own),
        lambda: check_indexes(own),
        lambda: check_wheelhouse(own),
        lambda: check_host(own, host, distributions),
        lambda: check_mod_wsgi(own),
        lambda: check_user(own, host),
        lambda: check_strategy(own),
        lambda: check_port(own, host),
        lambda: check_apps(own, host),
        lambda: check_sites(own, host),
    ]
    return list(dict.fromkeys(error for check in checks for error in check()))


if __name__ == "__main__":
    print(json.dumps(errors(**json.load(sys.stdin))))
