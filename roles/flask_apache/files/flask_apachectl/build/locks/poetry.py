"""Read poetry.lock."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from flask_apachectl.build.locks import lockfile
from flask_apachectl.build.locks.lockfile import DependencyError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def read(path: Path, extras: Sequence[str]) -> list[str]:
    """Return what poetry.lock pins in its main group, as far as the markers hold."""
    lock = lockfile.read_toml(path)
    metadata = lock.get("metadata", {})
    version = str(metadata.get("lock-version", "none"))
    if not re.fullmatch(r"2\.[1-9]\d*", version):
        raise DependencyError(
            f"poetry.lock must have lock-version 2.1 or later 2.x, which records groups and markers, got {version}: "
            "regenerate it with `poetry lock` of Poetry 2"
        )
    beside = path.with_name("pyproject.toml")
    if beside.is_file() and metadata.get("content-hash") not in poetry_hashes(lockfile.read_toml(beside)):
        raise DependencyError("poetry.lock does not match pyproject.toml: regenerate it with `poetry lock`")
    lockfile.expect_python(str(metadata.get("python-versions", "*")), "poetry.lock")
    lockfile.expect_extras(extras, lock.get("extras", {}), "poetry.lock")
    lines = []
    for package in lock.get("package", []):
        markers = package.get("markers", "")
        marker = markers.get("main", "") if isinstance(markers, dict) else markers
        if "main" not in package["groups"] or not lockfile.holds(marker, extras):
            continue
        source = package.get("source", {"type": "legacy"})
        if source["type"] not in ("legacy", "url"):
            raise lockfile.elsewhere(
                package["name"], f"{source['type']} {source.get('url', '')}".strip(), "poetry.lock"
            )
        hashes = [file["hash"] for file in package.get("files", [])]
        url = source["url"] if source["type"] == "url" else ""
        lines.append(
            lockfile.pinned(lockfile.canonical(package["name"]), package["version"], hashes, "poetry.lock", url)
        )
    return sorted(lines)


def poetry_hashes(pyproject: lockfile.Table) -> set[str]:
    """Return Poetry's digests of what a lock depends on in pyproject.toml, as new and old versions compute them."""
    poetry = pyproject.get("tool", {}).get("poetry", {})
    project = {
        key: pyproject["project"][key]
        for key in ("requires-python", "dependencies", "optional-dependencies")
        if pyproject.get("project", {}).get(key) is not None
    }
    found = set()
    groups: lockfile.Table
    for groups in (pyproject.get("dependency-groups", {}), {}):
        legacy = [] if project or groups else ["dependencies", "source", "extras", "dev-dependencies"]
        kept = {
            key: poetry.get(key)
            for key in ("dependencies", "source", "extras", "dev-dependencies", "group")
            if key in legacy or poetry.get(key) is not None
        }
        content = {**({"project": project} if project else {}), **({"dependency-groups": groups} if groups else {})}
        relevant = {**content, "tool": {"poetry": kept}} if content else kept
        found.add(hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest())
    return found
