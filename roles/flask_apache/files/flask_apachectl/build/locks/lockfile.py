"""What the readers of all lock files share: markers, versions, TOML, and the lines that pin a package."""

from __future__ import annotations

import codecs
import importlib
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Table = dict[str, Any]

HASHES = ("sha256", "sha384", "sha512")  # that pip and uv accept
COMMANDS = {"uv.lock": "uv lock", "poetry.lock": "poetry lock", "Pipfile.lock": "pipenv lock"}
ALWAYS, NEVER = 'python_version >= "0"', 'python_version < "0"'


class DependencyError(Exception):
    """The source's dependencies cannot be installed as they are written. The message says why, and what to do."""


def module(*names: str) -> Any:  # noqa: ANN401 - a module
    """Return the first of some modules that can be imported: pip brings its own copies of some."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise DependencyError(f"this Python cannot import {' or '.join(names)}: install a newer pip for it")


def packaging(name: str) -> Any:  # noqa: ANN401 - a module
    """Return a module of the packaging library."""
    return module(f"pip._vendor.packaging.{name}", f"packaging.{name}")


def canonical(name: str) -> str:
    """Return the normal form of a project's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_text(path: Path, what: str) -> str:
    """Return a file's text, which must be UTF-8; ``what`` names it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DependencyError(f"{what} cannot be read: {error.strerror or error}") from None
    found = "UTF-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\0" in content else ""
    if not found:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise DependencyError(
                f"{what} must be UTF-8, got another encoding (byte 0x{content[error.start]:02x} in line {line}): "
                f"convert it, such as by `iconv -f WINDOWS-1252 -t UTF-8 {path.name} >new && mv new {path.name}`"
            ) from None
    raise DependencyError(
        f"{what} must be UTF-8, got {found}, which `pip freeze > {path.name}` writes in Windows PowerShell: convert it "
        f"by `iconv -f UTF-16 -t UTF-8 {path.name} >new && mv new {path.name}`, or write it by "
        f"`pip freeze | Out-File -Encoding ascii {path.name}`"
    )


def read_toml(path: Path) -> Table:
    """Return a TOML file's content."""
    try:
        found: Table = module("tomllib", "pip._vendor.tomli").loads(read_text(path, path.name))
    except ValueError as error:
        raise DependencyError(f"{path.name} is not valid TOML: {error}") from None
    return found


def holds(marker: str, extras: Sequence[str] = (), groups: Sequence[str] = ()) -> bool:
    """Tell whether a marker is true here, given the chosen extras and dependency groups."""
    chosen = {"extras": {canonical(extra) for extra in extras}, "dependency_groups": set(groups)}

    def member(match: re.Match[str]) -> str:
        name = match["name"] if match["set"] == "dependency_groups" else canonical(match["name"])
        return ALWAYS if (name in chosen[match["set"]]) == (match["no"] is None) else NEVER

    def equal(match: re.Match[str]) -> str:
        return ALWAYS if (canonical(match["name"]) in chosen["extras"]) == (match["is"] == "==") else NEVER

    text = re.sub(
        r"""(['"])(?P<name>[^'"]*)\1\s+(?P<no>not\s+)?in\s+(?P<set>extras|dependency_groups)\b""", member, marker
    )
    text = re.sub(r"""\bextra\s*(?P<is>[=!]=)\s*(['"])(?P<name>[^'"]*)\2""", equal, text)
    try:
        return bool(packaging("markers").Marker(text).evaluate()) if text else True
    except ValueError as error:
        raise DependencyError(f"the marker {marker!r} cannot be evaluated: {error}") from None


def fits(specifier: str) -> bool:
    """Tell whether this Python satisfies a specifier. A notation that is not the standard's is accepted."""
    specifiers = packaging("specifiers")
    text = specifier.strip().removeprefix("*")
    if re.fullmatch(r"\^\d+(\.\d+)*", text):  # Poetry's notation
        text = f">={text[1:]},<{int(text[1:].partition('.')[0]) + 1}"
    try:
        return "{}.{}.{}".format(*sys.version_info) in specifiers.SpecifierSet(text)
    except specifiers.InvalidSpecifier:
        return True


def expect_python(specifier: str, name: str) -> None:
    """Refuse a lock file that was made for other versions of Python."""
    if not fits(specifier):
        running = "{}.{}.{}".format(*sys.version_info)
        raise DependencyError(
            f"{name} is for Python {specifier}, but this host has {running}: regenerate the lock file for it, too"
        )


def regenerate(lock: str) -> str:
    """Return the advice to regenerate a lock file."""
    command = COMMANDS.get(lock)
    return f"regenerate it with `{command}`" if command else "regenerate it with the tool that created it"


def pinned(name: str, version: str, hashes: Iterable[str], lock: str, url: str = "") -> str:
    """Return the line of a requirements file for one locked package. Raises DependencyError without a usable hash."""
    if not url and not re.fullmatch(r"[\w.!+-]+", version):
        raise DependencyError(f"{lock} has no exact version of {name}: {regenerate(lock)}")
    usable = sorted({each for each in hashes if each.partition(":")[0] in HASHES})
    if not usable:
        raise DependencyError(f"{lock} has no hash of {name}, so it cannot be verified: {regenerate(lock)}")
    return " ".join([f"{name} @ {url}" if url else f"{name}=={version}", *(f"--hash={each}" for each in usable)])


def elsewhere(name: str, place: object, lock: str) -> DependencyError:
    """Return the error for a package that has no file whose hash could be verified."""
    return DependencyError(
        f"{lock} takes {name} from {place}, which cannot be verified by a hash: publish {name} to an index, or set "
        "flask_apache_requirements to a requirements file instead of the lock file"
    )


def expect_extras(extras: Sequence[str], available: Iterable[str], name: str) -> None:
    """Refuse an extra that does not exist, because it would be ignored silently."""
    known = sorted({canonical(extra) for extra in available})
    for extra in extras:
        if canonical(extra) not in known:
            raise DependencyError(f"{name} has no extra {extra}: it has {', '.join(known) or 'none'}")
