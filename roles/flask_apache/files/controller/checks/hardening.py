"""The sandbox: which settings it leaves out, and what it leaves writable."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from controller.checks import values
from flask_apachectl.apache.hardening import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables

NAMES = sorted({name for name, _ in SETTINGS})


def check(own: Variables) -> Iterator[str]:
    """Report settings that the sandbox does not have: nothing would be left out."""
    for place, name in values.texts(own, "sandbox_without"):
        if name not in NAMES:
            nearest = difflib.get_close_matches(name, NAMES, n=1, cutoff=0)
            yield values.error(place, f"be a setting of the sandbox, such as {(nearest or NAMES)[0]}", name)
