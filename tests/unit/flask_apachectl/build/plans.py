"""Helpers of the tests of lock files: a plan, or the error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl.build import locks

if TYPE_CHECKING:
    from pathlib import Path


ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
PYTHON = "{}.{}".format(*sys.version_info)
OTHER_PYTHON = "3.99"
PROJECT = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["flask>=3"]\n'
BACKEND = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'


def plan(source: Path, **question: object) -> dict[str, Any]:
    """Return the plan for a source; by default without variables, and with the app in app.py."""
    defaults: dict[str, Any] = {
        "requirements": None,
        "constraints": [],
        "extras": [],
        "wsgi": "app:app",
        "lines_file": "/lines",
    }
    (source / "app.py").touch()
    return locks.plan(source, **{**defaults, **question})


def refused(source: Path, **question: object) -> str:
    """Return the error for a source without a plan."""
    with pytest.raises(locks.DependencyError) as caught:
        plan(source, **question)
    return str(caught.value)


def names(lines: list[str]) -> list[str]:
    """Return lines without their hashes."""
    return [line.partition(" --hash")[0] for line in lines]
