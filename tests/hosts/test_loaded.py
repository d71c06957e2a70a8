"""Files say what should be, the running processes what is: what a killed run has not loaded, the next one loads."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from controller import artefact
from tests.support import small_app
from tests.support.releases import Deployed, wait_until
from tests.support.steps import ROLE, Run, StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host

NAME = "loaded.example.com"
SMALL, LARGE = 1000, 100_000
FILES = 12  # more than a changed limit changes

# Appended to a module of the engine: it ends as by `kill -9` before a call. A proof, pid 1 in its namespace, goes on.
KILL = """
import os as _os
import signal as _signal

_{name}, _left = {name}, [{number}]


def {name}(*arguments, **options):
    _left[0] -= _os.getpid() != 1
    if _left[0] < 0:
        _os.kill(_os.getpid(), _signal.SIGKILL)
    return _{name}(*arguments, **options)
"""
DAMAGED = """
_whole = application


def application(environ, start_response):
    return _whole(environ, lambda status, headers, *rest: start_response(status, [*headers, ("X-Old", "1")], *rest))
"""


@pytest.fixture(scope="module")
def host(start_host: Callable[[str], Host]) -> Host:
    """Return a host."""
    return start_host("debian-12-hot")


@pytest.fixture(scope="module")
def run(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Return a function that makes a run of the role; the app is deployed."""
    source = small_app.write(tmp_path_factory.mktemp("loaded") / "source", "loaded")

    def make(limit: int = LARGE, *, engine: bytes = b"") -> Run:
        own: dict[str, Any] = {"app": "loaded", "wsgi": "app:app", "server_name": NAME, "requirements": []}
        return Run(host, {**own, "source": str(source), "request_body_limit": limit}, engine=engine)

    make().deploy()
    return make


def killed_before(module: str, name: str, number: int, scratch: Path) -> bytes:
    """Return the role's engine, but one that is killed before the call of a function with this number, from 0."""
    files = scratch / f"{name}-{number}"
    shutil.copytree(ROLE / "files", files, ignore=shutil.ignore_patterns("__pycache__"))
    path = files / "flask_apachectl" / module
    path.write_text(path.read_text() + KILL.format(name=name, number=number))
    return artefact.build(files)


def posted(host: Host) -> int:
    """Return the status of a POST of 5,000 bytes."""
    return host.http("/", NAME, method="POST", body=b"x" * 5000).status


def wrong(host: Host) -> str:
    """Return what doctor finds wrong."""
    done = host.run(["flask-apachectl", "--json", "--app", "loaded", "doctor"], check=False)
    return "\n".join(row["advice"] for row in json.loads(done.stdout)["checks"] if not row["ok"])


def change_and_complete(host: Host, run: Callable[..., Run], engine: bytes) -> str | None:
    """Change the limit by a run that is killed, and complete it by another; return what doctor said in between.

    Returns None when the run was not killed.
    """
    limit, status = (SMALL, 413) if posted(host) == 200 else (LARGE, 200)
    killed = run(limit, engine=engine)
    try:
        killed.deploy()
    except StepError as error:
        if "ended with 137" not in str(error):
            raise
    else:
        return None
    said = wrong(host)
    assert posted(host) != status or "app.json" in said  # which says that the run has not come to its end
    next_run = run(limit)
    next_run.deploy()
    assert next_run.changed
    assert posted(host) == status
    assert wrong(host) == ""
    last = run(limit)
    last.deploy()
    assert not last.changed
    return said


def test_killed_between_files(host: Host, run: Callable[..., Run], tmp_path: Path) -> None:
    """A run that is killed before it has written each file: the next one completes it and reports the change."""
    said = []
    for number in range(FILES):
        found = change_and_complete(host, run, killed_before("host/desired.py", "make", number, tmp_path))
        if found is None:
            break
        said.append(found)
    assert 3 <= len(said) < FILES
    assert all(said[1:])


def test_killed_before_the_load(host: Host, run: Callable[..., Run], tmp_path: Path) -> None:
    """All files are written, and Apache has loaded none of them: doctor says so, and the next run lets it."""
    said = change_and_complete(host, run, killed_before("apache/server.py", "load", 0, tmp_path))
    assert said is not None
    assert "Apache has not loaded loaded's configuration" in said


def test_killed_after_the_load(host: Host, run: Callable[..., Run], tmp_path: Path) -> None:
    """Apache has loaded all, and only the answer is missing: the next run changes nothing more."""
    limit = SMALL if posted(host) == 200 else LARGE
    with pytest.raises(StepError, match="ended with 137"):
        run(limit, engine=killed_before("commands/apply.py", "_answer", 0, tmp_path)).deploy()
    next_run = run(limit)
    next_run.deploy()
    assert posted(host) == (413 if limit == SMALL else 200)
    assert wrong(host) == ""


def test_reload_by_hand_is_enough(host: Host, run: Callable[..., Run], tmp_path: Path) -> None:
    """After a kill before the load, an operator's reload loads the configuration; doctor is content."""
    limit = SMALL if posted(host) == 200 else LARGE
    with pytest.raises(StepError, match="ended with 137"):
        run(limit, engine=killed_before("apache/server.py", "load", 0, tmp_path)).deploy()
    host.run("systemctl reload apache2")
    assert wait_until(lambda: "has not loaded" not in wrong(host), 20)
    assert posted(host) == (413 if limit == SMALL else 200)
    run(limit).deploy()


@pytest.mark.parametrize("engine", ["whole", "killed"])
def test_outdated_entry_script(host: Host, run: Callable[..., Run], tmp_path: Path, engine: str) -> None:
    """Processes that have loaded a damaged entry script are replaced when it is restored, in both pools."""
    run().deploy()
    path = "/etc/flask-apache/loaded/entry.wsgi"
    whole = host.read(path)
    host.run(["tee", path], stdin=whole + DAMAGED)
    host.run("systemctl restart apache2")
    assert wait_until(lambda: host.http("/", NAME).headers["X-Old"] == "1", 20)
    if engine == "killed":  # right after it is restored
        with pytest.raises(StepError, match="ended with 137"):
            run(engine=killed_before("commands/apply.py", "_renew", 1, tmp_path)).deploy()
        assert host.read(path) == whole
    restoring = run()
    restoring.deploy()
    assert restoring.changed
    assert host.read(path) == whole
    answers = [host.http("/", NAME) for _ in range(20)]
    assert {(answer.status, answer.headers["X-Old"]) for answer in answers} == {(200, None)}
    assert wait_until(lambda: wrong(host) == "", 20)
    last = run()
    last.deploy()
    assert not last.changed


def test_a_newer_engine_is_installed(host: Host, run: Callable[..., Run]) -> None:
    """A run with another version of the engine installs it, even if nothing else has changed."""
    run().deploy()
    newer = artefact.build(ROLE / "files") + b"\0"  # a zip file may end with a comment
    upgrade = run(engine=newer)
    upgrade.deploy()
    assert upgrade.changed
    assert host.run("wc -c </usr/local/bin/flask-apachectl").stdout.strip() == str(len(newer))
    again = run(engine=newer)
    again.deploy()
    assert not again.changed
    run().deploy()


def test_reloads_while_a_release_starts(host: Host, run: Callable[..., Run], tmp_path: Path) -> None:
    """Another app's first deploy or an administrator reloads Apache: the release's processes are not at fault."""
    run().deploy()
    reloading = "(for i in $(seq 12); do sleep 0.5; systemctl reload apache2; done) >/dev/null 2>&1 &"

    def before_call(command: list[str]) -> None:
        if "activate" in command:
            host.run(reloading)

    for name in ("storm", "another"):
        source = small_app.write(tmp_path / name, name)
        stormy = run()
        stormy.variables = {**stormy.variables, "source": str(source)}
        stormy.before_call = before_call
        stormy.deploy()
        assert host.http("/", NAME).json()["mark"] == name
        assert wait_until(lambda: host.run(["pgrep", "-f", "seq 12"], check=False).returncode != 0, 30)
    run().deploy()


def test_byte_code_that_is_kept(host: Host, run: Callable[..., Run]) -> None:
    """Commands use it; where it is damaged they work without it, and the next run makes it anew."""
    run().deploy()
    kept = "sha256sum /usr/local/lib/flask-apache/bytecode-*.zip"
    digest, path = host.run(kept).stdout.split()
    assert digest in path
    verbose = host.run("python3 -IXutf8 -v /usr/local/bin/flask-apachectl --help").stderr
    assert "/proc/self/fd/" in verbose[verbose.index("import 'flask_apachectl'") :]
    host.run(f"truncate --size=1000 {path}")
    assert live(host) in ("blue", "green")
    again = run()
    again.deploy()
    assert not again.changed
    digest, path = host.run(kept).stdout.split()
    assert digest in path


def test_a_probe_names_app_and_release(host: Host, run: Callable[..., Run]) -> None:
    """Each process of both pools says which app and which release it runs; visitors are told neither."""
    release = run().deploy()["release"]
    answers = Deployed(host, "loaded").ctl("probe")["answers"]
    assert {(answer["app"], answer["release"]) for answer in answers if answer["slot"] == live(host)} == {
        ("loaded", release)
    }
    headers = host.http("/", NAME, headers={"X-Flask-Apache-Probe": "0" * 32}).headers
    assert [name for name in headers if name.startswith("X-Flask-Apache")] == []


def live(host: Host) -> str:
    """Return the live slot."""
    return str(Deployed(host, "loaded").ctl("status")["live"])
