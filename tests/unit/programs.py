"""Load the role's programs, which are no modules of a package, so that tests can call their functions."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from typing import TYPE_CHECKING, Any

from tests.support.commands import ROOT

if TYPE_CHECKING:
    from types import ModuleType

ROLE = ROOT / "roles" / "flask_apache"
FILES = ROLE / "files"

# Of an app.json: what makes a release, and where the app is.
DECLARED: dict[str, Any] = {
    "wsgi": "app:app",
    "requirements": ["requirements.txt"],
    "pip_args": [],
    "constraints": [],
    "extras": [],
    "index_url": "",
    "extra_index_urls": [],
    "index_private": False,
    "wheelhouse": "",
    "installer": "pip",
    "uv_version": "1.2.3",
    "python": "/usr/bin/python3",
    "server_name": "www.example.com",
    "port": 80,
    "mount": "/",
    "health_path": "/",
    "strategy": "blue_green",
    "static": [],
    "lock_wait": 0,
}


def load(name: str) -> ModuleType:
    """Return a program of the role's ``files/`` as a module, without leaving byte code beside it."""
    module_name = f"role_{name.partition('.')[0].replace('-', '_')}"
    loader = SourceFileLoader(module_name, str(FILES / name))
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
