"""The users of builds: their names, and that nothing of theirs is left."""

from __future__ import annotations

import os
import re
import string
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import builder, files, programs
from flask_apachectl.host.builder import Builder

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)
UID = 64_123  # nobody's
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run commands as other users")
DAEMONS = "import os, sys, time; os.fork() and os._exit(0); os.setsid(); os.fork(); time.sleep(600)"


@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_each_app_has_a_build_user_that_is_no_apps_user(names: list[str]) -> None:
    one, other = map(paths.build_user, names)
    assert one != other
    for user in (one, other):
        assert re.fullmatch(r"build_[a-z][a-z0-9_-]{0,25}", user)
        assert len(user) <= 32


def test_a_long_name_is_cut() -> None:
    names = ["a" * 32, "a" * 31 + "b", "a" * 26, "a" * 27]
    users = [paths.build_user(name) for name in names]
    assert users[2] == "build_" + "a" * 26
    assert [len(user) for user in users] == [32] * 4
    assert len(set(users)) == 4
    assert paths.build_user(string.ascii_lowercase) == f"build_{string.ascii_lowercase}"


@pytest.fixture(params=[True, False], ids=["namespaces", "no namespaces"])
def user(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Builder]:
    """Return a user with a clean home, which is not in /tmp: a command may have its own."""
    if request.param and not builder.are_namespaces_permitted():
        pytest.skip("namespaces are not permitted here")
    monkeypatch.setattr(builder, "are_namespaces_permitted", lambda: request.param)
    with tempfile.TemporaryDirectory(dir="/var/cache") as home:
        os.chown(home, UID, UID)
        made = Builder("build_test", UID, Path(home))
        made.clean()
        yield made
        made.leave_nothing()


def run(user: Builder, *command: str, seconds: float = 30) -> str:
    return programs.run(command, user, UID, home=user.home, cwd=user.home, seconds=seconds)


@needs_root
def test_a_command_runs_without_rights(user: Builder) -> None:
    assert run(user, "id", "-u").strip() == str(UID)
    assert "NoNewPrivs:\t1" in run(user, "cat", "/proc/self/status")
    assert run(user, "sh", "-c", "echo $TMPDIR $HOME").split() == [str(user.tmp), str(user.home)]
    with pytest.raises(RefusedError, match="no such thing"):
        run(user, "sh", "-c", "echo no such thing; exit 3")


@needs_root
def test_a_daemon_ends_with_its_command(user: Builder) -> None:
    began = time.monotonic()
    run(user, "/usr/bin/python3", "-c", DAEMONS)
    assert builder.processes(UID) == []
    assert time.monotonic() - began < 20, "it does not wait for what keeps its output open"


@needs_root
def test_a_command_that_takes_too_long_ends_with_its_daemons(user: Builder) -> None:
    with pytest.raises(RefusedError, match="did not finish within 2 s"):
        run(user, "sh", "-c", f"/usr/bin/python3 -c '{DAEMONS}'; sleep 600", seconds=2)
    assert builder.processes(UID) == []


@needs_root
def test_files_of_another_user_are_not_kept(user: Builder) -> None:
    """Once all apps had one build user; what that one cached, another app's build could have written."""
    (user.home / "pip").mkdir()
    (user.home / "pip/wheel").write_text("another's")
    run(user, "mkdir", str(user.home / "uv"))
    user.clean()
    assert sorted(path.name for path in user.home.iterdir()) == ["tmp", "uv"]


@needs_root
def test_what_a_build_has_linked_is_not_taken_for_its_own(user: Builder, tmp_path: Path) -> None:
    tree = user.home / "venv"
    run(user, "mkdir", "-p", str(tree / "lib/deep"))
    run(user, "ln", "-s", "/etc", str(tree / "lib/link"))
    files.set_ownership(tree, 0, made_by=UID)
    assert {path.lstat().st_uid for path in (tree, *tree.rglob("*"))} == {0}
    tree = user.home / "another"
    run(user, "mkdir", str(tree))
    (tmp_path / "shadow").write_text("root's")
    os.link(tmp_path / "shadow", tree / "shadow")
    with pytest.raises(RefusedError, match="shadow does not belong to the build user"):
        files.set_ownership(tree, 0, made_by=UID)
    assert (tmp_path / "shadow").stat().st_mode & 0o777 != 0o640


@needs_root
def test_another_users_processes_go_on(user: Builder) -> None:
    with subprocess.Popen(["sleep", "600"], user=UID + 1) as another:
        run(user, "true")
        user.end()
        assert another.poll() is None
        another.kill()


def test_a_user_of_the_system_builds_nothing(tmp_path: Path) -> None:
    for uid in (0, 33):
        wrong = Builder("build_test", uid, tmp_path)
        for function in (wrong.end, wrong.clean, wrong.leave_nothing, lambda wrong=wrong: wrong.command(0, ["true"])):
            with pytest.raises(RefusedError, match="must not be a user of the system"):
                function()
