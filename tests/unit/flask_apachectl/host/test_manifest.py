"""Whether a tree's files are as they were written."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_apachectl.host import files, manifest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PARTS = ["app", "env", "venv"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "release"
    (path / "app/pages").mkdir(parents=True)
    (path / "app/app.py").write_text("app = 1\n")
    (path / "app/pages/größe.txt").write_text("")
    (path / "app/data").symlink_to("/nowhere")
    (path / "env").write_text("{}")
    (path / "venv").symlink_to("../venvs/1")
    (path / "other").write_text("not part of it")
    return path


def kept(tree: Path) -> dict[str, Any]:
    """Return the manifest as a file keeps it."""
    found: dict[str, Any] = json.loads(json.dumps(manifest.of(tree, PARTS)))
    return found


def test_a_manifest_names_every_file_and_link(tree: Path) -> None:
    found = kept(tree)
    assert set(found) == {"app/app.py", "app/pages/größe.txt", "app/data", "env", "venv"}
    assert found["app/data"] == ["/nowhere"]
    assert found["venv"] == ["../venvs/1"]
    assert found["app/app.py"][0] == 8
    assert manifest.of(tree, ["no such part"]) == {}


def test_what_is_as_written_is_whole(tree: Path) -> None:
    for thorough in (False, True):
        assert manifest.damage(tree, kept(tree), thorough=thorough) == []


DAMAGES: dict[str, Callable[[Path], object]] = {
    "changed": lambda path: path.write_text("app = 22\n"),
    "of the same size": lambda path: path.write_text("app = 2\n"),
    "cut": lambda path: path.write_text(""),
    "gone": lambda path: path.unlink(),
    "a directory": lambda path: path.rename(path.with_name("other")).with_name("app.py").mkdir(),
    "a link": lambda path: files.replace_link(path, "pages/größe.txt"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named(tree: Path, damage: str) -> None:
    written = kept(tree)
    path = tree / "app/app.py"
    DAMAGES[damage](path)
    assert manifest.damage(tree, written) == manifest.damage(tree, written, thorough=True) == [str(path)]


def test_a_changed_link_is_named(tree: Path) -> None:
    written = kept(tree)
    (tree / "venv").unlink()
    (tree / "venv").symlink_to("../venvs/2")
    (tree / "app/data").unlink()
    (tree / "app/data").write_text("")
    assert sorted(manifest.damage(tree, written)) == [str(tree / "app/data"), str(tree / "venv")]


def test_bytes_that_changed_with_the_old_time_are_found_by_their_digest(tree: Path) -> None:
    """A disk's fault."""
    written, path = kept(tree), tree / "app/app.py"
    before = path.stat()
    path.write_text("app = 2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert manifest.damage(tree, written) == []
    assert manifest.damage(tree, written, thorough=True) == [str(path)]


def test_another_time_alone_is_no_damage(tree: Path) -> None:
    """Such as after a backup was put back."""
    written = kept(tree)
    os.utime(tree / "app/app.py", ns=(1, 1))
    assert manifest.damage(tree, written) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entry=st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers())), max_size=4))
def test_a_damaged_manifest_is_damage(tree: Path, entry: list[Any]) -> None:
    for name in ("app/app.py", "app/data"):
        assert manifest.damage(tree, {name: entry}) == [str(tree / name)]
