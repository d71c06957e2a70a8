"""Find out how to install what an app's source needs: requirements files, pyproject.toml, or a lock file, exactly.

The engine runs `main` as the build user, with the Python of the build environment, in the source's directory. A lock
file is read for this interpreter: its markers are evaluated here, and what remains is installed without resolving
anything again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl.build.locks import choose, lockfile, pipfile, poetry, pylock, uv
from flask_apachectl.build.locks.lockfile import DependencyError
from flask_apachectl.build.locks.requirements import (
    expect_copies,
    is_importable,
    is_local,
    is_package,
    is_static,
    project_requirements,
    requirement_lines,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["DependencyError", "choose", "main", "plan"]

WITH_EXTRAS = ("uv.lock", "poetry.lock", "pylock.toml", "pyproject.toml")
READERS: dict[str, Callable[[Path, Sequence[str]], list[str]]] = {
    "uv.lock": uv.read,
    "poetry.lock": poetry.read,
    "pylock.toml": pylock.read,
    "Pipfile.lock": pipfile.read,
}


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

    ``lines``: what must be written to ``lines_file`` first; ``steps``: the arguments of the installer's calls, in
    the source's directory; ``inputs``: what the result depends on; ``tied``: whether it depends on the source, too.
    """
    files = choose.choose(source, requirements)
    lock = next(filter(choose.lock_kind, files), "")
    project = next((name for name in files if Path(name).name == "pyproject.toml"), "")
    texts = [name for name in files if name not in (lock, project)]
    if extras and not project and choose.lock_kind(lock) not in WITH_EXTRAS:
        found = " and ".join(files) or "none"
        raise DependencyError(f"flask_apache_extras needs one of {', '.join(WITH_EXTRAS)}, got {found}")
    if lock and constraints:
        raise DependencyError(
            f"flask_apache_constraints must be empty with {lock}, which pins every version: set it to []"
        )
    pyproject_file = Path(project or lock or "-").with_name("pyproject.toml")
    beside = project or (lock and (source / pyproject_file).is_file())
    pyproject = lockfile.read_toml(source / pyproject_file) if beside else {}

    named = bool(project) and requirements is not None
    unknown = bool(project) and not lock and not is_static(pyproject)  # what it needs, before it is installed
    itself = is_package(pyproject) and (named or unknown or not is_importable(source, wsgi))
    if unknown and not itself:
        raise DependencyError(
            "pyproject.toml has no [project] table with dependencies: ship a lock file, or list the dependencies there"
        )
    lines = READERS[choose.lock_kind(lock)](source / lock, extras) if lock else []
    if project and not lock and not unknown:
        lockfile.expect_extras(extras, pyproject["project"].get("optional-dependencies", {}), "pyproject.toml")
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
        "inputs": [lines, included, [word for step in steps for word in step if word != lines_file]],
        "tied": itself or any(map(is_local, [*included, *lines])),
    }


def main(question_json: str) -> int:
    """Print the plan for the source in the working directory as a JSON object, and return the exit code.

    The question is a JSON object: ``requirements`` (names of files, or null: find out), ``constraints``, ``extras``,
    ``wsgi``, ``lines_file`` (where the engine will write ``lines``). A refusal is 1 and the reason on standard error.
    """
    try:
        print(json.dumps(plan(Path(), **json.loads(question_json))))
    except DependencyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
