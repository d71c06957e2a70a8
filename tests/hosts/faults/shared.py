"""The app that is disturbed, its visitors, and an engine that is killed at one of its steps."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import venv
from tests.support.commands import ROOT

if TYPE_CHECKING:
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
# Runs the engine, and kills it with SIGKILL at the start of the n-th call of one of its steps. Prints the step.
KILL_AT = """
import importlib.machinery, importlib.util, os, signal, sys
sys.argv[0] = "flask-apachectl"
loader = importlib.machinery.SourceFileLoader("engine", "/usr/local/bin/flask-apachectl")
engine = importlib.util.module_from_spec(importlib.util.spec_from_loader("engine", loader))
sys.modules["engine"] = engine
loader.exec_module(engine)
limit, count = int(sys.argv.pop(1)), 0
engine.STAYS_FOR, engine.ENDS_WITHIN = 0.2, 1.0  # shorter, for there are many runs

def killing(name, function):
    def step(*arguments, **options):
        global count
        count += 1
        if count == limit:
            print(name, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return step

for name in sys.argv.pop(1).split(","):
    setattr(engine, name, killing(name, getattr(engine, name)))
sys.exit(engine.main())
"""
STEPS = (
    *("write", "point", "remove", "hand_over", "stage", "build", "describe", "check", "start", "probe", "switch"),
    *("confirm", "record", "prune", "sync_directory"),
)
ENDING = ("locked", "sweep", "end_all", "own_processes", "stop")
AS_OFTEN_AS_NEEDED = ("stop",)  # the number of its calls varies


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
        assert self.wrong == []


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
    assert found == ""


def ship(host: Host, source: Path) -> str:
    """Pack the source and copy it to where the role puts it. Returns its id."""
    with tempfile.TemporaryDirectory() as cache:
        program = ROOT / "roles/flask_apache/files/pack.py"
        done = subprocess.run(
            [venv.PYTHON, program, source, "--cache", cache], check=True, capture_output=True, text=True
        )
        packed = json.loads(done.stdout)
        host.put(Path(packed["archive"]), f"{APP}/incoming/{packed['id']}.tar.gz")
    return str(packed["id"])


def ctl(host: Host, *arguments: str) -> dict[str, Any]:
    """Run the installed engine, and return its answer."""
    answer: dict[str, Any] = json.loads(
        host.run(["flask-apachectl", "--json", "--app", "faults", *arguments], check=False).stdout
    )
    return answer


def engine(
    host: Host, *arguments: str, kill_at: int = 0, steps: tuple[str, ...] = STEPS, app: str = "faults"
) -> subprocess.CompletedProcess[str]:
    """Run the engine, and kill it at the n-th of its steps unless n is 0."""
    command = ["python3", "-", str(kill_at), ",".join(steps), "--app", app, *arguments]
    return host.run(command, check=False, stdin=KILL_AT)


def report(hosts: list[Host], what: str, killed: list[list[str]]) -> list[str]:
    """Print how many kills were survived, given the steps at which each host was killed; return all those steps."""
    steps = [step for each_ in killed for step in each_]
    count = len(steps)
    print(f"{what}: {count} of {count} kills survived, in turn on {' and '.join(host.distribution for host in hosts)}")
    return steps
