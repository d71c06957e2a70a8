"""The app's logs: where they go, and what a line of the access log is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_apachectl.paths import JOURNAL, journal_name

if TYPE_CHECKING:
    from .paths import Paths
    from .values import Values

ROTATED = "|/usr/bin/rotatelogs -L {logs}/{kind}.log {logs}/{kind}.%Y-%m-%d.log 86400"
# At a reload, Apache ends the programs of its logs, which have to read what requests write that still run. They end by
# themselves when nobody can write to them any more. Only the environment names the log: systemd-cat becomes cat.
JOURNALED = (
    "|$trap '' TERM; FLASK_APACHE_LOG={name} exec /usr/bin/systemd-cat --identifier={name} --priority={priority} "
    "--level-prefix=false"
)
PRIORITIES = {"access": "info", "error": "warning"}
# What a client sends: how many bytes of each value are logged. With all of them, a line has less than 4,096 bytes,
# which the kernel writes to a pipe at once.
PATH, USER = 1536, 128
HEADERS = (("Host", "host", 255), ("User-Agent", "user_agent", 512), ("Referer", "referer", 768))
# What the entry script says in an answer: the header, the note of Apache's, and what it must look like.
ANSWERS = (
    ("X-Flask-Apache-Took", "FLASK_APACHE_TOOK", "^[1-9][0-9]{0,11}$"),
    ("X-Flask-Apache-Served", "FLASK_APACHE_SERVED", "^[0-9a-f-]{1,64}$"),
)
# The members of a line and their values. Numbers that Apache may not have are "-" there, and -0 with what follows.
LINE = (
    ("time", '"%{%Y-%m-%dT%H:%M:%S}t.%{usec_frac}t%{%z}t"'),
    ("timestamp", "%{sec}t.%{usec_frac}t"),
    ("request_id", '"%<{FLASK_APACHE_REQUEST_ID}e"'),
    ("client", '"%a"'),
    ("user", '"%{FLASK_APACHE_USER}n"'),
    ("host", '"%<{FLASK_APACHE_LOG_HOST}e"'),
    ("method", '"%<{FLASK_APACHE_LOG_METHOD}e"'),
    ("path", '"%<{FLASK_APACHE_LOG_PATH}e"'),
    ("protocol", '"%<{FLASK_APACHE_LOG_PROTOCOL}e"'),
    ("status", "%>s"),
    ("bytes_in", "%I"),
    ("bytes_out", "%O"),
    ("duration_us", "%D"),
    ("first_byte_us", "%^FB0e-1"),
    ("app_us", "%{FLASK_APACHE_TOOK}n0e-1"),
    ("release", '"%{FLASK_APACHE_SERVED}n"'),
    ("pool", '"%<{POOL}e"'),
    ("user_agent", '"%<{FLASK_APACHE_LOG_USER_AGENT}e"'),
    ("referer", '"%<{FLASK_APACHE_LOG_REFERER}e"'),
    ("encoded", '"%<{FLASK_APACHE_LOG_ENCODED}e"'),
)


@dataclass(frozen=True)
class Logs:
    """The app's logs, and what Apache's configuration needs to know of them."""

    access_log: str  # a path, or journald
    error_log: str
    access_log_target: str  # the directive's argument: a path or a pipe
    error_log_target: str
    log_format: str  # combined, json
    log_line: str  # the directive's argument: a name, or a quoted format
    logged_path: int  # bytes
    logged_user: int  # bytes
    logged_headers: tuple[tuple[str, str, int], ...]
    logged_answers: tuple[tuple[str, str, str], ...]


def logs(values: Values, place: Paths, pool_variable: str) -> Logs:
    """Return the app's logs. ``pool_variable`` is Apache's, which names the pool of a request."""
    log_format = values.text("access_log_format")
    return Logs(
        access_log=values.text("access_log", f"{place.logs}/access.log"),
        error_log=values.text("error_log", f"{place.logs}/error.log"),
        access_log_target=target(values, place, "access"),
        error_log_target=target(values, place, "error"),
        log_format=log_format,
        log_line=line(pool_variable) if log_format == "json" else log_format,
        logged_path=PATH,
        logged_user=USER,
        logged_headers=HEADERS,
        logged_answers=ANSWERS,
    )


def target(values: Values, place: Paths, kind: str) -> str:
    """Return where Apache writes a log, ``access`` or ``error``."""
    path = values.text(f"{kind}_log", ROTATED.format(logs=place.logs, kind=kind))
    if path == JOURNAL:
        return JOURNALED.format(name=journal_name(values.text("app"), kind), priority=PRIORITIES[kind])
    return path


def line(pool_variable: str) -> str:
    """Return the format of a line of JSON, in quotes."""
    members = ",".join(f'"{name}":{value}' for name, value in LINE)
    return "'{" + members.replace("{POOL}", f"{{{pool_variable}}}") + "}'"
