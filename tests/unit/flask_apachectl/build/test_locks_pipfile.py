"""Pipfile.lock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.flask_apachectl.build.plans import (
    ONE,
    PYTHON,
    TWO,
    names,
    plan,
    refused,
)

if TYPE_CHECKING:
    from pathlib import Path


PIPFILE = """\
[[source]]
url = "https://pypi.example.com/simple"
verify_ssl = true
name = "pypi"
[packages]
flask = ">=3"
"""
PIPFILE_HASH = "8a2f4a8d4f3dbe14bd52223d470be61f5a4a8b7361206ba60277e46be6e995c8"  # by plette, pipenv's reader


def pipfile_lock(**changes: object) -> str:
    """Return a Pipfile.lock; ``changes`` are of its one package."""
    package: dict[str, Any] = {
        "hashes": [ONE, TWO],
        "index": "pypi",
        "markers": "python_version >= '3.8'",
        "version": "==3.1",
    }
    package = {key: value for key, value in (package | changes).items() if value is not None}
    other = {"hashes": [ONE], "markers": "sys_platform == 'win32'", "version": "==0.4"}
    meta = {
        "hash": {"sha256": PIPFILE_HASH},
        "pipfile-spec": 6,
        "requires": {"python_version": PYTHON},
        "sources": [{"name": "pypi", "url": "https://pypi.example.com/simple", "verify_ssl": True}],
    }
    return json.dumps({"_meta": meta, "default": {"Flask": package, "colorama": other}, "develop": {"pytest": {}}})


def test_pipfile_lock_gives_its_default_group(tmp_path: Path) -> None:
    (tmp_path / "Pipfile.lock").write_text(pipfile_lock())
    assert plan(tmp_path)["lines"] == [f"flask==3.1 --hash={ONE} --hash={TWO}"]


def test_a_stale_pipfile_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pipfile.lock").write_text(pipfile_lock())
    (tmp_path / "Pipfile").write_text(PIPFILE)
    assert names(plan(tmp_path)["lines"]) == ["flask==3.1"]
    (tmp_path / "Pipfile").write_text("".join(PIPFILE.partition("[packages]")[1:]))
    assert names(plan(tmp_path)["lines"]) == ["flask==3.1"]
    (tmp_path / "Pipfile").write_text(PIPFILE.replace(">=3", ">=3.1"))
    assert refused(tmp_path) == "Pipfile.lock does not match Pipfile: regenerate it with `pipenv lock`"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "*"}, "Pipfile.lock has no exact version of flask"),
        ({"version": None, "git": "https://example.com/flask.git"}, "takes Flask from https://example.com/flask.git"),
        ({"hashes": []}, "Pipfile.lock has no hash of flask"),
    ],
)
def test_a_pipfile_lock_that_cannot_be_carried_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    (tmp_path / "Pipfile.lock").write_text(pipfile_lock(**changes))
    assert reason in refused(tmp_path)


def test_a_pipfile_lock_for_another_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pipfile.lock").write_text(pipfile_lock().replace(f'"{PYTHON}"', '"2.7"'))
    assert f"Pipfile.lock is for Python ==2.7.*, but this host has {PYTHON}" in refused(tmp_path)
