"""Every tool that reads the files is a test; when it fails, what it printed is the message."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.venv import PYTHON, environment

SHELL = "sh"
PYTHON_3 = "python3"


def programs_in(language: str, *directories: str) -> list[str]:
    """List the files without extension that a language's interpreter runs, by their first line."""
    candidates = (path for directory in directories for path in (ROOT / directory).glob("*"))
    return sorted(
        str(path.relative_to(ROOT))
        for path in candidates
        if path.is_file() and not path.suffix and _interpreter(path) == language
    )


def _interpreter(path: Path) -> str:
    with path.open("rb") as file:
        first = file.readline(200).decode(errors="replace")
    return Path(first.split()[-1]).name if first.startswith("#!") else ""


def python_of_the_role() -> list[str]:
    """List the role's Python: the programs, and what ends in .py or .wsgi."""
    files = ROOT / "roles" / "flask_apache" / "files"
    modules = [path for pattern in ("*.py", "*.wsgi") for path in files.glob(pattern)]
    programs = programs_in(PYTHON_3, "roles/flask_apache/files")
    return sorted({*programs, *(str(path.relative_to(ROOT)) for path in modules)})


def playbooks() -> list[str]:
    """List the playbooks that people type, by their paths."""
    return ["site.yml", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "playbooks").glob("*.yml"))]


def assert_is_content(tool: str, *arguments: str | Path, cwd: Path = ROOT) -> None:
    """Run a tool of .venv, and fail with its output if it has anything to say."""
    done = subprocess.run(
        [PYTHON.with_name(tool), *arguments],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{tool} ended with {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False)


def test_ruff_check() -> None:
    assert_is_content("ruff", "check", "--quiet", ".", *python_of_the_role())


def test_ruff_format() -> None:
    assert_is_content("ruff", "format", "--diff", "--quiet", ".", *python_of_the_role())


def test_mypy_tests() -> None:
    assert_is_content("mypy", "tests")


@pytest.mark.parametrize("program", python_of_the_role())
def test_mypy_role(program: str) -> None:
    assert_is_content("mypy", program)


def test_mypy_engine() -> None:
    assert_is_content("mypy", "roles/flask_apache/files/flask_apachectl")


def test_mypy_sample_app() -> None:
    assert_is_content("mypy", cwd=ROOT / "sample_app")


def test_yamllint() -> None:
    assert_is_content("yamllint", "--strict", ".")


def test_ansible_lint() -> None:
    assert_is_content("ansible-lint", "--offline", "--profile=production", "--strict")


@pytest.mark.parametrize("playbook", playbooks())
def test_syntax(playbook: str) -> None:
    assert_is_content("ansible-playbook", "--syntax-check", playbook)


def test_shellcheck() -> None:
    assert_is_content("shellcheck", *programs_in(SHELL, ".", ".ci", "roles/flask_apache/files"))
