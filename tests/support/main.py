"""What ``./test`` does. Standard library only: it runs before the virtual environment exists."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from tests.support import docker, images, venv
from tests.support.commands import ROOT, SetupError, apt_install, cache_directory, say

USAGE = """\
usage: ./test [SUITE …] [PATH …] [PYTEST OPTION …]

suites, in the order of a run without arguments:
  lint        ruff, mypy, yamllint, ansible-lint, shellcheck, syntax checks
  unit        the engine flask-apachectl, templates, specifications; no host is needed
  sample      the sample app's own tests
  packaging   the role and the collection as archives
  molecule    Molecule's scenarios; `molecule default` for one of them
  hosts       deploys to Docker containers, driven by pytest
  security    what an attacker gets from such a container
or
  setup       prepare everything (.venv, Docker, images) and leave Docker running

Two files are tested at a time; -n0 lets them follow each other, and pytest's -s and --pdb work.

KEEP_DOCKER=1            leave Docker running, if it had to be started
FLASK_APACHE_TEST_CA=…   a directory of *.crt that the test hosts shall trust (default: this machine's own)
"""

SUITES = {
    "lint": "tests/lint",
    "unit": "tests/unit",
    "sample": "sample_app/tests",
    "packaging": "tests/packaging",
    "molecule": "tests/molecule",
    "hosts": "tests/hosts",
    "security": "tests/security",
}

# A test of hosts keeps more than one processor busy.
TWO_FILES_AT_A_TIME = ("--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder")
# What the tests of sources call, and the packages that have it.
PROGRAMS = {"git": "git", "ssh-keygen": "openssh-client", "gpg": "gnupg"}


def pytest_arguments(words: list[str]) -> list[str]:
    """Translate ``./test``'s arguments into pytest's.

    >>> pytest_arguments(["molecule", "default", "-x"])
    ['tests/molecule', '--scenario=default', '-x']

    Raises SetupError for a word that is no suite, scenario or path.
    """
    paths: list[str] = []
    options: list[str] = []
    for position, word in enumerate(words):
        if word.startswith("-"):
            options += words[position + (word == "--") :]
            break
        if word in SUITES:
            paths.append(SUITES[word])
        elif SUITES["molecule"] in paths and (ROOT / "molecule" / word / "molecule.yml").exists():
            options.append(f"--scenario={word}")
        elif (ROOT / word.partition("::")[0]).exists():
            paths.append(word)
        else:
            raise SetupError(f"no suite, scenario or path: {word}\n\n{USAGE}")
    return [*(paths or [path for path in SUITES.values() if (ROOT / path).is_dir()]), *options]


def setup() -> int:
    """Prepare Docker and the images, and leave Docker running."""
    pid = docker.ensure()
    images.main([])
    if pid is not None:
        say("dockerd stays up; `python3 -m tests.support.docker stop` stops it")
    return 0


def main(words: list[str]) -> int:
    """Prepare, and run pytest. Returns the exit code."""
    if words and words[0] in {"-h", "--help"}:
        print(USAGE, end="")
        return 0
    only_setup = words == ["setup"]
    arguments = [] if only_setup else pytest_arguments(words)
    venv.ensure()
    if missing := [package for program, package in PROGRAMS.items() if shutil.which(program) is None]:
        apt_install(*missing)
    if only_setup:
        return setup()
    os.environ.setdefault("ANSIBLE_HOME", str(ROOT / ".ansible"))
    # Hundreds of plays and workers would compile the same modules; no byte code is to lie among the sources.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(cache_directory() / "bytecode")
    return subprocess.call([str(venv.PYTHON), "-m", "pytest", *TWO_FILES_AT_A_TIME, *arguments], cwd=ROOT)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
