"""A single-file app, and functions to deploy and request several apps of a host."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from tests.support.playbooks import GROUP, Play, play

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.hosts import Host

Variables = dict[str, Any]
DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
SECONDS = 20
APP = """
import os, pwd, sys
from pathlib import Path
from flask import Flask, jsonify, request, url_for

app = Flask(__name__)

@app.get("/")
def front():
    return jsonify(
        version="{version}",
        script_name=request.environ["SCRIPT_NAME"],
        url=url_for("front"),
        external=url_for("front", _external=True),
        user=pwd.getpwuid(os.geteuid()).pw_name,
        app=os.environ["FLASK_APACHE_APP"],
        pool=os.environ["FLASK_APACHE_POOL"],
        prefix=sys.prefix,
        mod_wsgi=".".join(map(str, request.environ["mod_wsgi.version"])),
        process_group=request.environ["mod_wsgi.process_group"],
        application_group=request.environ["mod_wsgi.application_group"],
        encoding=sys.getfilesystemencoding(),
        authorization=request.headers.get("Authorization"),
    )

@app.errorhandler(404)
def not_found(error):
    return "own page not found", 404

@app.get("/crash")
def crash():
    raise RuntimeError("a mistake of " + os.environ["FLASK_APACHE_APP"])

@app.get("/environ")
def environ():
    return jsonify({name: value for name, value in os.environ.items() if name.startswith("OWN_")})

@app.post("/files/<name>")
def write(name):
    Path(os.environ["FLASK_APACHE_DATA"], name).write_text(name)
    return "written\\n"

@app.post("/length")
def length():
    return str(len(request.get_data()))
"""
ENVIRONMENT = {
    "OWN_QUOTES": "'single' \"double\" `back`",
    "OWN_LINES": "first\nsecond\n\ttabbed\r\n",
    "OWN_LETTERS": "Grüße, 日本語, 🐢",
    "OWN_SIGNS": "$HOME ${PATH} %{ENV:x} %s \\n \\ # ; && <>",
    "OWN_SPACES": "  around  ",
    "OWN_EMPTY": "",
    "OWN_NUMBER": "007",
    "OWN_TRUTH": "yes",
}
NAME, PORT = "own.example.com", 8080
SHARED = "one.example.com"


def write_app(directory: Path, version: str) -> None:
    """Write the source of the single-file app."""
    (directory / "app.py").write_text(APP.replace("{version}", version))
    (directory / "requirements.txt").write_text("flask==3.1.3\n")


def roles(hosts: list[Host], *apps: Mapping[str, Any]) -> Play:
    """Deploy apps in one play, each with its own call of the role."""
    calls = [{"role": "flask_apache", "vars": dict(app)} for app in apps]
    return play(hosts, [{"hosts": GROUP, "become": True, "gather_facts": False, "roles": calls}])


def ask(host: Host, path: str, name: str = NAME, port: int = PORT, **more: Any) -> Any:  # noqa: ANN401
    """Return the JSON of an app's answer."""
    answer = host.http(path, name, port=port, **more)
    assert answer.status == 200, f"{host.name} {path}: {answer.status} {answer.text[:500]}"
    return answer.json()


def status(host: Host, app: str) -> dict[str, Any]:
    """Return the engine's status of an app, whatever its visitors get."""
    done = host.run(["flask-apachectl", "--app", app, "--json", "status"], check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def pids(host: Host, app: str) -> dict[str, list[int]]:
    """Return the pids of an app's two pools."""
    return {slot: pool["pids"] for slot, pool in status(host, app)["pools"].items()}


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition. Raises AssertionError when it does not come true."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if condition():
                return
        time.sleep(0.05)
    raise AssertionError(f"not within {SECONDS} s: {what}")


def own_answers(host: Host, path: str, name: str, port: int) -> bool:
    """Return whether the single-file app at / answers, also with its own 404 page."""
    body = host.http(path, name, port=port).body
    return b"own page not found" in body or b"script_name" in body
