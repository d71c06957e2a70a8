"""The ways in which a release can be broken. `__FAULT__` is replaced; unreplaced, the app is well."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

FAULT = "__FAULT__"
IN_A_POOL = "mod_wsgi" in sys.modules  # not when the engine imports the app aside
FOREVER = 3600


def while_importing() -> None:
    """Break the import, aside or in the pool only."""
    if FAULT == "raise" or (FAULT == "raise in the pool" and IN_A_POOL):
        raise RuntimeError("the colour of " + "the bikeshed is wrong")
    if FAULT == "lack a module" or (FAULT == "lack a module in the pool" and IN_A_POOL):
        __import__("no_such_module")
    if FAULT == "hang" or (FAULT == "hang in the pool" and IN_A_POOL):
        time.sleep(FOREVER)


def after_importing() -> None:
    """Die a second after the app is ready."""
    if FAULT == "die" and IN_A_POOL:
        threading.Timer(1, die).start()


def die() -> None:
    """End this process without a farewell."""
    print("out of luck, exiting", file=sys.stderr, flush=True)
    os._exit(3)


def on_visit() -> None:
    """Fail for visitors only."""
    if FAULT == "fail visitors":
        raise RuntimeError("not for " + "visitors")


def health() -> Any:  # noqa: ANN401 - whatever Flask takes
    """Return a wrong answer of the health check, if that is the fault."""
    if FAULT == "unhealthy":
        raise RuntimeError("the database " + "is away")
    if FAULT == "slow health":
        time.sleep(20)
    if FAULT == "wrong text":
        return {"status": "moody"}
    if FAULT == "well until the switch" and Path(os.environ["FLASK_APACHE_DATA"], "switched").exists():
        raise RuntimeError("who " + "is there")
    return None
