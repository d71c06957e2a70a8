"""Each linter is a test; its output is the failure message."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.venv import PYTHON, environment

SHELL = "sh"


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


# What one run of mypy checks. The module and the action plugin have the same name, so they need two runs.
PYTHON_OF_THE_ROLE = ("files", "files/entry.wsgi", "action_plugins", "library")


def playbooks() -> list[str]:
    """List the playbooks that users run, by their paths."""
    return ["site.yml", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "playbooks").glob("*.yml"))]


def assert_is_content(tool: str, *arguments: str | Path, cwd: Path = ROOT) -> None:
    """Run a tool of .venv, and fail with its output if it exits with an error."""
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
    assert_is_content("ruff", "check", "--quiet", ".")


def test_ruff_format() -> None:
    assert_is_content("ruff", "format", "--diff", "--quiet", ".")


def test_mypy_tests() -> None:
    assert_is_content("mypy", "tests")


def test_mypy_benchmarks() -> None:
    assert_is_content("mypy", "benchmarks")


@pytest.mark.parametrize("place", PYTHON_OF_THE_ROLE)
def test_mypy_role(place: str) -> None:
    assert_is_content("mypy", f"roles/flask_apache/{place}")


def test_mypy_callback() -> None:
    assert_is_content("mypy", "plugins/callback")


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
