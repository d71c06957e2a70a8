"""The engine's byte code: used if it is right, and made anew if it is not."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from controller import artefact
from flask_apachectl import bytecode, paths
from tests.unit.programs import FILES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WHERE = """
import sys
from pathlib import Path
sys.argv[0], directory = sys.argv[1:3]
sys.path.insert(0, sys.argv[0])
import flask_apachectl
from flask_apachectl import bytecode, paths
paths.LIB = Path(directory)
bytecode.use(flask_apachectl.__path__)
from flask_apachectl import cli
print(cli.__file__.split("/flask_apachectl/")[0], cli.parser().prog)
"""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the engine's one file, which runs here, and an empty directory ``kept`` for its byte code."""
    path = tmp_path / "engine"
    path.write_bytes(artefact.build(FILES))
    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.setattr(paths, "LIB", tmp_path / "kept")
    return path


def source(archive: Path) -> str:
    """Return from where a command of an archive has its modules."""
    command = [sys.executable, "-I", "-c", WHERE, str(archive), str(archive.with_name("kept"))]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    place, program = done.stdout.split()
    assert program == "flask-apachectl"
    return place


def kept(archive: Path) -> Path:
    """Return the one file that is kept."""
    (path,) = archive.with_name("kept").iterdir()
    return path


def test_a_command_uses_what_is_kept(archive: Path) -> None:
    assert source(archive) == str(archive)
    bytecode.keep()
    assert source(archive).startswith("/proc/self/fd/")
    first = kept(archive)
    bytecode.keep()
    assert kept(archive) == first


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(path.read_bytes().replace(b"flask-apachectl", b"flask-apachectX")),
        lambda path: path.chmod(0o666),
        lambda path: path.symlink_to(path.rename(path.parent.with_name("elsewhere"))),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["empty", "half", "bytes", "mode", "link", "type"],
)
def test_what_is_damaged_is_not_used_but_replaced(archive: Path, damage: Callable[[Path], object]) -> None:
    bytecode.keep()
    damage(kept(archive))
    (archive.with_name("kept") / ".bytecode-of-a-killed-run").mkdir()
    assert source(archive) == str(archive)
    bytecode.keep()
    assert kept(archive).is_file()
    assert source(archive).startswith("/proc/self/fd/")


def test_what_is_out_of_date_is_replaced(archive: Path) -> None:
    bytecode.keep()
    first = kept(archive).name
    archive.write_bytes(archive.read_bytes() + b"\n")
    bytecode.keep()
    assert kept(archive).name[:41] != first[:41]


def test_without_a_place_nothing_is_kept(archive: Path) -> None:
    archive.with_name("kept").rmdir()
    bytecode.keep()
    assert source(archive) == str(archive)
