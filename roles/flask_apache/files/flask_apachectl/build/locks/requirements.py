"""Read requirements files and pyproject.toml."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask_apachectl.build.locks import lockfile
from flask_apachectl.build.locks.lockfile import DependencyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


def requirement_lines(source: Path, name: str, seen: set[Path]) -> Iterator[str]:
    """Yield the lines of a requirements file and of the files that it includes."""
    path = (source / name).resolve()
    if path in seen:
        return
    seen.add(path)
    for line in lockfile.read_text(path, f"the requirements file {name}").splitlines():
        yield line
        included = re.match(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", line.strip())
        if included and "://" not in included[1]:
            yield from requirement_lines(path.parent, included[1], seen)


def is_local(line: str) -> bool:
    """Tell whether a line of a requirements file refers to a file or directory, not to an index."""
    line = re.sub(r"(^|\s)#.*", "", line).strip()
    line = re.sub(r"^(-r|-c|--requirement|--constraint)[\s=]*\S+|\b(?!file:)\w+://\S+", "", line)
    archive = r"\.(whl|zip|tgz|tar(\.\w+)?)(\s|;|$)"  # pip looks for a file of that name first
    return bool(re.search(rf"/|^\.|file:|^(-e|-f|--editable|--find-links)\b|{archive}", line))


def expect_copies(lines: Iterable[str]) -> None:
    """Refuse what would be installed as a link to the build's directory."""
    for line in lines:
        found = re.match(r"\s*(?:-e|--editable)[\s=]*([^\s#]+)", line)
        if found and ("://" not in found[1] or found[1].startswith("file:")):
            raise DependencyError(
                f"the requirement {line.strip()!r} must not be editable, which would link to this one build: "
                f"write {found[1]}"
            )


def project_requirements(project: lockfile.Table, extras: Sequence[str]) -> list[str]:
    """Return what a [project] table requires with some of its extras, which may refer to each other."""
    optional = {lockfile.canonical(name): texts for name, texts in project.get("optional-dependencies", {}).items()}
    found, wanted, seen = list(project.get("dependencies", [])), [lockfile.canonical(extra) for extra in extras], set()
    while wanted:
        extra = wanted.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for text in optional.get(extra, []):
            requirement = lockfile.packaging("requirements").Requirement(text)
            if lockfile.canonical(requirement.name) == lockfile.canonical(project.get("name", "")):
                wanted += map(lockfile.canonical, requirement.extras)
            else:
                found.append(text)
    return found


def is_package(pyproject: lockfile.Table) -> bool:
    """Tell whether a project can be installed itself. Otherwise only its dependencies can."""
    tools = pyproject.get("tool", {})
    off = (tools.get("poetry", {}).get("package-mode"), tools.get("uv", {}).get("package"))
    return "build-system" in pyproject and False not in off


def is_static(pyproject: lockfile.Table) -> bool:
    """Tell whether the [project] table lists the dependencies, so that no build backend must be run to know them."""
    dynamic = pyproject.get("project", {}).get("dynamic", [])
    return "project" in pyproject and not {"dependencies", "optional-dependencies"} & set(dynamic)


def is_importable(source: Path, wsgi: str) -> bool:
    """Tell whether the app's module is in the source's directory itself, where the app runs."""
    top = wsgi.partition(":")[0].partition(".")[0]
    return (source / top).is_dir() or (source / f"{top}.py").is_file() or any(source.glob(f"{top}.*.so"))
