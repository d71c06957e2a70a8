"""Which paths lead where only root decides."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from flask_apachectl.host import owners

APP, OTHER, ADM = 998, 997, 4
D, L, F = stat.S_IFDIR, stat.S_IFLNK, stat.S_IFREG
TREE: dict[str, tuple[int, int, int, str]] = {  # {path: (mode, owner, group, a link's target)}
    "/": (D | 0o755, 0, 0, ""),
    "/var": (D | 0o755, 0, 0, ""),
    "/var/log": (D | 0o775, 0, ADM, ""),
    "/var/log/shop": (D | 0o750, APP, APP, ""),
    "/var/log/shared": (D | 0o775, 0, APP, ""),
    "/var/log/old": (L | 0o777, 0, 0, "/data/logs"),
    "/var/log/up": (L | 0o777, 0, 0, "../log/shop/x"),
    "/var/log/theirs": (L | 0o777, APP, APP, "/var/log"),
    "/var/log/circle": (L | 0o777, 0, 0, "circle"),
    "/var/log/a.log": (F | 0o640, 0, ADM, ""),
    "/var/log/link.log": (L | 0o777, 0, 0, "shop/a.log"),
    "/data": (D | 0o755, 0, 0, ""),
    "/data/logs": (D | 0o755, 0, 0, ""),
    "/tmp": (D | 0o1777, 0, 0, ""),
}


@pytest.fixture(autouse=True)
def tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file system be that of the table, with one user in the group of the app."""

    def lstat(path: Path) -> SimpleNamespace:
        if str(path) not in TREE:
            raise FileNotFoundError(path)
        mode, uid, gid, _ = TREE[str(path)]
        return SimpleNamespace(st_mode=mode, st_uid=uid, st_gid=gid)

    monkeypatch.setattr(Path, "lstat", lstat)
    monkeypatch.setattr(Path, "stat", lstat)
    monkeypatch.setattr(os, "readlink", lambda path: TREE[str(path)][3])
    monkeypatch.setattr(owners, "_groups", lambda user: [APP] if user == "shop" else [])
    monkeypatch.setattr(owners, "_name", {APP: "shop", OTHER: "other"}.get)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/var/log/a.log", ""),
        ("/var/log/new/a.log", ""),  # made by root
        ("/var/log/old/a.log", ""),
        ("/dev/stdout", ""),
        ("/var/log/shop/a.log", "/var/log/shop belongs to shop"),
        ("/var/log/shared/a.log", "/var/log/shared is writable to a group of shop"),
        ("/var/log/theirs/a.log", "/var/log/theirs is a link of shop"),
        ("/var/log/link.log", "/var/log/shop belongs to shop"),
        ("/var/log/up/a.log", "/var/log/shop belongs to shop"),
        ("/var/log/circle/a.log", "/var/log/circle leads in a circle"),
        ("/tmp/a.log", "/tmp is writable to everybody"),
    ],
)
def test_who_decides_where_a_path_leads(path: str, why: str) -> None:
    assert owners.not_only_root(path, ["none", "shop"]) == why
