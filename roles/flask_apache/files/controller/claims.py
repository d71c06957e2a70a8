"""Which addresses the user's own directives take from the app, such as those of an ``Alias``.

The app gets every request below its mount before other modules of Apache see it: so what Apache's configuration has for
all sites takes none. Addresses that ``flask_apache_directives`` names are left to those modules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BY_PREFIX = (
    *("alias", "scriptalias", "wsgiscriptalias", "redirect", "redirectpermanent", "redirecttemp", "proxypass"),
)
BY_PATTERN = ("aliasmatch", "scriptaliasmatch", "wsgiscriptaliasmatch", "redirectmatch", "proxypassmatch")
IN_PLACE = ("sethandler", "action", "script", "dav", "fallbackresource")  # they take what they stand in
UNKNOWN = ("include", "includeoptional", "use", "documentroot", "userdir", "virtualdocumentroot", "virtualscriptalias")
LOCATIONS = ("<location", "<locationmatch")
TRANSPARENT = ("<ifmodule", "<ifdefine", "<iffile", "<ifversion", "<ifdirective", "<ifsection", "<limit")
CONDITIONS = ("<if", "<elseif", "<else")
RESTRICTING = ("require", "deny", "order")
STATUS = re.compile(r"\d{3}|permanent|temp|seeother|gone", re.IGNORECASE)  # of a redirect
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|(\S+)')


@dataclass(frozen=True)
class Claims:
    """Patterns of addresses, quoted for Apache's configuration; ``anywhere`` if they cannot be told."""

    claimed: list[str]
    claimed_anywhere: bool


def words(line: str) -> list[str]:
    """Return a directive's words, as Apache splits them."""
    found = WORD.findall(line)
    return [re.sub(r"\\([\"'\\])", r"\1", "".join(groups)) for groups in found]


def prefix(url: str) -> str:
    """Return the pattern of an address and what is below it; ``*`` and ``?`` are wildcards, as in a <Location>."""
    escaped = re.escape(url.rstrip("/")).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return f"^{escaped}/" if url.endswith("/") else f"^{escaped}(?:/|$)"


def quoted(pattern: str) -> str:
    """Return a pattern as it is written between double quotes."""
    return f"(?:{pattern})".replace("\\", "\\\\").replace('"', '\\"')


def location(arguments: list[str], *, is_match: bool) -> str:
    """Return the pattern of a section <Location> or <LocationMatch>."""
    if arguments[:1] == ["~"]:
        return arguments[1] if len(arguments) > 1 else ""
    argument = arguments[0] if arguments else ""
    return argument if is_match else prefix(argument)


def claims(directives: Iterable[str]) -> Claims:
    """Return the addresses that directives take."""
    found: list[str] = []
    anywhere = False
    sections: list[tuple[str, str]] = []  # name and pattern
    for line in directives:
        name, *arguments = words(line.strip().removesuffix(">")) or [""]
        name = name.lower()
        if name.startswith("</"):
            del sections[-1:]
            continue
        if name.startswith("<"):
            pattern = location(arguments, is_match=name == LOCATIONS[1]) if name in LOCATIONS else ""
            sections.append((name, pattern))
            continue
        place = next((section for section in reversed(sections) if section[0] not in TRANSPARENT), ("", ""))
        taken = claim(name, arguments, place)
        anywhere |= taken is None
        if taken:
            found.append(quoted(taken))
    return Claims(list(dict.fromkeys(found)), anywhere)


def claim(name: str, arguments: list[str], place: tuple[str, str]) -> str | None:
    """Return the pattern of the addresses that a directive takes in its place: empty for none, None for unknown."""
    section, pattern = place
    takes = name in (*BY_PREFIX, *BY_PATTERN, *IN_PLACE, *UNKNOWN)
    if section in LOCATIONS:
        return pattern if takes or name == "rewriterule" else ""
    if section in CONDITIONS:
        return None if takes or name == "rewriterule" else ""
    if section:  # of files, not of addresses
        return ""
    url = next((each for each in arguments if each.startswith("/")), None)
    if name in BY_PREFIX and url is not None:
        return prefix(url)
    expression = next((each for each in arguments if not STATUS.fullmatch(each)), None)
    if name in BY_PATTERN and expression is not None:
        return expression
    return None if takes else ""


def restricts(directives: Iterable[str]) -> bool:
    """Tell whether directives restrict who may visit: such as those of a login, or of a list of addresses."""
    return any((words(line.strip()) or [""])[0].lower() in RESTRICTING for line in directives)


def is_tls(directives: Iterable[str]) -> bool:
    """Tell whether directives make a virtual host one of HTTPS."""
    return any([word.lower() for word in words(line)[:2]] == ["sslengine", "on"] for line in directives)
