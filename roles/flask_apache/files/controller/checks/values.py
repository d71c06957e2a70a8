"""What the checks share: the words of an error, and how values are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flask_apachectl.host import report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Variables = dict[str, Any]

# Their values may be secrets, so no error shows them.
HIDDEN = ("environment", "git_key", "tls_key", "acme_hmac", "basic_auth", "index_url", "extra_index_urls")
PLAIN = re.compile(r"basic_auth\[\d+\]\.(path|realm)")  # what is no secret in them
HIDDEN_VALUE = "a value that is not shown"
SHOWN = 100  # characters of a value in an error
CREDENTIALS = re.compile(r"://.*@", re.DOTALL)
ON, OFF = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def error(place: str, must: str, value: object, advice: str = "") -> str:
    """Return the one line for one error.

    ``place`` is a variable without its prefix, or a part of it such as ``workers[1].command``; ``must`` follows the
    word "must"; ``advice`` says what to do, where that is not obvious.
    """
    variable = re.split(r"\W", place, maxsplit=1)[0]
    is_hidden = variable in HIDDEN and not (isinstance(value, str) and PLAIN.fullmatch(place))
    got = HIDDEN_VALUE if is_hidden else shown(value)
    return f"flask_apache_{place} must {must}, got {got}" + (f"; {advice}" if advice else "")


def shown(value: object) -> str:
    """Return a value as an error shows it: on one line, not too long, without the credentials of an address."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")  # as YAML has them
    text = report.redact(repr(without_credentials(value)))
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def without_credentials(value: object) -> object:
    """Return a value in which all addresses have lost their user and password."""
    if isinstance(value, str):
        return CREDENTIALS.sub("://****@", value)
    if isinstance(value, dict):
        return {without_credentials(key): without_credentials(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_credentials(item) for item in value]
    return value


def number(value: object, *, whole: bool = True) -> float | None:
    """Return a number, also from a string; None for what is not written as Apache reads it."""
    if isinstance(value, str):
        form = r"-?(0|[1-9]\d{0,18})" if whole else r"\d{1,9}(\.\d{1,9})?"
        return float(value) if re.fullmatch(form, value, re.ASCII) else None
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    return value if is_number else None  # type: ignore[return-value]


def is_flag(value: object) -> bool:
    """Tell whether Ansible's filter ``bool`` reads a value as true or false."""
    return str(value).lower() in (*ON, *OFF)


def is_on(value: object) -> bool:
    """Read a flag as Ansible's filter ``bool`` does."""
    return str(value).lower() in ON


def texts(own: Variables, name: str) -> Iterator[tuple[str, str]]:
    """Yield the places and values of a list's strings; what else it contains has an error already."""
    for index, item in enumerate(own[name] or []):
        if isinstance(item, str):
            yield f"{name}[{index}]", item


def mappings(own: Variables, name: str) -> Iterator[tuple[str, Variables]]:
    """Yield the places and values of a list's mappings; what else it contains has an error already."""
    for index, item in enumerate(own[name]):
        if isinstance(item, dict):
            yield f"{name}[{index}]", item


def listed(names: Iterable[str], last: str = "or") -> str:
    """Return names as a sentence lists them: ``a, b or c``."""
    *others, end = names
    return f"{', '.join(others)} {last} {end}" if others else end
