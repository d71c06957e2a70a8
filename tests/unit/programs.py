"""Load the role's programs, which are no modules of a package, so that tests can call their functions."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from typing import TYPE_CHECKING

from tests.support.commands import ROOT

if TYPE_CHECKING:
    from types import ModuleType

ROLE = ROOT / "roles" / "flask_apache"
FILES = ROLE / "files"


def load(name: str) -> ModuleType:
    """Return one of the role's Python files, by its path below the role, without leaving byte code beside it."""
    module_name = f"role_{name.partition('.')[0].replace('-', '_').replace('/', '_')}"
    loader = SourceFileLoader(module_name, str(ROLE / name))
    spec = importlib.util.spec_from_loader(module_name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look there
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module
