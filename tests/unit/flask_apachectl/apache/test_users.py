"""Hashes of passwords: one that is right stays, and no other does."""

from __future__ import annotations

import hashlib
import itertools
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.apache import users
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired

if TYPE_CHECKING:
    from pathlib import Path

# What it does with `-niBC COST NAME` and `-vi FILE NAME`: the hash has a salt, which is the time.
HTPASSWD = """\
#!{python}
import hashlib, sys, time
password = sys.stdin.read().removesuffix("\\n")
def hashed(salt):
    return "$2y$06$" + salt + hashlib.sha256((salt + password).encode()).hexdigest()[:31]
if sys.argv[1] == "-niBC":
    assert sys.argv[2] == "6"
    print(sys.argv[3] + ":" + hashed(str(time.time_ns()).zfill(22)) + "\\n")
else:
    found = dict(line.strip().split(":") for line in open(sys.argv[2]) if ":" in line)[sys.argv[3]]
    sys.exit(0 if found == hashed(found[7:29]) else 3)
"""


@pytest.fixture(autouse=True)
def _htpasswd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a program that hashes passwords."""
    program = tmp_path / "bin/htpasswd"
    program.parent.mkdir()
    program.write_text(HTPASSWD.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    users.content.cache_clear()


def install(path: Path, **names: str) -> dict[str, str]:
    """Make a file as another run does, and return the hashes by their names."""
    users.content.cache_clear()
    (file,) = users.files({path: names})
    path.write_bytes(file.content)
    return dict(line.split(":") for line in file.content.decode().splitlines())


def test_a_hash_that_is_right_stays(tmp_path: Path) -> None:
    path = tmp_path / "users-1"
    first = install(path, bob="b", alice="a")
    assert list(first) == ["alice", "bob"]
    assert install(path, alice="a", bob="b") == first
    second = install(path, alice="a", bob="changed", carol="c")
    assert (second["alice"], set(second)) == (first["alice"], {"alice", "bob", "carol"})
    assert second["bob"] != first["bob"]
    assert install(path, carol="c") == {"carol": second["carol"]}


@pytest.mark.parametrize("line", ["alice:a", "alice:{SHA}hm", "alice", "", ":", "alice:$2y$05$" + "a" * 53, "\xff"])
def test_what_somebody_else_has_written_is_replaced(tmp_path: Path, line: str) -> None:
    path = tmp_path / "users-1"
    path.write_text(line + "\nmallory:$2y$06$" + "a" * 53 + "\n")
    found = install(path, alice="a")
    assert set(found) == {"alice"}
    assert users.HASH.fullmatch(found["alice"])
    assert install(path, alice="a") == found


def test_a_run_makes_a_hash_once(tmp_path: Path) -> None:
    wanted = {tmp_path / "users-1": {"alice": "a"}}
    assert users.files(wanted) == users.files(wanted)


def test_only_root_and_apache_can_read_it(tmp_path: Path) -> None:
    (file,) = users.files({tmp_path / "users-1": {"alice": "a"}})
    assert (file.group, file.mode, file.secret) == ("www-data", 0o640, True)
    change = desired.difference(file)
    assert change is not None
    assert "$2y$" not in str(change.shown())
    assert not file.mode & stat.S_IRWXO


def test_a_password_is_in_no_command_line_nor_in_a_message(tmp_path: Path) -> None:
    program = tmp_path / "bin/htpasswd"
    program.write_text('#!/bin/sh\necho "$@" >&2\nexit 5\n')
    with pytest.raises(RefusedError) as refusal:
        users.files({tmp_path / "users-1": {"alice": "secret"}})
    assert str(refusal.value) == "htpasswd cannot hash a password:\n  -niBC 6 alice"


def test_without_apaches_programs(tmp_path: Path) -> None:
    (tmp_path / "bin/htpasswd").unlink()
    wanted = {tmp_path / "users-1": {"alice": "a"}}
    (file,) = users.files(wanted, plan=True)
    assert file.secret
    with pytest.raises(RefusedError, match="htpasswd is missing on this host: install apache2-utils"):
        users.files(wanted)


def test_files_of_other_paths_go(tmp_path: Path) -> None:
    paths = [tmp_path / f"users-{number}" for number in range(3)]
    for path in (*paths, tmp_path / "env"):
        path.touch()
    assert [each.path for each in users.unneeded(tmp_path, [paths[1]])] == [paths[0], paths[2]]
    assert list(itertools.chain(users.unneeded(tmp_path, paths))) == []


def test_the_stand_in_hashes_as_the_program_does() -> None:
    assert users.HASH.fullmatch("$2y$06$" + "0" * 22 + hashlib.sha256(b"").hexdigest()[:31])
