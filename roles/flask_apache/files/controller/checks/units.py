"""What the app runs beside the site: workers, timers and hooks, and the directories that it may write."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from controller.checks import patterns, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables

UNITS = ("workers", "timers")
CALENDAR = r"(?! )[\w ,.:*/~+@-]+(?<! )"
STOP_SIGNALS = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH")


def check_units(own: Variables, host: Variables) -> Iterator[str]:
    """Report workers and timers that systemd or the app's entry script could not start."""
    first: dict[object, str] = {}
    for variable in UNITS:
        if own[variable] and not host["systemd"]:
            yield values.error(variable, "be [] on a host where systemd does not run", own[variable])
        for place, unit in values.mappings(own, variable):
            name = str(unit.get("name"))
            if first.setdefault(name, place) != place:
                yield values.error(f"{place}.name", f"differ from that of flask_apache_{first[name]}", name)
            yield from unit_errors(place, unit, host["calendars_wrong"])


def check_metrics(own: Variables, host: Variables) -> Iterator[str]:
    """Report a directory for metrics on a host that has no timers to write them."""
    if own["metrics_textfile"] and not host["systemd"]:
        yield values.error("metrics_textfile", "be '' on a host where systemd does not run", own["metrics_textfile"])


def metrics_warnings(own: Variables, host: Variables) -> Iterator[str]:
    """Yield what keeps metrics from being written, for as long as it is so."""
    if host["textfile_missing"]:
        yield (
            f"flask_apache_metrics_textfile: {own['metrics_textfile']} is not a directory on the host, so metrics are "
            "not written yet: install prometheus-node-exporter, or create it"
        )


def unit_errors(place: str, unit: Variables, calendars_wrong: list[object]) -> Iterator[str]:
    """Report the wrong values of a worker or a timer."""
    name = unit.get("name")
    if isinstance(name, str) and not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name, re.ASCII):
        must = "be a lower-case letter followed by up to 31 lower-case letters, digits or underscores"
        yield values.error(f"{place}.name", must, name)
    if "command" in unit:
        yield from command_errors(f"{place}.command", unit["command"])
    stop_signal = unit.get("stop_signal", "SIGTERM")
    if isinstance(stop_signal, str) and stop_signal not in STOP_SIGNALS:
        yield values.error(f"{place}.stop_signal", f"be {values.listed(STOP_SIGNALS)}", stop_signal)
    calendar = unit.get("calendar")
    if calendar in calendars_wrong or (isinstance(calendar, str) and not re.fullmatch(CALENDAR, calendar, re.ASCII)):
        must = "be a calendar event that systemd can read, such as daily or Mon..Fri 04:30"
        yield values.error(f"{place}.calendar", must, calendar)


def command_errors(place: str, value: object) -> Iterator[str]:
    """Report values that are not a command: neither a list of words nor a string that a shell can split."""
    reason = ""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as error:
        words, reason = None, str(error).lower()
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words) and any(words[:1])):
        must = "be a program and its arguments, as a string with balanced quotes or a list of strings"
        yield values.error(place, must, value, reason)
    elif words[0].startswith("-"):
        yield values.error(place, "begin with the name of a program, not with an option", value)


def check_hooks(own: Variables) -> Iterator[str]:
    """Report hooks that could not run."""
    for place, hook in values.mappings(own, "hooks"):
        if "run" in hook:
            yield from command_errors(f"{place}.run", hook["run"])
        if hook.get("at") == "before_check" and hook.get("once") is True:
            advice = "every host imports the app, so its hook must run on every host"
            yield values.error(f"{place}.once", "be false for before_check", hook["once"], advice)


def check_data_directories(own: Variables) -> Iterator[str]:
    """Report directories and links that lead out of their place, and links that replace each other.

    A name is a path below the app's data, a link one in the source: the two may be alike.
    """
    links: dict[str, str] = {}
    for index, item in enumerate(own["data_directories"]):
        place = f"data_directories[{index}]"
        declared = {"name": item} if isinstance(item, str) else item
        if not isinstance(declared, dict) or not {"name"} <= set(declared) <= {"name", "link"}:
            must = "be a path such as uploads, or a mapping such as {name: uploads, link: static/uploads}"
            yield values.error(place, must, item)
            continue
        name_place = place if isinstance(item, str) else f"{place}.name"
        yield from path_errors(name_place, declared["name"])
        if declared.get("link"):  # null and an empty string are no link
            wrong = list(path_errors(f"{place}.link", declared["link"]))
            yield from wrong
            if not wrong:
                yield from link_errors(f"{place}.link", declared["link"], links)


def path_errors(place: str, path: object) -> Iterator[str]:
    """Report what is no relative path."""
    if not isinstance(path, str) or not re.fullmatch(patterns.RELATIVE_PATH, path, re.ASCII):
        yield values.error(place, "be a relative path, such as static/uploads", path)


def link_errors(place: str, link: str, links: dict[str, str]) -> Iterator[str]:
    """Report a link at or below the place of another one, and remember it; ``links`` maps each link to its place."""
    for other, other_place in links.items():
        if link == other:
            yield values.error(place, f"differ from flask_apache_{other_place}", link)
        elif f"{link}/".startswith(f"{other}/") or f"{other}/".startswith(f"{link}/"):
            advice = f"flask_apache_{other_place} is {other!r}"
            yield values.error(place, "be neither inside another link nor around one", link, advice)
    links.setdefault(link, place)
