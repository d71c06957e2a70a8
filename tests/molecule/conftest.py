"""The option that picks scenarios: `./test molecule default` gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `--scenario=NAME` stand once for every scenario to run."""
    parser.addoption("--scenario", action="append", default=[], help="a directory of molecule/")
