"""Who lacks a right on the way to a path, and who has one too many."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import paths
from flask_apachectl.diagnosis import permissions
from flask_apachectl.diagnosis.permissions import ENTER, READ, WRITE, Need, Who
from flask_apachectl.host import facts
from tests.unit.flask_apachectl.samples import shop

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NOBODY = Who("the app's user", "shop", 98765, frozenset({98765}))
OWNER = Who("the app's user", "shop", os.getuid() or 0, frozenset())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a file with a directory and a link on its way."""
    tmp_path.chmod(0o755)
    (tmp_path / "a b/c").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a b")
    path = tmp_path / "link/c/file"
    path.write_text("")
    path.chmod(0o644)
    return path


def ask(path: Path, rights: int = READ, who: Who = NOBODY) -> list[tuple[str, str]]:
    """Return what hinders a user."""
    below = f"{path.parents[2].resolve()}/"  # not in what is above the test's own directory
    return [(wrong, fix) for wrong, fix in permissions.lacking(Need(who, path, rights)) if below in fix]


def test_the_way_follows_links(place: Path) -> None:
    found = [str(each) for each in permissions.way(place)]
    top = str(place.parents[2].resolve())
    assert found[0] == "/"
    assert found[-4:] == [top, f"{top}/a b", f"{top}/a b/c", f"{top}/a b/c/file"]
    circle = place.parent / "circle"
    circle.symlink_to("circle")
    assert len(list(permissions.way(circle))) < 20


def test_each_component_is_named_with_its_command(place: Path) -> None:
    top = place.parents[2]
    assert ask(place) == []
    (top / "a b").chmod(0o700)
    place.chmod(0o600)
    first, second = ask(place)
    assert first[0].startswith(f"the app's user (shop) cannot enter {top}/a b: drwx------ ")
    assert first[0].endswith(f", on the way to {place}")
    assert first[1] == f"chmod o+x '{top}/a b'"
    assert second[0].startswith(f"the app's user (shop) cannot read {top}/a b/c/file: -rw------- ")
    assert second[1] == f"chmod o+r '{top}/a b/c/file'"
    (top / "a b").chmod(0o755)
    place.unlink()
    assert ask(place) == [], "what is missing is found by others"


def test_who_owns_counts(place: Path) -> None:
    group = Who("the app's user", "shop", 98765, frozenset({place.stat().st_gid}))
    place.chmod(0o604)
    assert ask(place, who=group)[0][1].startswith("chmod g+r ")
    place.chmod(0o444)
    assert ask(place, READ | WRITE, Who("x", "shop", 98765, frozenset()))[0][1].startswith("chown shop: ")
    root = Who("x", "root", 0, frozenset())
    place.chmod(0)
    assert ask(place, READ, root) == []


def test_a_list_decides_instead_of_the_mode(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.parent.chmod(0o700)
    assert ask(place)
    monkeypatch.setattr(os, "listxattr", lambda _path, **_: [permissions.ACL])
    assert ask(place) == []


def test_what_an_app_needs(app: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the three users is asked for, if there is one."""
    assert app
    monkeypatch.setattr(facts, "apache_group", lambda: 33)
    monkeypatch.setattr(permissions, "user", lambda role, name: Who(role, name, 98765, frozenset()))
    found = {(each.who.role, each.path.name, each.rights) for each in permissions.needs(shop())}
    assert ("Apache", "live.map", READ) in found
    assert ("the app's user", "shop", READ | WRITE | ENTER) in found
    assert ("the build user", "shop", READ | WRITE | ENTER) in found
    assert ("the app's user", "entry.wsgi", READ) in found
    monkeypatch.setattr(permissions, "user", lambda *_: None)
    assert list(permissions.needs(shop())) == []


def test_what_others_can_change(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place.resolve()
    own = os.getuid()
    monkeypatch.setattr(permissions, "way", lambda path: [path])

    def ask() -> list[tuple[str, str]]:
        return [(why, fix) for _, why, fix in permissions.changeable([file], {file.stat().st_gid: "shop"})]

    if own == 0:
        assert ask() == []
        file.chmod(0o666)
        assert ask() == [("is writable to everybody (-rw-rw-rw-)", f"chmod o-w '{file}'")]
        file.chmod(0o664)
        assert ask() == [("is writable to a group of shop (-rw-rw-r--)", f"chmod g-w '{file}'")]
        file.parent.chmod(0o1777)
        file.chmod(0o644)
        assert ask() == [], "nobody renames what is in a directory such as /tmp"
        os.chown(file, 98765, 0)
    assert [fix for _, fix in ask()] == [f"chown root '{file}'"]


def test_whose_groups_are_dangerous(monkeypatch: pytest.MonkeyPatch) -> None:
    def known(_role: str, name: str) -> Who | None:
        return Who("", name, 7, frozenset({len(name)})) if name != "build_shop" else None

    monkeypatch.setattr(permissions, "user", known)
    assert permissions.strangers([shop()]) == {4: "shop", 8: "www-data"}


def test_mod_mds_own_directory_is_left_out(apache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (apache / "md/challenges").mkdir(parents=True)
    (apache / "open.conf").write_text("")
    asked: list[Path] = []

    def remember(found: Iterable[Path], _groups: object) -> list[object]:
        asked.extend(found)
        return []

    monkeypatch.setattr(permissions, "changeable", remember)
    monkeypatch.setattr(paths, "LIB", tmp_path / "none")
    assert list(permissions.of_host([])) == []
    assert apache / "open.conf" in asked
    assert not [path for path in asked if path.is_relative_to(apache / "md")]
