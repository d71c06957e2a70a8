"""Sources that the build user fetches on the host; root takes over the archive."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl.build import fetch
from tests.unit.flask_apachectl.build.sources import content, sh
from tests.unit.programs import FILES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

AS_BUILD_USER = (
    "import json, sys; from flask_apachectl.build import fetch; "
    "print(json.dumps(fetch.as_build_user(json.load(sys.stdin))))"
)
ON_HOST = """
import json, signal, sys
from flask_apachectl.build import fetch
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
fetch.get_on_host(fetch.Wanted.from_json(json.load(sys.stdin)), sys.argv[1:])
"""
COMMAND = [sys.executable, "-B", "-c", AS_BUILD_USER]


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FILES))


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    path = tmp_path / "incoming"
    path.mkdir()
    return path


def get(repository: Path, incoming: Path, command: Sequence[str] = COMMAND, **more: Any) -> fetch.Answer:  # noqa: ANN401 - fields of Wanted
    """Get a source as root does. The build user is the user that runs the tests. Check that nothing else is left."""
    cache = incoming.with_name("cache")
    here = {"cache": str(cache), "user": getpass.getuser(), "incoming": str(incoming)}
    try:
        return fetch.get_on_host(fetch.Wanted("git", str(repository), **{**here, **more}), command)
    finally:
        assert list(incoming.glob(".*")) == []
        assert [path.name for path in cache.glob("*") if path.name != "lock"] == []


def test_the_archive_is_taken_over(repository: Path, incoming: Path) -> None:
    commit = sh("git rev-parse main", repository)
    answer = get(repository, incoming)
    archive = incoming / f"{commit[:12]}.tar.gz"
    assert answer == {"id": commit[:12], "archive": str(archive), "commit": commit}
    assert content(answer)["app.py"] == "app = 2\n"
    assert archive.stat().st_mode & 0o777 == 0o600
    assert get(repository, incoming) == answer | {"archive": None}, "it is there"


def test_a_plan_takes_nothing_over(repository: Path, incoming: Path) -> None:
    commit = sh("git rev-parse main", repository)
    assert get(repository, incoming, plan=True) == {"id": commit[:12], "archive": None, "commit": commit}
    assert list(incoming.iterdir()) == []


def test_a_failure_is_reported(repository: Path, incoming: Path) -> None:
    with pytest.raises(fetch.SourceError, match="has no branch or tag mian"):
        get(repository, incoming, git_version="mian")
    with pytest.raises(fetch.SourceError, match="the build user nobody-at-all does not exist"):
        get(repository, incoming, user="nobody-at-all")
    with pytest.raises(fetch.SourceError, match=r"cannot be fetched: it broke at https://\*\*\*\*@host$"):
        get(repository, incoming, ["sh", "-c", "cat >/dev/null; echo it broke at https://me:secret@host >&2"])


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "../../../etc/passwd", "archive": "x"},
        {"id": "0123456789ab\n", "archive": "x"},
        {"id": "0123456789ab", "archive": "x", "commit": "$(reboot)"},
        {"archive": "x"},
        ["x"],
    ],
    ids=str,
)
def test_a_malformed_answer_is_refused(repository: Path, incoming: Path, answer: object) -> None:
    with pytest.raises(fetch.SourceError, match="gave a malformed answer"):
        get(repository, incoming, ["sh", "-c", 'cat >/dev/null; printf %s "$1"', "sh", json.dumps(answer)])
    assert list(incoming.iterdir()) == []


def test_an_answer_does_not_choose_the_path(repository: Path, incoming: Path) -> None:
    given = {"id": "0123456789ab", "archive": "/etc/passwd", "user": "me"}
    answer = get(repository, incoming, ["sh", "-c", 'cat >/dev/null; printf %s "$1"', "sh", json.dumps(given)])
    assert answer == {"id": "0123456789ab", "archive": f"{incoming}/0123456789ab.tar.gz"}


@pytest.mark.parametrize("command", [COMMAND, [sys.executable, "-B", "-c", ON_HOST, *COMMAND]], ids=["user", "root"])
def test_a_killed_run_leaves_no_key(repository: Path, incoming: Path, tmp_path: Path, command: list[str]) -> None:
    """A terminated fetch removes it, whether the signal reaches the build user's process or root's."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(f"#!/bin/sh\ntouch {tmp_path}/began\nexec sleep 60\n")
    (tmp_path / "bin/ssh").chmod(0o755)
    (tmp_path / "private").mkdir()
    environment = {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "TMPDIR": str(tmp_path / "private"),
        "PYTHONPATH": str(FILES),
    }
    wanted = {"type": "git", "source": f"git@h:{repository}", "cache": f"{tmp_path}/cache", "git_key": "key"}
    if ON_HOST in command:
        wanted |= {"user": getpass.getuser(), "incoming": str(incoming)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
    assert process.stdin is not None
    process.stdin.write(json.dumps(wanted).encode())
    process.stdin.close()
    while not (tmp_path / "began").exists():
        assert process.poll() is None
    assert list((tmp_path / "private").glob("*/key"))
    process.terminate()
    process.wait(90)
    assert list((tmp_path / "private").iterdir()) == []
    assert list((tmp_path / "cache").glob("work-*")) == []
    assert list(incoming.iterdir()) == []
