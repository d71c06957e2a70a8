"""The program that the engine runs with the Python of the build environment."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl.build.locks import choose
from tests.unit.programs import FILES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", choose.LOCKS)
def test_a_damaged_lock_is_no_traceback(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{[")
    question: dict[str, Any] = {"requirements": None, "constraints": [], "extras": [], "wsgi": "a:b", "lines_file": "x"}
    program = "import sys; from flask_apachectl.build import locks; sys.exit(locks.main(sys.argv[1]))"
    command = [sys.executable, "-B", "-c", program, json.dumps(question)]
    environment = {**os.environ, "PYTHONPATH": str(FILES)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.match(rf"{re.escape(name)} (is not valid TOML|cannot be read): .+\n$", done.stderr)
