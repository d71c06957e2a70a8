"""Virtual environments beside ``.venv``: for other versions of Ansible, and for tools that need other packages.

Each holds what ``tests/requirements-NAME.txt`` lists, and is kept in the cache until that changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from functools import lru_cache
from pathlib import Path

from tests.support import pypi_collections, venv
from tests.support.commands import ROOT, SetupError, cache_directory, errors, run, say

OLDEST_MINOR, NEWEST_MINOR = 10, 14  # of the Pythons that are looked for
OLDEST_ANSIBLE_PYTHONS = (10, 11, 12)  # on which ansible-core 2.17 runs


@lru_cache
def pythons() -> dict[int, Path]:
    """Return this machine's interpreters by their minor version, also those that pyenv keeps, the newest first."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = {sys.version_info.minor: Path(sys.executable)}
    for minor in range(NEWEST_MINOR, OLDEST_MINOR - 1, -1):
        on_path = shutil.which(f"python3.{minor}")
        for path in [*([Path(on_path)] if on_path else []), *sorted(versions.glob(f"3.{minor}.*/bin/python3"))]:
            if minor not in found and run([path, "-c", "import ensurepip"], check=False).returncode == 0:
                found[minor] = path
    return dict(sorted(found.items(), reverse=True))


def interpreter(name: str) -> Path:
    """Return the Python that a set of tools runs with. Raises SetupError when this machine has none."""
    have = pythons()
    if name == "newest":
        return have[max(have)]
    if name == "oldest":
        suitable = [have[minor] for minor in OLDEST_ANSIBLE_PYTHONS if minor in have]
        if not suitable:
            raise SetupError("ansible-core 2.17 needs Python 3.10, 3.11 or 3.12: install python3.11")
        return suitable[0]
    return have[sys.version_info.minor]


def ensure(name: str) -> Path:
    """Return the directory of a set's programs; make it when it is missing. Raises SetupError."""
    requirements = ROOT / "tests" / f"requirements-{name}.txt"
    python = interpreter(name)
    inputs = (requirements, ROOT / "requirements.txt", Path(pypi_collections.__file__))
    digest = hashlib.sha256(str(python.resolve()).encode())
    for path in inputs:
        digest.update(path.read_bytes())
    directory = cache_directory() / f"tools-{name}-{digest.hexdigest()[:12]}"
    with (cache_directory() / f"tools-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            _make(directory, python, requirements)
    return directory / "bin"


def _make(directory: Path, python: Path, requirements: Path) -> None:
    say(f"installing {requirements.name} into {directory}")
    run([python, "-m", "venv", "--clear", directory])
    inside = directory / "bin/python"
    done = run([inside, "-m", "pip", "install", "--quiet", f"--requirement={requirements}"], check=False)
    if done.returncode != 0:
        raise SetupError(f"pip cannot install {requirements.name}: {errors(done)}")
    packages = run([inside, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).stdout.strip()
    pypi_collections.install(inside, Path(packages))
    (directory / "complete").touch()


def environment(programs: Path, **more: str) -> dict[str, str]:
    """Return the environment in which a set's programs find each other before those of ``.venv``."""
    path = os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])
    return {**venv.environment(), "PATH": path, **more}
