"""Files that the role has installed, and somebody else has changed since."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl.diagnosis.finding import ERROR, RUN_THE_ROLE, Kind, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flask_apachectl.app import App
    from flask_apachectl.diagnosis.finding import Finding

SUBJECT = "Files"
CHANGED = Kind(
    SUBJECT,
    "A file of the role's, or of a release, is not as it was installed or built",
    ERROR,
    "the next run undoes the change, and until then the app may not be what was deployed",
)
KINDS = (CHANGED,)


def of_app(app: App, drifted: Sequence[str]) -> Iterator[Finding]:
    """Name what differs and when it was changed; the role shows the difference before it undoes it."""
    if drifted:
        wrong = f"not as installed or built: {shortened(_told(each) for each in drifted)}"
        fix = f"{RUN_THE_ROLE} --check --diff shows the difference, {RUN_THE_ROLE} undoes it"
        yield CHANGED.found(wrong, fix, app.name)


def _told(text: str) -> str:
    """Return a path with the time of its last change, if it is one that is there."""
    try:
        moment = Path(text).lstat().st_ctime if text.startswith("/") else 0.0
    except (OSError, ValueError):
        return f"{text} (missing)"
    return f"{text} (changed {time.strftime('%Y-%m-%d %H:%M', time.gmtime(moment))} UTC)" if moment else text
