"""What is said: progress, tables, times, and texts without secrets."""

from __future__ import annotations

import datetime as dt
import json
import os
import pwd
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

TELLING = 6  # characters of a secret, below which it may be a part of any text
TIME = "%Y-%m-%dT%H:%M:%SZ"  # in UTC, as the engine writes it
LONGEST = 160  # characters of a line in a short text
LOG_LINES = 15  # shown of the app's error log when a release fails
LOG_PREFIX = re.compile(r"(?m)^\[[^\]]*\] \[[^\]]*\] \[[^\]]*\] (\[[^\]]*\] )?(\[request [^\]]*\] )?")

NAME = r"(?:password|passwd|passphrase|secret|token|credentials?|api[_-]?key|private[_-]?key)"
# What may be a secret in any text, and what is shown instead. Each begins where a word does, or a long word takes long.
SECRETS = (
    (re.compile(r"(\w://)[^/\s'\"]*@"), r"\1****@"),
    # user:password@host, without the scheme of an address
    (re.compile(r"(?<![\w/.@%+~:-])[\w.%+~-]+:[^\s/@'\"]+@(?=[\w\[])"), "****@"),
    # --db-password X, --db-password=X, ["--db-password", "X"], "DB_PASSWORD": "X", DB_PASSWORD=X, AuthBindPassword X
    (re.compile(rf"(?i)((?<![\w-])--?[\w-]*{NAME}(?:=|\s+|['\"],?\s*['\"]))[^\s'\",]+"), r"\1****"),
    (re.compile(rf"(?i)((?<![\w-])[\w-]*{NAME}['\"]?\s*(?:=\s*|:\s*(?=['\"]))['\"]?)[^\s'\",]+"), r"\1****"),
    (re.compile(r"(\b[A-Z][A-Za-z0-9]*(?:Password|Passphrase|Secret)[ \t]+['\"]?)[^\s'\"]+"), r"\1****"),
    (re.compile(r"(\b(?:Basic|Bearer) )[\w+/=.~-]{8,}"), r"\1****"),
    (re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"), "****"),
)


def redact(text: str, forms: Iterable[str] = ()) -> str:
    """Return a text without secrets: given ones, any in an address, and what has the name of a secret."""
    for form in forms:
        text = text.replace(form, "****")
    for pattern, shown in SECRETS:
        text = pattern.sub(shown, text)
    return text


_secrets: set[str] = set()


def hide(values: Iterable[str]) -> None:
    """Remember values that must not be told when an error is not foreseen, whose text may contain anything."""
    _secrets.update(each for value in values for each in (value, *value.splitlines()) if len(each) >= TELLING)


def without_secrets(text: str) -> str:
    """Return a text without the values that are to be hidden, and without what looks like a secret."""
    return redact(text, _forms(_secrets))


def _forms(values: Iterable[str]) -> list[str]:
    """Return values as they are, and as Python and JSON quote them: the longest first."""
    forms = {form for each in values for form in (each, repr(each)[1:-1], json.dumps(each)[1:-1])}
    return sorted(forms, key=len, reverse=True)


_concealed: set[str] = set()


def conceal(values: Iterable[str]) -> None:
    """Remember secrets of an app, which its own code may print: no message tells them."""
    found = list(values)
    hide(found)
    _concealed.update(each for value in found for each in (value, *value.splitlines()) if len(each) >= TELLING)


def concealed(text: str) -> str:
    """Return a text of an app without its secrets; all else stays as it is."""
    for form in _forms(_concealed):
        text = text.replace(form, "****")
    return text


_steps: list[str] = []
listeners: list[Callable[[str], object]] = []  # called with each step


def say(text: str) -> None:
    """Print a line of progress: a step of the command, and what it is about."""
    _steps.append(text)
    for tell in listeners:
        tell(last_step())
    print(text, file=sys.stderr, flush=True)


def last_step() -> str:
    """Return the last line of progress, or nothing before the first one."""
    return " ".join(_steps[-1].split()) if _steps else ""


def operator() -> str:
    """Return who asked: the user behind sudo, if any."""
    return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name


def timestamp() -> str:
    """Return the time in UTC, to the second."""
    return dt.datetime.now(dt.timezone.utc).strftime(TIME)


def duration(seconds: float) -> str:
    """Return a length of time in its largest unit, such as ``5 min``."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def tail(text: str, lines: int = 25) -> str:
    """Return the last lines of a text, indented."""
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines()[-lines:])


def short(message: str) -> str:
    """Return what a message of several lines says in one: its first line, and the last line of a program's output."""
    first, *more = concealed(message).splitlines() or [""]
    output = [line.strip() for line in more if line.startswith("  ") and line.strip()]
    return " … ".join(_cut(line) for line in [first.rstrip(": "), *output[-1:]])


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def table(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """Return rows as aligned text under a heading."""
    cells = [list(columns), *([str(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(columns))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )
