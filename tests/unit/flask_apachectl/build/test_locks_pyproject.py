"""Dependencies from pyproject.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.flask_apachectl.build.plans import (
    BACKEND,
    ONE,
    PROJECT,
    plan,
    refused,
)

if TYPE_CHECKING:
    from pathlib import Path


OPTIONAL = '[project.optional-dependencies]\npg = ["psycopg"]\nall = ["shop[pg]", "redis"]\n'


def test_what_a_project_needs_is_installed_and_the_project_runs_from_its_source(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT + OPTIONAL + BACKEND)
    found = plan(tmp_path, extras=["all"])
    assert (found["lines"], found["steps"]) == (["flask>=3", "redis", "psycopg"], [["-r", "/lines"]])
    assert not found["tied"], "a change of code would build another virtual environment"


@pytest.mark.parametrize(
    "question", [{"requirements": ["pyproject.toml"]}, {"wsgi": "shop:app"}], ids=["named", "not beside it"]
)
def test_a_project_is_installed_itself_when_it_is_named_or_in_a_directory_of_its_own(
    tmp_path: Path, question: dict[str, Any]
) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT + OPTIONAL + BACKEND)
    found = plan(tmp_path, extras=["pg", "all"], **question)
    assert (found["lines"], found["steps"], found["tied"]) == ([], [[".[pg,all]"]], True)


def test_a_project_is_installed_itself_when_only_its_backend_knows_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\ndynamic = ["dependencies"]\n' + BACKEND)
    assert plan(tmp_path)["steps"] == [["."]]


def test_a_project_with_requirements_files_goes_with_them(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT + BACKEND)
    (tmp_path / "requirements.txt").write_text("click\n")
    question = {"requirements": ["requirements.txt", "pyproject.toml"]}
    assert plan(tmp_path, **question)["steps"] == [["-r", "requirements.txt", "."]]
    (tmp_path / "requirements.txt").write_text(f"click==8 --hash={ONE}\n")
    assert plan(tmp_path, **question)["steps"] == [["--require-hashes", "-r", "requirements.txt"], ["--no-deps", "."]]


def test_an_extra_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT + OPTIONAL)
    assert refused(tmp_path, extras=["mysql"]) == "pyproject.toml has no extra mysql: it has all, pg"
    (tmp_path / "requirements.txt").touch()
    assert refused(tmp_path, extras=["pg"]).endswith(", got requirements.txt")


def test_a_poetry_project_without_a_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.poetry]\npackage-mode = false\n" + BACKEND)
    assert refused(tmp_path).startswith("pyproject.toml has no [project] table with dependencies")


@pytest.mark.parametrize("text", ["[project\n", "\xff"], ids=repr)
def test_a_damaged_pyproject_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_bytes(text.encode("latin-1"))
    told = refused(tmp_path, requirements=["pyproject.toml"])
    assert told.startswith(("pyproject.toml is not valid TOML", "pyproject.toml must be UTF-8"))
