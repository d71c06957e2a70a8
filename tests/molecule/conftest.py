"""The option that selects scenarios; `./test molecule default` sets it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `--scenario=NAME`, which may be given several times."""
    parser.addoption("--scenario", action="append", default=[], help="a directory of molecule/")
