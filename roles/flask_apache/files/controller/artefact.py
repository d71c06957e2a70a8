"""Build the engine's one file of its sources: a zip application, the same to the byte wherever it is built."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SHEBANG = b"#!/usr/bin/python3 -IXutf8\n"  # whatever the host's locale is
MAIN = """\
import sys

import flask_apachectl
from flask_apachectl import bytecode

bytecode.use(flask_apachectl.__path__)

from flask_apachectl.cli import main

sys.exit(main())
"""
DATE = (1980, 1, 1, 0, 0, 0)  # the first one that a zip file can hold
PACKAGE = "flask_apachectl"


def build(files: Path) -> bytes:
    """Return the zip application of the package in the role's directory ``files``."""
    content = io.BytesIO()
    content.write(SHEBANG)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_STORED) as archive:
        _add(archive, "__main__.py", MAIN.encode())
        for path in sorted((files / PACKAGE).rglob("*.py")):
            if path.name != "__main__.py":
                _add(archive, path.relative_to(files).as_posix(), path.read_bytes())
    return content.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, DATE)
    entry.external_attr = 0o644 << 16
    entry.create_system = 3  # Unix
    archive.writestr(entry, content)
