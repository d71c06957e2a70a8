"""What `doctor` has always checked, as findings: what is wrong, why it matters, and the command that mends it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from flask_apachectl.diagnosis.finding import ERROR, RUN_THE_ROLE, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flask_apachectl.diagnosis.finding import Finding

SUBJECT = "Basics"


class Known(NamedTuple):
    """A check: its text, its finding in general and in this case, why it matters, and what mends it."""

    pattern: str
    what: str
    wrong: str  # {advice} and the pattern's groups
    why: str
    fix: str

    @property
    def kind(self) -> Kind:
        """The kind of finding."""
        return Kind(SUBJECT, self.what, ERROR, self.why)


KNOWN = (
    Known(
        "Apache runs",
        "Apache does not run",
        "Apache is not running",
        "visitors of all sites get no answer",
        "systemctl start apache2",
    ),
    Known(
        "Apache's configuration is valid",
        "Apache's configuration is not valid",
        "Apache's configuration is not valid: {advice}",
        "Apache does not start again, for any site",
        "apache2ctl configtest",
    ),
    Known(
        "Apache runs in its sandbox",
        "Apache does not run in its sandbox",
        "Apache has not started in its sandbox yet",
        "an app that was taken over can do more on the host",
        "systemctl restart apache2",
    ),
    Known(
        "its declaration can be read",
        "The declaration of an app is damaged or missing",
        "{advice}",
        "nothing can be said of the app or done for it",
        RUN_THE_ROLE,
    ),
    Known(
        "a release is live",
        "No release is live",
        "no release is live",
        "visitors get 503",
        RUN_THE_ROLE,
    ),
    Known(
        r"(?P<slot>blue|green): release (?P<release>.*) is whole",
        "A release in a pool is not whole",
        "release {release} in the {slot} pool is not as it was built: {advice}",
        "its processes cannot start again, or run something else",
        RUN_THE_ROLE,
    ),
    Known(
        r"(?P<slot>blue|green): (?P<number>\d+) processes run it",
        "A pool has too few processes, or none",
        "the {slot} pool should have {number} processes: {advice}",
        "visitors wait or get 503, or a rollback has to start the pool first",
        "flask-apachectl --app {app} logs --error",
    ),
    Known(
        "the release's Python is the host's",
        "The host's Python is another one than the release's",
        "the release was built for another Python: {advice}",
        "its processes cannot load compiled packages",
        RUN_THE_ROLE,
    ),
    Known(
        "a visitor gets the app",
        "A visitor does not get the app",
        "visitors do not get the app: {advice}",
        "nobody can use it",
        "flask-apachectl --app {app} logs --error",
    ),
    Known(
        "its metrics are written",
        "The app's metrics are not written",
        "{advice}",
        "monitoring knows nothing of the app",
        "systemctl start flask-apachectl-metrics",
    ),
    Known(
        "there is room for releases",
        "There is no room for another release",
        "{advice} for releases",
        "the next deploy fails",
        "flask-apachectl --app {app} prune --keep 2",
    ),
    Known(
        r"(?P<unit>flask-apache-\S+) runs( the live release)?",
        "A worker keeps ending, or a worker or timer does not run",
        "{unit}: {advice}",
        "jobs wait",
        "journalctl --unit={unit}",
    ),
)
KINDS = tuple(known.kind for known in KNOWN)
CLOSED = "closed for maintenance"


def findings(rows: Iterable[dict[str, object]]) -> Iterator[Finding]:
    """Yield a finding for each check that has failed; for files, `changes` says more."""
    for row in rows:
        check, advice, app = str(row["check"]), str(row["advice"]), str(row["app"])
        for known in KNOWN if not row["ok"] else ():
            found = re.fullmatch(known.pattern, check)
            if found:
                values = {**found.groupdict(), "advice": advice, "app": app}
                fix = "flask-apachectl --app {app} maintenance off" if CLOSED in advice else known.fix
                yield known.kind.found(known.wrong.format(**values), fix.format(**values), app)
