"""Strings: which characters they may contain, and which form some of them must have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from controller.checks import values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST_NAME = re.compile(rf"(?=.{{1,200}}$){LABEL}(\.{LABEL})*", re.IGNORECASE | re.ASCII)  # names of files contain it
# Control characters, separators of lines, what changes the direction of text, and halves of surrogate pairs.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
UNUSABLE = re.compile("[\0\ud800-\udfff]")  # in any file, argument or environment
LONGEST = 100_000  # bytes: Linux takes arguments of 128 KiB, systemd lines of 1 MiB
FORBIDDEN_IN_CONFIGURATION = re.compile(r"[\"'`\\]|\$\{")
RELATIVE_PATH = r"(?!.{201})[\w-][\w.-]*(/[\w-][\w.-]*)*"
BELOW_SOURCE = r"(?![/-])(?!.*\.\.(/|$))[\w./+-]+"
ABSOLUTE = r"|(/(?!\.{1,2}(/|$))[\w.@+-]+)+"
LOG_FILE = (f"journald|{ABSOLUTE}", "be an absolute path, journald, or an empty string for the app's own log files")
LOCALE = (r"[\w@-]+\.(?i:utf-?8)", "be a UTF-8 locale, such as C.UTF-8")

# They may contain line breaks and any other character. (The environment has checks of its own.)
TEXTS = ("environment", "git_key", "git_signers", "tls_certificate", "tls_chain", "tls_key")
# They reach no string of Apache's configuration, so they may contain quotes and the like.
QUOTED = (
    *("wsgi", "pip_args", "source", "health_body", "directives", "git_known_hosts", "package_requirements"),
    *("hooks", "workers", "timers", "index_url", "extra_index_urls", "basic_auth"),
)

# {variable: (pattern, what it must be)}
PATTERNS: dict[str, tuple[str, str]] = {
    "app": (
        r"(?!(tools|vhosts)$)[a-z][a-z0-9-]{0,31}",
        "be a lower-case letter followed by up to 31 lower-case letters, digits or hyphens, not 'tools' or 'vhosts'",
    ),
    "user": (r"[a-z_][a-z0-9_-]{0,31}", "be the name of a Unix user of the app's own"),
    "mount": (
        r"/|(?=.{1,200}$)(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+",
        "be / or a path such as /shop, without a slash at its end",
    ),
    "health_path": (r"/[\w.~!$&()*+,;=:@%/?-]*", "be a path below the mount, such as /healthz"),
    "python": (r"(/[\w.+-]+)+", "be the absolute path of an interpreter on the host, such as /usr/bin/python3"),
    "wsgi": (
        r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(.*\))?",
        "be module:callable or module:factory()",
    ),
    "access_log": LOG_FILE,
    "error_log": LOG_FILE,
    "metrics_textfile": (ABSOLUTE, "be the absolute path of a directory on the host, or an empty string for none"),
    "uv_version": (r"\d{1,4}(\.\d{1,4}){1,2}", "be a version of uv, such as 0.13.9"),
    "mod_wsgi_version": (r"\d{1,3}(\.\d{1,3}){1,2}", "be a version of mod_wsgi, such as 6.1.1"),
    "mod_wsgi_telemetry": (
        r"|unix:(/[\w.@+-]+)+( interval=(0\.[5-9]\d*|[1-9]\d*(\.\d+)?))?",
        "be unix:/path, or unix:/path interval=SECONDS with at least 0.5 seconds",
    ),
    "source_directory": (
        r"|(?![/-])(?!(.*/)?\.\.(/|$))[\w./+ -]+",
        "be the relative path of a directory in the source, such as backend",
    ),
    "git_version": (r"(?!-)(?!.*\.\.)[\w./+@-]{1,200}", "be a branch, a tag, or all 40 digits of a commit"),
    "archive_checksum": (r"|sha256:[0-9A-Fa-f]{64}", "be sha256: followed by the 64 digits that `sha256sum` prints"),
    "health_host": (rf"|(?i:{HOST_NAME.pattern})", "be a host name, or an empty string for the server name"),
    "acme_directory": (r"https://[\w.-]+(:\d{1,5})?/[\w.~!$&()*+,;=:@%/?-]*", "be the https:// address of a directory"),
    "acme_email": (r"|[\w.+-]+@[\w.-]+", "be an e-mail address, such as admin@example.com"),
    "acme_key_id": (r"[\w.~:/+=-]*", "be the key identifier that the authority shows"),
    "acme_hmac": (r"[\w+/=-]*", "be the key that the authority shows, in base64"),
    "ready_path": (r"(/(?!\.{1,2}(/|$))[\w.~-]+)+", "be a path below the mount, such as /-/ready"),
    "metrics_path": (r"(/(?!\.{1,2}(/|$))[\w.~-]+)+", "be a path below the mount, such as /-/metrics"),
    "rollback_to": (r"|[0-9a-f]+-[0-9a-f]+", "be the id of a release, as `flask-apachectl releases` shows it"),
    "daemon_umask": (r"0?[0-7]{3}", "be three octal digits in quotes, such as '0027'"),
    "daemon_lang": LOCALE,
    "daemon_locale": LOCALE,
}
# {variable: (pattern, what each item must be)}
LIST_PATTERNS: dict[str, tuple[str, str]] = {
    "requirements": (BELOW_SOURCE, "be the relative path of a file in the source, such as requirements.txt"),
    "constraints": (BELOW_SOURCE, "be the relative path of a file in the source, such as constraints.txt"),
    "extras": (r"(?ai:[a-z0-9]([a-z0-9._-]*[a-z0-9])?)", "be the name of an extra, such as postgresql"),
    "system_packages": (r"[a-z0-9][a-z0-9.+-]+", "be the name of a package of the distribution, such as libpq5"),
    "source_exclude": (r"(?!-)[^/]+", "be a name or a pattern such as *.log, without slashes or a leading hyphen"),
    "git_known_hosts": (
        r"(@cert-authority |@revoked )?\S+ [\w@.-]+ [A-Za-z0-9+/=]{16,}( .*)?",
        "be a line of a known_hosts file, such as git.example.com ssh-ed25519 AAAA...",
    ),
    "package_requirements": (r"\S(.*[^\\])?", "be a line of a requirements file, such as psycopg==3.2.3"),
    "directives": (r"(.*[^\\])?", "not end with a backslash, which would join it with the next line"),
    "sandbox_writable": (
        r"(?ai:(/(?!\.{1,2}(/|$))[\w.@+-]+)+)",
        "be the absolute path of a directory on the host, such as /srv/media",
    ),
    "daemon_supplementary_groups": (r"[a-z_][a-z0-9_-]{0,31}", "be the name of a Unix group"),
}


def below(place: str, key: object) -> str:
    """Return the place of a mapping's value."""
    return f"{place}.{key}" if re.fullmatch(r"\w+", str(key)) else f"{place}[{values.shown(key)}]"


def strings(place: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield the strings in a value and their places, however deep; a mapping's keys have the mapping's place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from strings(place, key)
            yield from strings(below(place, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(f"{place}[{index}]", item)


def check_characters(own: Variables) -> Iterator[str]:
    """Report control characters, and what would end a quoted string of Apache's configuration."""
    for name in own:
        for place, text in strings(name, own[name]) if name != "environment" else ():
            if (size := len(text.encode(errors="replace"))) > LONGEST:
                yield f"flask_apache_{place} must have at most {LONGEST:,} bytes, got {size:,}"
            elif name in TEXTS:
                if UNUSABLE.search(text):
                    yield values.error(place, "be valid Unicode without NUL bytes", text)
            elif CONTROL.search(text):
                at_end = text.endswith("\n") and not CONTROL.search(text.rstrip("\n"))
                advice = "remove the line break at its end: in YAML, use >- or |- instead of > or |" if at_end else ""
                yield values.error(place, "not contain control characters", text, advice)
            elif name not in QUOTED and FORBIDDEN_IN_CONFIGURATION.search(text):
                yield values.error(place, "not contain quotes, backslashes or ${", text)


def check(own: Variables) -> Iterator[str]:
    """Report strings that do not have their variable's form."""
    for name, (pattern, must) in PATTERNS.items():
        value = own[name]
        if isinstance(value, str) and not re.fullmatch(pattern, value, re.ASCII):
            yield values.error(name, must, value)
    for name, (pattern, must) in LIST_PATTERNS.items():
        for place, text in values.texts(own, name):
            if not re.fullmatch(pattern, text):
                yield values.error(place, must, text)
