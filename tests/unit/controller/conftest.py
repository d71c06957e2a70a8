"""A source for the checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a directory with a requirements file, and a file that looks like an option."""
    path = tmp_path / "source"
    path.mkdir()
    (path / "requirements.txt").write_text("flask\n")
    (path / "-r").write_text("")
    return path
