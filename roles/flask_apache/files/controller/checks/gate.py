"""How a release goes live: what excludes each other."""

from __future__ import annotations

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
    if values.number(own["soak"]) and str(own["access_log"]).startswith("/dev/"):
        advice = "the soak reads the access log: set one that is a file"
        must = f"be 0 with flask_apache_access_log: {values.shown(own['access_log'])}"
        yield values.error("soak", must, own["soak"], advice)
