"""uv.lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.flask_apachectl.build.plans import (
    BACKEND,
    ONE,
    OTHER_PYTHON,
    PYTHON,
    TWO,
    names,
    plan,
    refused,
)

if TYPE_CHECKING:
    from pathlib import Path


INDEX = '{ registry = "https://pypi.example.com/simple" }'
UV = f"""
version = 1
revision = 3
requires-python = ">=3.8"

[[package]]
name = "shop"
version = "1"
source = {{ virtual = "." }}
dependencies = [
    {{ name = "flask", extra = ["async"] }},
    {{ name = "colorama", marker = "sys_platform == 'win32'" }},
    {{ name = "fork", version = "1", source = {INDEX}, marker = "python_version < '{PYTHON}'" }},
    {{ name = "fork", version = "2", source = {INDEX}, marker = "python_version >= '{PYTHON}'" }},
]

[package.optional-dependencies]
pg = [{{ name = "psycopg" }}]

[package.dev-dependencies]
dev = [{{ name = "pytest" }}]

[package.metadata]
requires-dist = [
    {{ name = "flask", extras = ["async"], specifier = ">=3,<4" }},
    {{ name = "colorama", marker = "sys_platform == 'win32'" }},
    {{ name = "fork" }},
    {{ name = "psycopg", marker = "extra == 'pg'" }},
]
""" + "".join(
    f"""
[[package]]
name = "{name}"
version = "{version}"
source = {INDEX}
dependencies = [{", ".join(f'{{ name = "{each}" }}' for each in needs)}]
sdist = {{ url = "https://example.com/a.tar.gz", hash = "{ONE}", size = 1 }}
wheels = [{{ url = "https://example.com/a.whl", hash = "{TWO}", size = 1 }}]
{"[package.optional-dependencies]" if extra else ""}
{f'async = [{{ name = "{extra}" }}]' if extra else ""}
"""
    for name, version, needs, extra in [
        ("flask", "3.1", ["click"], "asgiref"),
        ("click", "8.2", ["flask"], ""),
        ("asgiref", "3", [], ""),
        ("colorama", "0.4", [], ""),
        ("fork", "1", [], ""),
        ("fork", "2", [], ""),
        ("psycopg", "3.2", [], ""),
        ("pytest", "9", [], ""),
    ]
)
UV_PROJECT = """
[project]
name = "shop"
version = "1"
dependencies = ["Flask[async] <4, >=3", "colorama; sys_platform == 'win32'", "fork"]
[project.optional-dependencies]
pg = ["psycopg"]
"""


@pytest.fixture
def uv(tmp_path: Path) -> Path:
    (tmp_path / "uv.lock").write_text(UV)
    (tmp_path / "pyproject.toml").write_text(UV_PROJECT)
    return tmp_path


def test_uv_lock_is_followed_from_the_project(uv: Path) -> None:
    found = plan(uv)
    assert names(found["lines"]) == ["asgiref==3", "click==8.2", "flask==3.1", "fork==2"]
    assert found["lines"][0] == f"asgiref==3 --hash={ONE} --hash={TWO}"
    assert found["steps"] == [["--no-deps", "--require-hashes", "-r", "/lines"]]
    assert names(plan(uv, extras=["PG"])["lines"])[-1] == "psycopg==3.2"


def test_a_locked_project_of_a_directory_of_its_own_is_installed_beside(uv: Path) -> None:
    (uv / "pyproject.toml").write_text(UV_PROJECT + BACKEND)
    (uv / "uv.lock").write_text(UV.replace("virtual", "editable"))
    assert plan(uv, wsgi="shop:app")["steps"][1] == ["--no-deps", "."]


def test_only_what_is_installed_makes_the_environment(uv: Path) -> None:
    before = plan(uv)["inputs"]
    (uv / "uv.lock").write_text(UV.replace('version = "9"', 'version = "10"'))
    assert plan(uv)["inputs"] == before
    (uv / "uv.lock").write_text(UV.replace('version = "8.2"', 'version = "8.3"'))
    assert plan(uv)["inputs"] != before


@pytest.mark.parametrize(
    ("project", "name"),
    [
        (UV_PROJECT.replace(">=3", ">=3.1"), "flask"),
        (UV_PROJECT.replace('"fork"', '"fork", "humanize"'), "humanize"),
        (UV_PROJECT.replace('"psycopg"', ""), "psycopg"),
    ],
    ids=["another version", "one more", "one less"],
)
def test_a_stale_uv_lock_is_refused(uv: Path, project: str, name: str) -> None:
    (uv / "pyproject.toml").write_text(project)
    assert refused(uv) == f"uv.lock does not match pyproject.toml ({name}): regenerate it with `uv lock`"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("version = 1\n", "version = 2\n", "uv.lock must have version 1, got 2"),
        (">=3.8", f">={OTHER_PYTHON}", f"uv.lock is for Python >={OTHER_PYTHON}, but this host has {PYTHON}"),
        ('virtual = "."', 'virtual = "apps/shop"', "uv.lock does not lock a project in its own directory"),
        (TWO, "md5:1", "uv.lock has no hash of"),
        ('{ name = "click" }', '{ name = "gone" }', "uv.lock must have one package for gone, got 0"),
    ],
)
def test_a_uv_lock_that_cannot_be_carried_is_refused(uv: Path, old: str, new: str, reason: str) -> None:
    (uv / "uv.lock").write_text(UV.replace(old, new).replace(ONE, "md5:1" if new == "md5:1" else ONE))
    assert reason in refused(uv)


@pytest.mark.parametrize("kind", ["git", "directory", "editable", "path"])
def test_a_package_of_uv_lock_from_elsewhere_is_refused(uv: Path, kind: str) -> None:
    place = f'name = "click"\nversion = "8.2"\nsource = {{ {kind} = "lib" }}'
    text = UV.replace(f'name = "click"\nversion = "8.2"\nsource = {INDEX}', place)
    (uv / "uv.lock").write_text(text)
    assert refused(uv).startswith(f"uv.lock takes click from {kind} lib, which cannot be verified by a hash")


def test_constraints_beside_a_lock_are_refused(uv: Path) -> None:
    (uv / "limits.txt").touch()
    assert "must be empty with uv.lock, which pins every version" in refused(uv, constraints=["limits.txt"])
