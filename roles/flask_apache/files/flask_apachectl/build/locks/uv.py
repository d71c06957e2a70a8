"""Read uv.lock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask_apachectl.build.locks import lockfile, requirements
from flask_apachectl.build.locks.lockfile import DependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def read(path: Path, extras: Sequence[str]) -> list[str]:
    """Return what uv.lock pins for the project beside it: its dependencies and theirs, as far as their markers hold."""
    lock = lockfile.read_toml(path)
    if lock.get("version") != 1:
        raise DependencyError(
            f"uv.lock must have version 1, got {lock.get('version')}: regenerate it with another version of uv"
        )
    lockfile.expect_python(lock.get("requires-python", ""), "uv.lock")
    packages: list[lockfile.Table] = lock.get("package", [])
    roots = [each for each in packages if "." in (each["source"].get(kind) for kind in ("virtual", "editable"))]
    if len(roots) != 1:
        raise DependencyError(
            "uv.lock does not lock a project in its own directory: set flask_apache_requirements to a requirements file"
        )
    root = roots[0]
    lockfile.expect_extras(extras, root.get("optional-dependencies", {}), "uv.lock")
    expect_same(path, root)
    wanted: list[tuple[lockfile.Table, str]] = [(root, ""), *((root, lockfile.canonical(extra)) for extra in extras)]
    lines, seen = set[str](), set[tuple[int, str]]()
    while wanted:
        package, extra = wanted.pop()
        edges: list[lockfile.Table] = (
            package.get("optional-dependencies", {}).get(extra, []) if extra else package.get("dependencies", [])
        )
        for edge in edges:
            marker = edge.get("marker", "")
            if re.search(r"\bextra\b", marker):
                raise DependencyError(
                    "uv.lock has conflicting extras, which are not supported: export it with `uv export`"
                )
            if not lockfile.holds(marker):
                continue
            target = uv_package(packages, edge)
            for further in ("", *edge.get("extra", [])):
                if (id(target), further) not in seen:
                    seen.add((id(target), further))
                    wanted.append((target, further))
            if target is not root:
                lines.add(uv_line(target))
    return sorted(lines)


def uv_package(packages: Sequence[lockfile.Table], edge: lockfile.Table) -> lockfile.Table:
    """Return the package of uv.lock that a dependency refers to."""
    keys = [key for key in ("name", "version", "source") if key in edge]
    found = [package for package in packages if all(package.get(key) == edge[key] for key in keys)]
    if len(found) != 1:
        raise DependencyError(
            f"uv.lock must have one package for {edge['name']}, got {len(found)}: regenerate it with `uv lock`"
        )
    return found[0]


def uv_line(package: lockfile.Table) -> str:
    """Return the line for a package of uv.lock."""
    source = package["source"]
    if not source.keys() & {"registry", "url"}:
        raise lockfile.elsewhere(
            package["name"], ", ".join(f"{kind} {place}" for kind, place in source.items()), "uv.lock"
        )
    files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    hashes = [str(file.get("hash", "")) for file in files]
    return lockfile.pinned(package["name"], package.get("version", ""), hashes, "uv.lock", source.get("url", ""))


def expect_same(path: Path, root: lockfile.Table) -> None:
    """Refuse a uv.lock whose dependencies differ from those of pyproject.toml, by names and versions."""
    beside = path.with_name("pyproject.toml")
    pyproject = lockfile.read_toml(beside) if beside.is_file() else {}
    if not requirements.is_static(pyproject):
        return
    requirement, specifiers = (
        lockfile.packaging("requirements").Requirement,
        lockfile.packaging("specifiers").SpecifierSet,
    )
    project, locked = pyproject["project"], root.get("metadata", {}).get("requires-dist", [])
    groups = [project.get("dependencies", []), *project.get("optional-dependencies", {}).values()]
    texts = [text for group in groups for text in group]
    is_now = {(lockfile.canonical(each.name), each.specifier) for each in map(requirement, texts)}
    was = {(lockfile.canonical(each["name"]), specifiers(each.get("specifier", ""))) for each in locked}
    # A version is irrelevant where uv takes the package from elsewhere (tool.uv.sources).
    placed = {
        lockfile.canonical(each["name"])
        for each in locked
        if each.keys() & {"url", "git", "path", "directory", "editable"}
    }
    differing = {name for name, _ in is_now ^ was} - (placed & {name for name, _ in is_now})
    if differing:
        raise DependencyError(
            f"uv.lock does not match pyproject.toml ({', '.join(sorted(differing))}): regenerate it with `uv lock`"
        )
