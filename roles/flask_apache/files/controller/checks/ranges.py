"""Numbers and their ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from controller.checks import types, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.types import Options
    from controller.checks.values import Variables

INTEGER = 2**31 - 1  # what mod_wsgi and git store in a C int
DAY = 86400
LEAST_MEMORY = 32 * 2**20  # bytes; a smaller number was surely meant as megabytes


class Range(NamedTuple):
    """The least and the greatest number that a variable may have, what it counts, and what is special."""

    least: float
    most: int
    what: str = ""
    note: str = ""

    def must(self, word: str = "number") -> str:
        """Return the range in the words of an error."""
        counted = f"a {word} of {self.what}" if self.what else f"a {word}"
        return f"be {counted} from {self.least} to {self.most}{self.note and f' ({self.note})'}"


RANGES = {
    "port": Range(1, 65535),
    "https_port": Range(1, 65535),
    "acme_wait": Range(0, 3600, "seconds", "0 for not at all"),
    "hsts": Range(0, 2 * 365 * DAY, "seconds", "0 for none"),
    "keep_releases": Range(2, 1000, "releases", "the live and the previous release are always kept"),
    "git_depth": Range(0, INTEGER, "commits", "0 for all"),
    "log_keep_days": Range(1, 36500, "days"),
    "static_max_age": Range(0, 31536000, "seconds"),
    "request_body_limit": Range(0, INTEGER, "bytes", "0 for no limit"),
    "health_timeout": Range(1, 3600, "seconds"),
    "health_successes": Range(1, 100, "rounds"),
    "health_request_timeout": Range(1, 600, "seconds"),
    "build_timeout": Range(10, DAY, "seconds"),
    "soak": Range(0, 3600, "seconds", "0 for none"),
    "soak_errors": Range(0, 1000000, "answers"),
    "canary": Range(0, 99, note="percent of the visitors, 0 for all at once"),
    "lock_wait": Range(0, 3600, "seconds"),
    "retry_after": Range(1, DAY, "seconds"),
    "mod_wsgi_slow_requests": Range(0, DAY, "seconds"),
    "daemon_processes": Range(1, 1000, "processes"),
    "daemon_threads": Range(1, 1000, "threads"),
    "daemon_cpu_priority": Range(-20, 19),
    "daemon_switch_interval": Range(0.0001, 60, "seconds"),
    "daemon_memory_limit": Range(LEAST_MEMORY, 2**62, "bytes"),
    "daemon_virtual_memory_limit": Range(LEAST_MEMORY, 2**62, "bytes"),
    "daemon_stack_size": Range(16384, INTEGER, "bytes"),
    "daemon_listen_backlog": Range(1, 65535, "connections"),
    "daemon_maximum_requests": Range(0, INTEGER, "requests"),
    "daemon_restart_interval": Range(0, INTEGER, "seconds"),
    "daemon_cpu_time_limit": Range(0, INTEGER, "seconds"),
    "daemon_header_buffer_size": Range(8192, INTEGER, "bytes"),
    "daemon_receive_buffer_size": Range(512, INTEGER, "bytes"),
    "daemon_send_buffer_size": Range(512, INTEGER, "bytes"),
    "daemon_response_buffer_size": Range(65536, INTEGER, "bytes"),
    "daemon_response_flush_delay": Range(0, INTEGER, "milliseconds"),
    "daemon_response_socket_timeout": Range(0, DAY, "seconds"),
    "daemon_connect_timeout": Range(0, DAY, "seconds"),
    "daemon_deadlock_timeout": Range(0, DAY, "seconds"),
    "daemon_eviction_timeout": Range(0, DAY, "seconds"),
    "daemon_graceful_timeout": Range(0, DAY, "seconds"),
    "daemon_inactivity_timeout": Range(0, DAY, "seconds"),
    "daemon_interrupt_timeout": Range(0, DAY, "seconds"),
    "daemon_queue_timeout": Range(0, DAY, "seconds"),
    "daemon_request_timeout": Range(0, DAY, "seconds"),
    "daemon_shutdown_timeout": Range(0, DAY, "seconds"),
    "daemon_socket_timeout": Range(0, DAY, "seconds"),
    "daemon_startup_timeout": Range(0, DAY, "seconds"),
    # Each item of a list, or a key of each item.
    "health_status[]": Range(100, 599),
    "hooks[].timeout": Range(1, DAY, "seconds"),
    "workers[].instances": Range(1, 100, "instances"),
    "workers[].stop_timeout": Range(1, DAY, "seconds"),
    "timers[].timeout": Range(1, 7 * DAY, "seconds"),
}


def check(own: Variables, options: Options) -> Iterator[str]:
    """Report values that are not a number, and numbers out of their range."""
    for name, option in options.items():
        if option["type"] in ("int", "float"):
            if own[name] is not None or not types.may_be_null(name, option):
                yield from errors(name, own[name], RANGES[name], whole=option["type"] == "int")
        elif option.get("elements") == "int":
            yield from status_errors(name, own[name])
        elif option.get("elements") == "dict":
            yield from key_errors(own, name, option["options"])


def errors(place: str, value: object, allowed: Range, *, whole: bool = True, literal: bool = False) -> Iterator[str]:
    """Report a value that is not a number in a range; if ``literal``, also a number in quotes."""
    found = values.number(value, whole=whole)
    if found is not None and literal and isinstance(value, str):
        yield values.error(place, allowed.must(), value, "write it without quotes")
    elif found is None or not allowed.least <= found <= allowed.most:
        is_almost = found is None and whole and is_numeric(value)
        yield values.error(place, allowed.must("whole number" if is_almost else "number"), value)


def is_numeric(value: object) -> bool:
    """Tell whether a value is a number in some notation, such as 80.0 or ' 080 '."""
    try:
        return not isinstance(value, bool) and float(value) is not None  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def status_errors(name: str, statuses: list[object]) -> Iterator[str]:
    """Report what is no HTTP status."""
    if not statuses:
        yield values.error(name, "contain at least one HTTP status, such as 200", statuses)
    allowed = RANGES[f"{name}[]"]
    for index, value in enumerate(statuses):
        if not allowed.least <= (values.number(value) or 0) <= allowed.most:
            yield values.error(f"{name}[{index}]", f"be an HTTP status from {allowed.least} to {allowed.most}", value)


def key_errors(own: Variables, name: str, options: Options) -> Iterator[str]:
    """Report values in the mappings of a list that are not a number, or out of range."""
    for place, item in values.mappings(own, name):
        for key, option in options.items():
            if option["type"] == "int" and key in item:
                allowed = RANGES[f"{name}[].{key}"]
                yield from errors(f"{place}.{key}", item[key], allowed, literal=name in types.LITERAL)
