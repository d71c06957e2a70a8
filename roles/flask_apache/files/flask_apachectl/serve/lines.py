"""Lines of an access log, in each of its formats: what was answered, and to whom."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

COMBINED = re.compile(r'[^"]*(?:""[^"]*)?"(?:[^"\\]|\\.)*" ([1-9]\d\d) ')  # up to the status
OWN = "flask-apachectl"  # the user agent of the engine's own visits and probes
REFUSED_WEBSOCKET = 501


class Answer(NamedTuple):
    """What Apache has answered."""

    status: int
    is_own: bool  # to the engine itself

    @property
    def is_error(self) -> bool:
        """Whether something failed that should not."""
        return self.status >= 500 and self.status != REFUSED_WEBSOCKET  # noqa: PLR2004 - 5xx


def read(line: str) -> Answer | None:
    """Return what a line says, or None for what is not a line of an access log."""
    if line.startswith("{"):
        try:
            found = json.loads(line)
            return Answer(int(found["status"]), found["user_agent"] == OWN)
        except (ValueError, TypeError, KeyError):
            return None
    status = COMBINED.match(line)
    return Answer(int(status[1]), line.endswith(f'"{OWN}"\n')) if status else None
