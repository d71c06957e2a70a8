"""The users of builds are removed with their apps; a host's former shared one when no app needs it any more."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import paths
from flask_apachectl.build import builders
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts
from flask_apachectl.host.builder import Builder

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = 901, 902


class Users:
    """The host's users, and which were removed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        self.homes = {"build_shop": str(cache / "shop"), paths.SHARED_BUILD_USER: str(cache)}
        self.ended: list[str] = []
        self.owners = {"shop": OLD, "tools": 0}
        monkeypatch.setattr(builders, "pwd", SimpleNamespace(getpwnam=self.find))
        monkeypatch.setattr(builders, "remove_user", self.homes.pop)
        monkeypatch.setattr(Builder, "leave_nothing", lambda user: self.ended.append(user.name))
        stat = type(cache).lstat

        def lstat(path: Path) -> os.stat_result | SimpleNamespace:
            found = stat(path)
            owner = self.owners.get(path.name) if path.parent == cache else None
            return found if owner is None else SimpleNamespace(st_uid=owner, st_mode=found.st_mode)

        monkeypatch.setattr(type(cache), "lstat", lstat)

    def find(self, name: str) -> SimpleNamespace:
        """Return a user, as the module pwd does."""
        return SimpleNamespace(pw_uid=OLD if name == paths.SHARED_BUILD_USER else NEW, pw_dir=self.homes[name])


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Users:
    for name in ("CACHE", "ETC"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    (tmp_path / "cache/shop").mkdir(parents=True)
    (tmp_path / "cache/tools").mkdir()
    return Users(monkeypatch, tmp_path / "cache")


def test_an_apps_user_goes_with_it(users: Users) -> None:
    builders.remove("shop")
    builders.remove("shop")
    assert (list(users.homes), users.ended) == ([paths.SHARED_BUILD_USER], ["build_shop"])


def test_somebody_elses_user_stays(users: Users) -> None:
    users.homes = dict.fromkeys(users.homes, "/home/somebody")
    builders.remove("shop")
    builders.remove_shared_one()
    assert (len(users.homes), users.ended) == (2, [])
    assert not builders.is_shared_one_unused()


def test_the_shared_user_stays_while_an_app_has_its_cache(users: Users) -> None:
    assert not builders.is_shared_one_unused()
    users.owners["shop"] = NEW
    assert builders.is_shared_one_unused()
    builders.remove_shared_one()
    assert not builders.is_shared_one_unused()
    assert list(users.homes) == ["build_shop"]
    assert [path.name for path in paths.CACHE.iterdir()] == ["shop"]


@pytest.mark.parametrize(("program", "what"), [("userdel", "user"), ("groupdel", "group")])
def test_what_cannot_be_removed_is_told(
    program: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a group that somebody has made the main one of another user."""
    for name in ("userdel", "groupdel"):
        (tmp_path / name).write_text(f"#!/bin/sh\n{'echo no >&2; exit 8' if name == program else 'exit 0'}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(facts, "group", lambda name: name)
    with pytest.raises(RefusedError, match=rf"^the {what} shop cannot be removed: no$"):
        builders.remove_user("shop")


def test_an_app_with_the_name_of_the_former_tools_keeps_its_cache(users: Users) -> None:
    (paths.ETC / "tools").mkdir(parents=True)
    users.owners["shop"] = NEW
    builders.remove_shared_one()
    assert (paths.CACHE / "tools").is_dir()
