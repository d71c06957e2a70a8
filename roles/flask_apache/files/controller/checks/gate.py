"""How a release goes live: what excludes each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from controller.checks import values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables


def check(own: Variables) -> Iterator[str]:
    """Report settings of the switch and the health check that exclude each other."""
    if own["strategy"] == "rolling" and values.number(own["canary"]):
        advice = "a canary needs two pools: set flask_apache_strategy: blue_green for one"
        yield values.error("canary", "be 0 with flask_apache_strategy: rolling", own["canary"], advice)
    if own["ready_path"] == own["health_path"] != "/":
        yield values.error("ready_path", "differ from flask_apache_health_path", own["ready_path"])
    yield from _check_encoding(str(own["health_path"]))
    if values.number(own["soak"]) and str(own["access_log"]).startswith("/dev/"):
        advice = "the soak reads the access log: set one that is a file"
        must = f"be 0 with flask_apache_access_log: {values.shown(own['access_log'])}"
        yield values.error("soak", must, own["soak"], advice)


def _check_encoding(path: str) -> Iterator[str]:
    """Report what is encoded in the health check's path and could not be asked for at the readiness address, too."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", path):
        advice = "write %25 for a percent sign"
        yield values.error("health_path", "have two hexadecimal digits after each %", path, advice)
    elif re.search(r"%(00|2f|3f)", path.partition("?")[0], re.IGNORECASE):
        advice = "choose an address without them"
        yield values.error("health_path", "not have an encoded slash, question mark or null byte", path, advice)
