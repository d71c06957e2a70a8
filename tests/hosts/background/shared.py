"""An app with workers and timers, and what is declared for it and for its neighbour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

APP, NEIGHBOUR, NAME = "shop", "shop-x", "shop.example.com"
DATA, UNIT = f"/var/lib/flask-apache/{APP}", f"flask-apache-{APP}-"
SECRET = 'p"a$s%s \\ 7f3a'
# Each release has its mark in its files.
SOURCE = {
    "requirements.txt": "huey==3.5.4\n",
    "late.py": "MARK = '__MARK__'\n",
    "web.py": """
import json, tasks
def app(environ, start_response):
    if environ["PATH_INFO"] == "/enqueue":
        tasks.add(20, 22)
    status = "500 Oops" if environ["PATH_INFO"] == "/oops" else "200 OK"
    body = json.dumps({"mark": "__MARK__"}).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
""",
    "tasks.py": """
import os
try:
    from huey import SqliteHuey
except ImportError: # the neighbour has none
    pass
else:
    huey = SqliteHuey(filename=os.environ["FLASK_APACHE_DATA"] + "/queue.db")
    @huey.task()
    def add(a, b):
        with open(os.environ["FLASK_APACHE_DATA"] + "/sum", "w") as file:
            file.write(f"{a + b} {os.environ['SECRET']}")
""",
    "common.py": """
import json, os, pathlib, sys
data = pathlib.Path(os.environ["FLASK_APACHE_DATA"])
def say(what, who):
    words = [what, "__MARK__", os.environ["FLASK_APACHE_RELEASE"], os.environ["SECRET"], *sys.argv[1:]]
    with open(data / who, "a") as file:
        file.write(json.dumps(words) + "\\n")
def seconds():
    return float((data / "seconds").read_text()) if (data / "seconds").exists() else 0
""",
    # Only one may run at a time: it logs its start, its end, and whether another one runs.
    "scheduler.py": """
import fcntl, signal, sys, time
from common import data, say, seconds
lock = open(data / "lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    say("overlap", "scheduler")
__FAULT__
def end(*_):
    time.sleep(seconds())
    import late # only now: from which release?
    say("end with " + late.MARK, "scheduler")
    sys.exit()
signal.signal(signal.SIGINT, end)
say("start", "scheduler")
while True:
    time.sleep(0.1)
""",
    "job.py": """
import time
from common import say, seconds
say("begin", "nightly")
time.sleep(seconds())
say("end", "nightly")
""",
}
DECLARED: dict[str, Any] = {
    "flask_apache_app": APP,
    "flask_apache_wsgi": "web:app",
    "flask_apache_server_name": NAME,
    "flask_apache_environment": {"SECRET": SECRET},
    "flask_apache_workers": [
        {"name": "queue", "command": "huey_consumer tasks.huey --workers=1", "instances": 2},
        {
            "name": "scheduler",
            "command": "python scheduler.py 'two words' 100% $HOME n{instance}",
            "stop_signal": "SIGINT",
            "stop_timeout": 20,
        },
    ],
    "flask_apache_timers": [
        {"name": "nightly", "command": ["python", "job.py"], "calendar": "2000-01-01"},
        {"name": "often", "command": ["sh", "-c", 'echo >>"$FLASK_APACHE_DATA/often"'], "calendar": "*:*:*"},
    ],
}
BESIDE = {
    "flask_apache_app": NEIGHBOUR,
    "flask_apache_wsgi": "web:app",
    "flask_apache_requirements": [],
    "flask_apache_server_name": NAME,
    "flask_apache_mount": "/beside",
    "flask_apache_default_server": True,
    "flask_apache_workers": [{"name": "queue", "command": "sleep infinity"}],
}
PLACES = (
    "/etc",
    "/srv",
    "/usr/local",
    "/usr/share/bash-completion",
    "/var/lib",
    "/var/cache",
    "/var/log",
    "/var/spool",
)


def make_source(directory: Path, mark: str, *, fault: str = "") -> Path:
    """Write the source of a release; ``fault`` is code that breaks its scheduler."""
    directory.mkdir()
    for name, text in SOURCE.items():
        (directory / name).write_text(text.replace("__MARK__", mark).replace("__FAULT__", fault))
    return directory
