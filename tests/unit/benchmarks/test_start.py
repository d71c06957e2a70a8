"""Each benchmark starts as its documentation says, without what pytest adds to the search path."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.commands import ROOT

NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_what_it_imports(name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-c", f"import benchmarks.{name}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_all_are_documented() -> None:
    text = (ROOT / "benchmarks/README.md").read_text() + (ROOT / "docs/static-files.md").read_text()
    assert [name for name in NAMES if f"benchmarks.{name}" not in text] == []
