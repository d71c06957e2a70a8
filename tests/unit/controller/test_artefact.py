"""The engine's one file: the same to the byte wherever it is built, and it runs."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from controller import artefact
from tests.unit.programs import FILES

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_the_same_wherever_it_is_built(tmp_path: Path) -> None:
    built = artefact.build(FILES)
    assert artefact.build(FILES) == built
    shutil.copytree(FILES / artefact.PACKAGE, tmp_path / artefact.PACKAGE)
    for number, path in enumerate(tmp_path.rglob("*.py")):
        os.utime(path, (number, number))
        path.chmod(0o600)
    (tmp_path / artefact.PACKAGE / "__pycache__").mkdir(exist_ok=True)
    (tmp_path / artefact.PACKAGE / "__pycache__/cli.cpython-310.pyc").write_bytes(b"byte code")
    assert artefact.build(tmp_path) == built
    (tmp_path / artefact.PACKAGE / "errors.py").write_text("")
    assert artefact.build(tmp_path) != built


def test_its_entries_are_sorted_and_dated_alike() -> None:
    content = artefact.build(FILES)
    assert content.startswith(b"#!/usr/bin/python3 -IXutf8\n")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    assert names[0] == "__main__.py"
    modules = [path.relative_to(FILES).as_posix() for path in (FILES / artefact.PACKAGE).rglob("*.py")]
    assert [name.split("/") for name in names[1:]] == sorted(
        name.split("/") for name in modules if not name.endswith("__main__.py")
    )
    assert {(entry.date_time, entry.external_attr >> 16, entry.create_system) for entry in entries} == {
        ((1980, 1, 1, 0, 0, 0), 0o644, 3)
    }


def test_it_runs(tmp_path: Path) -> None:
    file = tmp_path / "flask-apachectl"
    file.write_bytes(artefact.build(FILES))
    done = subprocess.run([sys.executable, "-I", file, "--help"], cwd="/", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: flask-apachectl ")
    assert "rollback" in done.stdout
