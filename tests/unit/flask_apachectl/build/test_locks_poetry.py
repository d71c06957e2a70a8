"""poetry.lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.flask_apachectl.build.plans import (
    ONE,
    OTHER_PYTHON,
    TWO,
    names,
    plan,
    refused,
)

if TYPE_CHECKING:
    from pathlib import Path


POETRY = f"""
[[package]]
name = "flask"
version = "3.1"
optional = false
groups = ["main", "dev"]
files = [{{file = "a.whl", hash = "{ONE}"}}]

[[package]]
name = "Colorama"
version = "0.4"
optional = false
groups = ["main"]
markers = "sys_platform == \\"win32\\""
files = [{{file = "a.whl", hash = "{ONE}"}}]

[[package]]
name = "psycopg"
version = "3.2"
optional = true
groups = ["main"]
markers = "extra == \\"pg\\" and python_version >= \\"3.8\\""
files = [{{file = "a.whl", hash = "{ONE}"}}]

[[package]]
name = "pytest"
version = "9"
optional = false
groups = ["dev"]
files = [{{file = "a.whl", hash = "{ONE}"}}]

[[package]]
name = "split"
version = "1"
optional = false
groups = ["main", "dev"]
files = [{{file = "a.whl", hash = "{TWO}"}}]
markers = {{main = "sys_platform == \\"win32\\"", dev = "python_version >= \\"3\\""}}

[extras]
pg = ["psycopg"]

[metadata]
lock-version = "2.1"
python-versions = "^3.8"
"""
POETRY_PROJECT = """
[project]
name = "shop"
version = "1"
requires-python = ">=3.10,<4"
dependencies = ["flask>=3"]
[project.optional-dependencies]
pg = ["psycopg"]
[tool.poetry.group.dev.dependencies]
pytest = "*"
"""
# What Poetry 2.5 wrote for this project, and for the older form.
POETRY_HASH = "c954a120cb2638dd51b876885510f86f838397b1d0ef0f3da37602a824fc2489"
LEGACY_PROJECT = '[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\npython = "^3.10"\nflask = "^3.0"\n'
LEGACY_HASH = "a6d5b243d2062291b16de6de3e79c8a297138d7dd4436a122527c90aebc30660"


def test_poetry_lock_gives_its_main_group(tmp_path: Path) -> None:
    (tmp_path / "poetry.lock").write_text(POETRY)
    assert names(plan(tmp_path)["lines"]) == ["flask==3.1"]
    assert names(plan(tmp_path, extras=["pg"])["lines"]) == ["flask==3.1", "psycopg==3.2"]
    assert plan(tmp_path)["steps"] == [["--no-deps", "--require-hashes", "-r", "/lines"]]


@pytest.mark.parametrize(
    ("project", "digest"), [(POETRY_PROJECT, POETRY_HASH), (LEGACY_PROJECT, LEGACY_HASH)], ids=["project", "legacy"]
)
def test_a_stale_poetry_lock_is_refused(tmp_path: Path, project: str, digest: str) -> None:
    (tmp_path / "poetry.lock").write_text(POETRY + f'content-hash = "{digest}"\n')
    (tmp_path / "pyproject.toml").write_text(project)
    assert names(plan(tmp_path)["lines"]) == ["flask==3.1"]
    (tmp_path / "pyproject.toml").write_text(project.replace("flask", "quart"))
    assert refused(tmp_path) == "poetry.lock does not match pyproject.toml: regenerate it with `poetry lock`"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"2.1"', '"2.0"', "which records groups and markers, got 2.0: regenerate it with `poetry lock`"),
        ("^3.8", f">={OTHER_PYTHON}", f"poetry.lock is for Python >={OTHER_PYTHON}"),
        ("^3.8", "^2.7", "poetry.lock is for Python ^2.7"),
        ("[extras]", '[package.source]\ntype = "git"\nurl = "https://x"\n[extras]', ""),
        (ONE, "md5:1", "poetry.lock has no hash of flask"),
    ],
)
def test_a_poetry_lock_that_cannot_be_carried_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    (tmp_path / "poetry.lock").write_text(POETRY.replace(old, new))
    if reason:
        assert reason in refused(tmp_path)
    else:  # of a package that is not for this host
        assert names(plan(tmp_path)["lines"]) == ["flask==3.1"]


def test_a_package_of_poetry_lock_from_elsewhere_is_refused(tmp_path: Path) -> None:
    source = '\n[package.source]\ntype = "git"\nurl = "https://example.com/flask.git"\n\n[[package]]\nname = "Colorama"'
    (tmp_path / "poetry.lock").write_text(POETRY.replace('\n[[package]]\nname = "Colorama"', source))
    assert refused(tmp_path).startswith("poetry.lock takes flask from git https://example.com/flask.git, which")
