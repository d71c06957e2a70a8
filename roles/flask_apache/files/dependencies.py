#!/usr/bin/env python3
"""Read what an app's source needs to be installed: requirements files, pyproject.toml, or a lock, exactly.

The engine runs it as the build user, by the interpreter that the app will have, in the source's directory. The one
argument is a JSON object: ``requirements`` (names of files, or null: find out), ``constraints``, ``extras``, ``wsgi``,
``lines_file`` (where the engine will write ``lines``). Prints a JSON object; ``plan`` lists its keys. Ends with 1 and
the reason on standard error when it cannot be installed as it is written.

A lock is read for this interpreter: its markers are evaluated here, and what is left is installed without resolving
anything again. The controller uses ``choose`` before anything is shipped.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Table = dict[str, Any]

LOCKS = ("uv.lock", "poetry.lock", "pylock.toml", "Pipfile.lock")
WITH_EXTRAS = ("uv.lock", "poetry.lock", "pylock.toml", "pyproject.toml")
NAME_IT = "name the right one in flask_apache_requirements"
HASHES = ("sha256", "sha384", "sha512")  # that pip and uv take
ALWAYS, NEVER = 'python_version >= "0"', 'python_version < "0"'


class DependencyError(Exception):
    """The source's dependencies cannot be installed as they are written: the message says why, and the way out."""


# --- Which files count -----------------------------------------------------------------------------------------------


def lock_kind(name: str) -> str:
    """Return which of `LOCKS` a file is, or nothing; pylock.toml may have a name of its own in the middle."""
    base = Path(name).name
    if re.fullmatch(r"pylock\.[^.]+\.toml", base):
        return "pylock.toml"
    return base if base in LOCKS else ""


def choose(source: Path, requirements: Sequence[str] | None) -> list[str]:
    """Return the files that say what is needed: those named, or, for None, those found.

    Raises DependencyError when more than one answer is possible: a lock is never silently ignored.
    """
    if requirements is None:
        return find(source)
    locks = [name for name in requirements if lock_kind(name)]
    others = [name for name in requirements if name not in locks and Path(name).name != "pyproject.toml"]
    if len(locks) > 1 or (locks and others):
        raise DependencyError(
            f"{' and '.join([*locks, *others])} exclude each other: a lock is the whole truth; {NAME_IT}"
        )
    return list(requirements)


def find(source: Path) -> list[str]:
    """Return the file of a source that says what is needed, if there is one."""
    locks = [name for name in LOCKS if (source / name).is_file()]
    locks += sorted(path.name for path in source.glob("pylock.*.toml"))
    listed = [*locks, *(["requirements.txt"] if (source / "requirements.txt").is_file() else [])]
    if locks and len(listed) > 1:
        raise DependencyError(f"the source has {' and '.join(listed)}, which may differ; {NAME_IT}")
    if listed:
        return listed
    project = source / "pyproject.toml"
    tables = r"(?m)^\s*\[\s*(project|tool\s*\.\s*poetry)\s*\]"
    is_project = project.is_file() and re.search(tables, project.read_text(encoding="utf-8", errors="replace"))
    return ["pyproject.toml"] if is_project else []


# --- Markers, versions, TOML -----------------------------------------------------------------------------------------


def module(*names: str) -> Any:  # noqa: ANN401 - a module
    """Return the first of some modules that there is: pip brings its own copies."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise DependencyError(f"this Python has none of {', '.join(names)}: install a newer pip for it")


def packaging(name: str) -> Any:  # noqa: ANN401 - a module
    """Return a module of the library packaging."""
    return module(f"pip._vendor.packaging.{name}", f"packaging.{name}")


def canonical(name: str) -> str:
    """Return the normal form of a project's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_toml(path: Path) -> Table:
    """Return a TOML file's content."""
    try:
        found: Table = module("tomllib", "pip._vendor.tomli").loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DependencyError(f"{path.name} cannot be read: {error.strerror}") from None
    except ValueError as error:  # also of its encoding
        raise DependencyError(f"{path.name} is damaged: {error}") from None
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
    """Tell whether this Python is of the versions that are asked for; a notation that is not Python's is let pass."""
    specifiers = packaging("specifiers")
    text = specifier.strip().removeprefix("*")
    if re.fullmatch(r"\^\d+(\.\d+)*", text):  # Poetry's
        text = f">={text[1:]},<{int(text[1:].partition('.')[0]) + 1}"
    try:
        return "{}.{}.{}".format(*sys.version_info) in specifiers.SpecifierSet(text)
    except specifiers.InvalidSpecifier:
        return True


def expect_python(specifier: str, name: str) -> None:
    """Refuse a lock that was made for other versions of Python."""
    if not fits(specifier):
        running = "{}.{}.{}".format(*sys.version_info)
        raise DependencyError(f"{name} is for Python {specifier}, this host has {running}: lock for that one, too")


# --- Locks: pinned lines with hashes, for this interpreter -----------------------------------------------------------


def pinned(name: str, version: str, hashes: Iterable[str], lock: str, url: str = "") -> str:
    """Return the line of a requirements file for one locked package. Raises DependencyError without a usable hash."""
    if not url and not re.fullmatch(r"[\w.!+-]+", version):
        raise DependencyError(f"{lock} has no exact version of {name}: lock it anew")
    usable = sorted({each for each in hashes if each.partition(":")[0] in HASHES})
    if not usable:
        raise DependencyError(f"{lock} has no hash of {name}, so it cannot be checked: lock it anew")
    return " ".join([f"{name} @ {url}" if url else f"{name}=={version}", *(f"--hash={each}" for each in usable)])


def elsewhere(name: str, place: object, lock: str) -> DependencyError:
    """Return the error for a package that has no file to check."""
    return DependencyError(
        f"{lock} takes {name} from {place}, which cannot be checked by a hash: publish {name} to an index, or name a "
        "requirements file instead of the lock"
    )


def expect_extras(extras: Sequence[str], there: Iterable[str], name: str) -> None:
    """Refuse an extra that does not exist, for it would be silently left out."""
    known = sorted({canonical(extra) for extra in there})
    for extra in extras:
        if canonical(extra) not in known:
            raise DependencyError(f"{name} has no extra {extra}; there is: {', '.join(known) or 'none'}")


def read_uv(path: Path, extras: Sequence[str]) -> list[str]:
    """Return what uv.lock pins for the project beside it: its dependencies and theirs, as far as their markers hold."""
    lock = read_toml(path)
    if lock.get("version") != 1:
        raise DependencyError(f"uv.lock has the version {lock.get('version')}, known is 1: lock it with another uv")
    expect_python(lock.get("requires-python", ""), "uv.lock")
    packages: list[Table] = lock.get("package", [])
    roots = [each for each in packages if "." in (each["source"].get(kind) for kind in ("virtual", "editable"))]
    if len(roots) != 1:
        raise DependencyError("uv.lock has no project of this directory: name a requirements file instead of the lock")
    root = roots[0]
    expect_extras(extras, root.get("optional-dependencies", {}), "uv.lock")
    expect_same(path, root)
    wanted: list[tuple[Table, str]] = [(root, ""), *((root, canonical(extra)) for extra in extras)]
    lines, seen = set[str](), set[tuple[int, str]]()
    while wanted:
        package, extra = wanted.pop()
        edges: list[Table] = (
            package.get("optional-dependencies", {}).get(extra, []) if extra else package.get("dependencies", [])
        )
        for edge in edges:
            marker = edge.get("marker", "")
            if re.search(r"\bextra\b", marker):
                raise DependencyError("uv.lock has extras that exclude each other: export it to a requirements file")
            if not holds(marker):
                continue
            target = uv_package(packages, edge)
            for further in ("", *edge.get("extra", [])):
                if (id(target), further) not in seen:
                    seen.add((id(target), further))
                    wanted.append((target, further))
            if target is not root:
                lines.add(uv_line(target))
    return sorted(lines)


def uv_package(packages: Sequence[Table], edge: Table) -> Table:
    """Return the package of uv.lock that a dependency means."""
    keys = [key for key in ("name", "version", "source") if key in edge]
    found = [package for package in packages if all(package.get(key) == edge[key] for key in keys)]
    if len(found) != 1:
        raise DependencyError(f"uv.lock does not tell which {edge['name']} is meant: lock it anew")
    return found[0]


def uv_line(package: Table) -> str:
    """Return the line for a package of uv.lock."""
    source = package["source"]
    if not source.keys() & {"registry", "url"}:
        raise elsewhere(package["name"], ", ".join(f"{kind} {place}" for kind, place in source.items()), "uv.lock")
    files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
    hashes = [str(file.get("hash", "")) for file in files]
    return pinned(package["name"], package.get("version", ""), hashes, "uv.lock", source.get("url", ""))


def expect_same(path: Path, root: Table) -> None:
    """Refuse a uv.lock that was made for other dependencies than pyproject.toml has now: by names and versions."""
    beside = path.with_name("pyproject.toml")
    pyproject = read_toml(beside) if beside.is_file() else {}
    if not is_static(pyproject):
        return
    requirement, specifiers = packaging("requirements").Requirement, packaging("specifiers").SpecifierSet
    project, locked = pyproject["project"], root.get("metadata", {}).get("requires-dist", [])
    groups = [project.get("dependencies", []), *project.get("optional-dependencies", {}).values()]
    texts = [text for group in groups for text in group]
    is_now = {(canonical(each.name), each.specifier) for each in map(requirement, texts)}
    was = {(canonical(each["name"]), specifiers(each.get("specifier", ""))) for each in locked}
    # A version means nothing where uv takes the package from another place (tool.uv.sources).
    placed = {
        canonical(each["name"]) for each in locked if each.keys() & {"url", "git", "path", "directory", "editable"}
    }
    differing = {name for name, _ in is_now ^ was} - (placed & {name for name, _ in is_now})
    if differing:
        raise DependencyError(f"uv.lock does not fit pyproject.toml ({', '.join(sorted(differing))}): run `uv lock`")


def read_poetry(path: Path, extras: Sequence[str]) -> list[str]:
    """Return what poetry.lock pins in its main group, as far as the markers hold."""
    lock = read_toml(path)
    metadata = lock.get("metadata", {})
    version = str(metadata.get("lock-version", "none"))
    if not re.fullmatch(r"2\.[1-9]\d*", version):
        raise DependencyError(
            f"poetry.lock has the version {version}, which names no groups and markers: run `poetry lock` of Poetry 2"
        )
    beside = path.with_name("pyproject.toml")
    if beside.is_file() and metadata.get("content-hash") not in poetry_hashes(read_toml(beside)):
        raise DependencyError("poetry.lock does not fit pyproject.toml: run `poetry lock`")
    expect_python(str(metadata.get("python-versions", "*")), "poetry.lock")
    expect_extras(extras, lock.get("extras", {}), "poetry.lock")
    lines = []
    for package in lock.get("package", []):
        markers = package.get("markers", "")
        marker = markers.get("main", "") if isinstance(markers, dict) else markers
        if "main" not in package["groups"] or not holds(marker, extras):
            continue
        source = package.get("source", {"type": "legacy"})
        if source["type"] not in ("legacy", "url"):
            raise elsewhere(package["name"], f"{source['type']} {source.get('url', '')}".strip(), "poetry.lock")
        hashes = [file["hash"] for file in package.get("files", [])]
        url = source["url"] if source["type"] == "url" else ""
        lines.append(pinned(canonical(package["name"]), package["version"], hashes, "poetry.lock", url))
    return sorted(lines)


def poetry_hashes(pyproject: Table) -> set[str]:
    """Return Poetry's digests of what a lock depends on in pyproject.toml: as newer and as older versions make them."""
    poetry = pyproject.get("tool", {}).get("poetry", {})
    project = {
        key: pyproject["project"][key]
        for key in ("requires-python", "dependencies", "optional-dependencies")
        if pyproject.get("project", {}).get(key) is not None
    }
    found = set()
    groups: Table
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


def read_pylock(path: Path, extras: Sequence[str]) -> list[str]:
    """Return what pylock.toml (the standard's format) pins, as far as the markers hold."""
    lock, name = read_toml(path), path.name
    if str(lock.get("lock-version", "")).partition(".")[0] != "1":
        raise DependencyError(
            f"{name} has the version {lock.get('lock-version')}, known is 1: make it with another tool"
        )
    expect_python(lock.get("requires-python", ""), name)
    environments = lock.get("environments", [])
    if environments and not any(holds(marker) for marker in environments):
        raise DependencyError(f"{name} is for {' or '.join(environments)}, which this host is not: lock for it, too")
    expect_extras(extras, lock.get("extras", []), name)
    lines: dict[str, str] = {}
    for package in lock.get("packages", []):
        if not holds(package.get("marker", ""), extras, lock.get("default-groups", [])):
            continue
        project = canonical(package["name"])
        expect_python(package.get("requires-python", ""), f"{project} of {name}")
        archive = package.get("archive", {})
        if any(kind in package for kind in ("vcs", "directory")) or (archive and "url" not in archive):
            place = package.get("vcs") or package.get("directory") or archive
            raise elsewhere(project, place.get("url") or place.get("path"), name)
        files = [*package.get("wheels", []), *(package[kind] for kind in ("sdist", "archive") if kind in package)]
        hashes = [f"{kind}:{digest}" for file in files for kind, digest in file.get("hashes", {}).items()]
        if project in lines:
            raise DependencyError(f"{name} has two versions of {project} for this host: lock it anew")
        lines[project] = pinned(project, package.get("version", ""), hashes, name, archive.get("url", ""))
    return sorted(lines.values())


def read_pipfile(path: Path, _extras: Sequence[str]) -> list[str]:
    """Return what Pipfile.lock pins in its default group, as far as the markers hold."""
    try:
        lock: Table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DependencyError(f"Pipfile.lock cannot be read: {error}") from None
    meta = lock.get("_meta", {})
    if meta.get("pipfile-spec") != 6:  # noqa: PLR2004
        raise DependencyError(f"Pipfile.lock has the version {meta.get('pipfile-spec')}, known is 6: lock it anew")
    beside = path.with_name("Pipfile")
    if beside.is_file() and meta.get("hash", {}).get("sha256") != pipfile_hash(read_toml(beside), meta):
        raise DependencyError("Pipfile.lock does not fit Pipfile: run `pipenv lock`")
    required = meta.get("requires", {})
    python = required.get("python_full_version") or (
        required.get("python_version", "") and f"{required['python_version']}.*"
    )
    expect_python(f"=={python}" if python else "", "Pipfile.lock")
    lines = []
    for name, package in lock.get("default", {}).items():
        if not holds(package.get("markers", "")):
            continue
        if "version" not in package:
            raise elsewhere(name, package.get("git") or package.get("path") or package.get("file"), "Pipfile.lock")
        version = package["version"].removeprefix("==") if package["version"].startswith("==") else ""
        lines.append(pinned(canonical(name), version, package.get("hashes", []), "Pipfile.lock"))
    return sorted(lines)


def pipfile_hash(pipfile: Table, meta: Table) -> str:
    """Return pipenv's digest of a Pipfile; without sources of its own it has those that its lock names."""
    groups = {name: table for name, table in pipfile.items() if name not in PIPFILE_TABLES}
    content = {
        "_meta": {"sources": pipfile.get("source", meta.get("sources", [])), "requires": pipfile.get("requires", {})},
        "default": pipfile.get("packages", {}),
        "develop": pipfile.get("dev-packages", {}),
        **groups,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


PIPFILE_TABLES = ("source", "packages", "dev-packages", "requires", "scripts", "pipfile", "pipenv")
READERS: dict[str, Callable[[Path, Sequence[str]], list[str]]] = {
    "uv.lock": read_uv,
    "poetry.lock": read_poetry,
    "pylock.toml": read_pylock,
    "Pipfile.lock": read_pipfile,
}


# --- Requirements files and pyproject.toml ---------------------------------------------------------------------------


def requirement_lines(source: Path, name: str, seen: set[Path]) -> Iterator[str]:
    """Yield the lines of a requirements file and of those that it includes."""
    path = (source / name).resolve()
    if path in seen:
        return
    seen.add(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DependencyError(f"the requirements file {name} cannot be read: {error}") from None
    for line in text.splitlines():
        yield line
        included = re.match(r"(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", line.strip())
        if included and "://" not in included[1]:
            yield from requirement_lines(path.parent, included[1], seen)


def is_local(line: str) -> bool:
    """Tell whether a line of a requirements file names something of the source itself, not of an index."""
    line = re.sub(r"(^|\s)#.*", "", line).strip()
    line = re.sub(r"^(-r|-c|--requirement|--constraint)[\s=]*\S+|\b(?!file:)\w+://\S+", "", line)
    archive = r"\.(whl|zip|tgz|tar(\.\w+)?)(\s|;|$)"  # pip looks for a file of that name first
    return bool(re.search(rf"/|^\.|file:|^(-e|-f|--editable|--find-links)\b|{archive}", line))


def expect_copies(lines: Iterable[str]) -> None:
    """Refuse what would be installed as a link into the directory of the build."""
    for line in lines:
        found = re.match(r"\s*(?:-e|--editable)[\s=]*([^\s#]+)", line)
        if found and ("://" not in found[1] or found[1].startswith("file:")):
            raise DependencyError(f"{line.strip()!r} would be a link into this one build: write {found[1]} without -e")


def project_requirements(project: Table, extras: Sequence[str]) -> list[str]:
    """Return what a project's table [project] asks for, with some of its extras, which may name others of them."""
    optional = {canonical(name): texts for name, texts in project.get("optional-dependencies", {}).items()}
    found, wanted, seen = list(project.get("dependencies", [])), [canonical(extra) for extra in extras], set()
    while wanted:
        extra = wanted.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for text in optional.get(extra, []):
            requirement = packaging("requirements").Requirement(text)
            if canonical(requirement.name) == canonical(project.get("name", "")):
                wanted += map(canonical, requirement.extras)
            else:
                found.append(text)
    return found


def is_package(pyproject: Table) -> bool:
    """Tell whether a project can be installed itself; otherwise only what it needs can."""
    tools = pyproject.get("tool", {})
    off = (tools.get("poetry", {}).get("package-mode"), tools.get("uv", {}).get("package"))
    return "build-system" in pyproject and False not in off


def is_static(pyproject: Table) -> bool:
    """Tell whether the table [project] names the dependencies, so that nothing must be run to know them."""
    dynamic = pyproject.get("project", {}).get("dynamic", [])
    return "project" in pyproject and not {"dependencies", "optional-dependencies"} & set(dynamic)


def is_importable(source: Path, wsgi: str) -> bool:
    """Tell whether the app's module is in the source's directory itself, where the app runs."""
    top = wsgi.partition(":")[0].partition(".")[0]
    return (source / top).is_dir() or (source / f"{top}.py").is_file() or any(source.glob(f"{top}.*.so"))


# --- The plan --------------------------------------------------------------------------------------------------------


def plan(
    source: Path,
    *,
    requirements: Sequence[str] | None,
    constraints: Sequence[str],
    extras: Sequence[str],
    wsgi: str,
    lines_file: str,
) -> dict[str, Any]:
    """Return how to install what a source needs.

    ``lines``: what is to be written to ``lines_file`` before; ``steps``: the arguments of the installer's calls, in
    the source's directory; ``makings``: what the result depends on; ``tied``: whether also on the source itself.
    """
    files = choose(source, requirements)
    lock = next(filter(lock_kind, files), "")
    project = next((name for name in files if Path(name).name == "pyproject.toml"), "")
    texts = [name for name in files if name not in (lock, project)]
    if extras and not project and lock_kind(lock) not in WITH_EXTRAS:
        found = " and ".join(files) or "nothing"
        raise DependencyError(f"flask_apache_extras need one of {', '.join(WITH_EXTRAS)}; there is {found}")
    if lock and constraints:
        raise DependencyError(f"flask_apache_constraints can do nothing to {lock}, which is exact: write [] for them")
    pyproject_file = Path(project or lock or "-").with_name("pyproject.toml")
    beside = project or (lock and (source / pyproject_file).is_file())
    pyproject = read_toml(source / pyproject_file) if beside else {}

    named = bool(project) and requirements is not None
    unknown = bool(project) and not lock and not is_static(pyproject)  # what it needs, before it is installed
    itself = is_package(pyproject) and (named or unknown or not is_importable(source, wsgi))
    if unknown and not itself:
        raise DependencyError(
            "pyproject.toml has no table [project] with dependencies: ship a lock, or write them there"
        )
    lines = READERS[lock_kind(lock)](source / lock, extras) if lock else []
    if project and not lock and not unknown:
        expect_extras(extras, pyproject["project"].get("optional-dependencies", {}), "pyproject.toml")
        lines = [] if itself else project_requirements(pyproject["project"], extras)

    included = [line for name in [*texts, *constraints] for line in requirement_lines(source, name, set())]
    expect_copies(included)
    place = pyproject_file.parent.as_posix()
    directory = [("." if place == "." else f"./{place}") + (f"[{','.join(extras)}]" if extras else "")] * itself
    listed = [word for name in texts for word in ("-r", name)] + ["-r", lines_file] * bool(lines)
    limits = [word for name in constraints for word in ("-c", name)]
    if lock or any("--hash" in line for line in included):
        locked = ["--no-deps"] * bool(lock) + ["--require-hashes", *listed, *limits]
        steps = [locked] * bool(listed) + [["--no-deps", *directory]] * itself  # a directory has no hash
    else:
        steps = [[*listed, *directory, *limits]] * bool(listed or directory)
    return {
        "lines": lines,
        "steps": steps,
        "makings": [lines, included, [word for step in steps for word in step if word != lines_file]],
        "tied": itself or any(map(is_local, [*included, *lines])),
    }


def main() -> int:
    """Run the command line."""
    try:
        print(json.dumps(plan(Path(), **json.loads(sys.argv[1]))))
    except DependencyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
