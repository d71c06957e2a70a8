"""The virtual environment ``.venv``: Ansible, Molecule and the test tools, as tests/requirements.txt says."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from pathlib import Path

from tests.support import pypi_collections
from tests.support.commands import ROOT, SetupError, apt_install, errors, run, say

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "tests" / "requirements.txt"
STAMP = VENV / "tests-are-installed"


def environment(**more: str) -> dict[str, str]:
    """Return the environment in which the programs of ``.venv`` find each other, and print plain text."""
    return {
        **os.environ,
        "ANSIBLE_HOME": os.environ.get("ANSIBLE_HOME", str(ROOT / ".ansible")),
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        **more,
    }


def ensure() -> None:
    """Make ``.venv`` hold exactly what the requirement files name, unless its stamp says that it does.

    Raises SetupError when Python, Debian's packages or PyPI stand in the way.
    """
    with REQUIREMENTS.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = _fingerprint()
        if _works() and STAMP.exists() and STAMP.read_text() == wanted:
            return
        if not _works():
            _create()
        say("installing the test tools into .venv")
        done = run([PYTHON, "-m", "pip", "install", "--quiet", f"--requirement={REQUIREMENTS}"], check=False)
        if done.returncode != 0:
            raise SetupError(f"pip cannot install tests/requirements.txt: {errors(done)}")
        pypi_collections.install(PYTHON, _site_packages())
        STAMP.write_text(wanted)


def _works() -> bool:
    return PYTHON.exists() and run([PYTHON, "-m", "pip", "--version"], check=False).returncode == 0


def _create() -> None:
    say(f"making .venv with Python {sys.version.split()[0]}")
    make = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    if run(make, check=False).returncode == 0 and _works():
        return
    # Debian and Ubuntu keep what `venv` needs in a package of its own.
    apt_install("python3-venv")
    if run(make, check=False).returncode != 0:
        apt_install(f"python3.{sys.version_info.minor}-venv")
        run(make)


def _site_packages() -> Path:
    done = run([PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    return Path(done.stdout.strip())


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in (ROOT / "requirements.txt", REQUIREMENTS, Path(pypi_collections.__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest() + "\n"
