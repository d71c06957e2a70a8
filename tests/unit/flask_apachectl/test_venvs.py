"""Whether a virtual environment was built to its end, is whole, and still has its interpreter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import venvs
from flask_apachectl.host import files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MODULE = "lib/python3.11/site-packages/flask.py"


@pytest.fixture
def venv(tmp_path: Path, as_root: None) -> Path:  # noqa: ARG001
    """Return a virtual environment that was built to its end."""
    path = tmp_path / "venv"
    (path / "bin").mkdir(parents=True)
    (path / MODULE).parent.mkdir(parents=True)
    (path / MODULE).write_text("app = 1\n")
    (tmp_path / "python3").write_text("")
    (path / "bin/python").symlink_to("../../python3")
    (path / "pyvenv.cfg").write_text("home = /usr/bin\n")
    venvs.seal(path, "3.11")
    return path


def test_a_sealed_one_is_whole(venv: Path) -> None:
    assert venvs.python_of(venv) == "3.11"
    assert venvs.is_complete(venv)
    assert venvs.damage(venv) == venvs.damage(venv, thorough=True) == []
    assert venvs.is_whole(venv, "3.11")
    assert not venvs.is_whole(venv, "3.12")
    assert (venv / "complete.json").stat().st_mode & 0o777 == 0o640


def test_one_that_was_not_built_to_its_end_is_not_complete(venv: Path) -> None:
    (venv / "complete.json").unlink()
    assert venvs.python_of(venv) == ""
    assert not venvs.is_complete(venv)
    assert venvs.damage(venv) == [str(venv / "complete.json")]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"python": ""}', '{"python": "3.11"}', '{"python": "3.11", "files": 1}']
)
def test_a_damaged_seal_is_damage(venv: Path, text: str) -> None:
    (venv / "complete.json").write_text(text)
    assert venvs.damage(venv) == [str(venv / "complete.json")]
    assert not venvs.is_whole(venv, "3.11")


def test_one_whose_interpreter_is_gone_is_not_complete(venv: Path) -> None:
    (venv.parent / "python3").unlink()
    assert not venvs.is_complete(venv)
    assert not venvs.is_whole(venv, "3.11")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda venv: (venv / MODULE).write_text(""),
    "changed": lambda venv: (venv / MODULE).write_text("app = 2\n"),
    "gone": lambda venv: (venv / MODULE).unlink(),
    "another link": lambda venv: files.replace_link(venv / "bin/python", "/bin/true"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_named(venv: Path, damage: str) -> None:
    DAMAGES[damage](venv)
    (found,) = venvs.damage(venv)
    assert found == str(venv / ("bin/python" if "link" in damage else MODULE))
    assert not venvs.is_whole(venv, "3.11")


def test_the_seal_tells_of_what_files_it_was_built(venv: Path) -> None:
    found = json.loads((venv / "complete.json").read_text())["files"]
    assert set(found) == {MODULE, "bin/python", "pyvenv.cfg"}
