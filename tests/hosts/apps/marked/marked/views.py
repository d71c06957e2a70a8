"""The addresses. Each answer holds the marks of four modules, one of which is imported again for each slow answer."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from importlib.metadata import version
from typing import Any

from flask import Blueprint, request

from . import misbehave, parts

MARK = "__MARK__"
DEPENDENCY = version("click")
pages = Blueprint("pages", __name__)


def answer(**more: object) -> dict[str, Any]:
    """Return what this process is made of."""
    from . import lazy  # noqa: PLC0415 - the first visitor's request imports it

    marks = [MARK, parts.MARK, lazy.MARK, sys.modules[__package__].MARK]
    return {
        "release": os.environ["FLASK_APACHE_RELEASE"],
        "marks": marks,
        "setting": os.environ.get("SETTING", ""),
        "dependency": DEPENDENCY,
        "pool": os.environ["FLASK_APACHE_POOL"],
        "pid": os.getpid(),
        **more,
    }


def late_mark() -> str:
    """Import a module from the search path now, as code that imports rarely does, and return its mark."""
    spec = importlib.util.find_spec("late")
    if spec is None or spec.loader is None:
        return "missing"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.MARK)


@pages.get("/")
def index() -> dict[str, Any]:
    """Answer at once."""
    misbehave.on_visit()
    return answer()


@pages.get("/slow")
def slow() -> dict[str, Any]:
    """Answer after some seconds, and only then import a module."""
    time.sleep(min(60.0, float(request.args["seconds"])))
    found = answer()
    found["marks"].append(late_mark())
    return found


@pages.post("/upload")
def upload() -> dict[str, Any]:
    """Read a body that may come slowly."""
    size = 0
    while chunk := request.stream.read(1024):
        size += len(chunk)
    found = answer(size=size)
    found["marks"].append(late_mark())
    return found


@pages.get("/healthz")
def healthz() -> Any:  # noqa: ANN401 - whatever Flask takes
    """Tell whether the app is well."""
    return misbehave.health() or {"status": "ok"}
