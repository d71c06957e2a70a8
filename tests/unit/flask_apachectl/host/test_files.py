"""Files are replaced as a whole, so that a crash at any moment does no harm."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from flask_apachectl.host import files
from tests.support.commands import is_root
from tests.unit.flask_apachectl.samples import listed

as_root = pytest.mark.skipif(not is_root(), reason="only root may give files away")


def test_a_file_is_replaced_with_mode_and_group(tmp_path: Path, owners: list[tuple[int, int]]) -> None:
    path = tmp_path / "live.map"
    path.write_text("old")
    inode = path.stat().st_ino
    files.write(path, "new ☃\n", mode=0o640, group=33)
    assert path.read_text(encoding="utf-8") == "new ☃\n"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.stat().st_ino != inode
    assert owners == [(0, 33)]
    assert listed(tmp_path) == ["live.map"]


@pytest.mark.parametrize("ahead", [-(10**9), 0, 1, 5_000_000, 3600 * 10**9], ids=lambda ahead: f"{ahead}ns")
def test_apache_sees_every_replacement(tmp_path: Path, owners: list[Any], ahead: int) -> None:  # noqa: ARG001
    path = tmp_path / "live.map"
    before = time.time_ns() + ahead
    for _ in range(3):
        files.write(path, "x", newer_than=before)
        after = path.stat().st_mtime_ns
        assert after // 1000 > before // 1000  # Apache compares microseconds
        before = after


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "live.map"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert listed(tmp_path) == ["live.map"]


def test_a_link_is_moved_without_a_gap(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "releases" / name).mkdir(parents=True)
    link = tmp_path / "blue"
    (tmp_path / ".blue.new").symlink_to("left by a crash")
    files.replace_link(link, tmp_path / "releases/a")
    assert str(link.readlink()) == "releases/a"
    gaps = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if not link.is_symlink():
                gaps.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for name in "ba" * 20:
        files.replace_link(link, tmp_path / "releases" / name)
    done.set()
    watcher.join()
    assert gaps == []
    assert listed(tmp_path) == ["blue", "releases"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    (path / "bin").mkdir(parents=True)
    (path / "bin/run").write_text("#!/bin/sh\n")
    (path / "bin/run").chmod(0o4777)
    (path / "data.txt").write_text("x")
    (path / "data.txt").chmod(0o666)
    (path / "closed").mkdir(mode=0o000)
    (tmp_path / "outside").write_text("nobody's business")
    (path / "link").symlink_to("../outside")
    return path


@as_root
def test_a_tree_becomes_roots_and_readable_to_the_group(tree: Path) -> None:
    outside = (tree.parent / "outside").stat()
    files.set_ownership(tree, 12345)
    found = {path.relative_to(tree).as_posix(): path.lstat() for path in [tree, *tree.rglob("*")]}
    assert {(stat.st_uid, stat.st_gid) for stat in found.values()} == {(0, 12345)}
    modes = {name: stat.st_mode & 0o7777 for name, stat in found.items() if name != "link"}
    assert modes == {".": 0o750, "bin": 0o750, "bin/run": 0o750, "data.txt": 0o640, "closed": 0o750}
    assert (tree.parent / "outside").stat() == outside


def test_a_tree_is_removed(tree: Path) -> None:
    (tree / "closed").chmod(0o700)
    files.remove(tree)
    assert listed(tree.parent) == ["outside"]
    files.remove(tree)  # a missing file is not an error


def test_debris_is_removed(tree: Path) -> None:
    (tree / "closed").chmod(0o700)
    debris = tree.rename(tree.with_name(".tree.removed"))
    files.remove(debris)
    assert listed(tree.parent) == ["outside"]


def test_half_of_a_removed_tree_is_never_taken_for_the_whole(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        files.remove(tree)
    assert listed(tree.parent) == [".tree.removed", "outside"]


def test_a_tree_is_removed_over_the_half_of_an_earlier_one(tree: Path) -> None:
    (tree / "closed").chmod(0o700)
    half = tree.with_name(".tree.removed")
    (half / "lib").mkdir(parents=True)
    files.remove(tree)
    assert "tree" not in listed(tree.parent)


@pytest.mark.parametrize("error", [errno.EXDEV, errno.EBUSY])
def test_a_tree_that_cannot_be_renamed_loses_first_what_tells_that_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    tree, gone = tmp_path / "r1", []
    (tree / "app").mkdir(parents=True)
    (tree / "app/app.py").touch()
    (tree / "release.json").touch()

    def rename(path: Path, _target: Path) -> Path:
        raise OSError(error, "not possible", str(path))

    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(shutil, "rmtree", lambda path: gone.append([each.name for each in path.iterdir()]))
    files.remove(tree)
    assert gone == [["app"]]


def test_a_mount_point_stays_without_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "data"
    (place / "a").mkdir(parents=True)
    monkeypatch.setattr(Path, "is_mount", lambda path: path == place)
    monkeypatch.setattr(files, "_renamed", lambda path, _doomed: path)
    files.remove(place)
    assert list(place.iterdir()) == []
