"""Which file lists the dependencies of a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flask_apachectl.build.locks import choose
from tests.unit.flask_apachectl.build.plans import (
    PROJECT,
    plan,
    refused,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], []),
        (["requirements.txt"], ["requirements.txt"]),
        (["requirements.txt", "pyproject.toml"], ["requirements.txt"]),
        (["pyproject.toml"], ["pyproject.toml"]),
        (["uv.lock", "pyproject.toml"], ["uv.lock"]),
        (["poetry.lock", "pyproject.toml"], ["poetry.lock"]),
        (["Pipfile.lock", "Pipfile"], ["Pipfile.lock"]),
        (["pylock.toml"], ["pylock.toml"]),
        (["pylock.prod.toml"], ["pylock.prod.toml"]),
    ],
    ids=str,
)
def test_the_one_file_that_says_it_is_found(tmp_path: Path, files: list[str], found: list[str]) -> None:
    for name in files:
        (tmp_path / name).write_text(PROJECT)
    assert choose.choose(tmp_path, None) == found


def test_a_pyproject_of_tools_only_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 99\n")
    assert choose.choose(tmp_path, None) == []
    assert plan(tmp_path)["steps"] == []


@pytest.mark.parametrize(
    "files",
    [["uv.lock", "requirements.txt"], ["poetry.lock", "uv.lock"], ["pylock.toml", "pylock.prod.toml"]],
    ids=str,
)
def test_a_lock_is_never_silently_ignored(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).touch()
    message = refused(tmp_path)
    assert message.endswith("which may differ; name the right one in flask_apache_requirements")
    assert all(name in message for name in files)
    assert choose.choose(tmp_path, [files[0]]) == [files[0]]


@pytest.mark.parametrize("named", [["uv.lock", "poetry.lock"], ["uv.lock", "requirements.txt"]], ids=str)
def test_a_lock_is_named_alone(tmp_path: Path, named: list[str]) -> None:
    assert "must name a lock file alone, because it pins every package, got " in refused(tmp_path, requirements=named)
