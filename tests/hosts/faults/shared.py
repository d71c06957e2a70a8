"""The app that is disturbed, its visitors, and an engine that is killed at one of its steps."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl.build.fetch import pack
from tests.support import killing

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.support.hosts import Host

APP = "/srv/flask-apache/faults"
NAME = "faults.example.com"
SOURCE = """
import time
import flask

time.sleep({import_seconds})
app = flask.Flask(__name__)

@app.get("/")
def index() -> str:
    return "marker {marker}"

@app.get("/slow")
def slow() -> dict[str, str]:
    time.sleep(float(flask.request.args["seconds"]))
    return {{"marker": "{marker}"}}
"""
# Functions of the engine at which it is killed.
STEPS = (
    *(f"host.files.{name}" for name in ("write", "replace_link", "remove", "set_ownership", "sync_directory")),
    *("build.staging.stage", "build.environment.build", "build.preparation.describe", "build.preparation.check"),
    *("build.preparation.seal", "serve.start.start", "serve.start.probe", "routing.switch"),
    *("serve.activation.confirm", "history.record", "releases.prune"),
)
ENDING = ("lock.held", "lock.sweep", "serve.pools.end_all", "serve.pools.own_processes", "serve.pools.stop")
AS_OFTEN_AS_NEEDED = ("serve.pools.stop",)  # the number of its calls varies
QUICK = {"serve.start.STAYS_FOR": 0.2, "serve.pools.ENDS_WITHIN": 1.0}  # shorter, for there are many runs


class Visitor:
    """Sends requests to a host in a thread, and remembers every answer that is not the app's."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.wrong: list[str] = []
        self.answers = 0
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.ask, daemon=True)
        self.thread.start()

    def ask(self) -> None:
        """Send requests until `stop`."""
        while self.answers + len(self.wrong) == 0 or not self.end.wait(0.05):
            try:
                answer = self.host.http("/", NAME, timeout=20)
            except OSError as error:
                self.wrong.append(repr(error))
                continue
            self.answers += 1
            if answer.status != 200 or not answer.text.startswith("marker "):
                self.wrong.append(f"{answer.status} {answer.text[:80]}")

    def stop(self) -> None:
        """Stop, and check that every answer was right."""
        self.end.set()
        self.thread.join(timeout=30)
        assert self.answers > 0
        assert self.wrong == [], self.wrong


def change(source: Path, marker: str, *, import_seconds: float = 0) -> None:
    """Change the source, which makes another release."""
    (source / "app.py").write_text(SOURCE.format(marker=marker, import_seconds=import_seconds))


def variables(source: Path, **more: object) -> dict[str, object]:
    """Return the role's variables for the app."""
    return {
        "flask_apache_app": "faults",
        "flask_apache_source": str(source),
        "flask_apache_server_name": NAME,
        **{f"flask_apache_{name}": value for name, value in more.items()},
    }


@contextlib.contextmanager
def asked(hosts: list[Host]) -> Iterator[None]:
    """Send requests to the hosts meanwhile, and check every answer."""
    asking = [Visitor(host) for host in hosts]
    yield
    for visitor in asking:
        visitor.stop()


def assert_no_debris(host: Host) -> None:
    """Check that no temporary file is left in the app's directories."""
    own = f"find {APP} /etc/flask-apache/faults -maxdepth 2 -name '.*' -o -path '*/incoming/*'"
    found = host.run(f"{own}; find /tmp -name 'flask-apache*'").stdout
    assert found == "", found


def ship(host: Host, source: Path) -> str:
    """Pack the source and copy it to where the role puts it. Returns its id."""
    with tempfile.TemporaryDirectory() as cache:
        packed = pack.pack(source, Path(cache))
        host.put(Path(packed["archive"]), f"{APP}/incoming/{packed['id']}.tar.gz")
    return str(packed["id"])


def ctl(host: Host, *arguments: str) -> dict[str, Any]:
    """Run the installed engine, and return its answer."""
    answer: dict[str, Any] = json.loads(
        host.run(["flask-apachectl", "--json", "--app", "faults", *arguments], check=False).stdout
    )
    return answer


def engine(
    host: Host,
    *arguments: str,
    kill_at: int = 0,
    steps: tuple[str, ...] = STEPS,
    app: str = "faults",
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the engine, and kill it at the n-th of its steps unless n is 0."""
    return killing.run(host, ["--app", app, *arguments], kill_at=kill_at, steps=steps, settings=QUICK, stdin=stdin)


def short(*steps: str) -> set[str]:
    """Return the names of functions without their modules', as a killed engine prints them."""
    return {step.rpartition(".")[2] for step in steps}


def report(hosts: list[Host], what: str, killed: list[list[str]]) -> list[str]:
    """Print how many kills were survived, given the steps at which each host was killed; return all those steps."""
    steps = [step for each_ in killed for step in each_]
    count = len(steps)
    print(f"{what}: {count} of {count} kills survived, in turn on {' and '.join(host.distribution for host in hosts)}")
    return steps
