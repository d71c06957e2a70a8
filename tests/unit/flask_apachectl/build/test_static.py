"""Which static files are published."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import interpreter
from flask_apachectl.build import static
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App


def test_what_visitors_may_have(tmp_path: Path) -> None:
    top = tmp_path / "static"
    for name in ("a.css", "deep/b.js", ".env", ".git/config", "views.py", "__pycache__/x", "deep/x.pyc", "pyx.txt"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (tmp_path / "secret").write_text("")
    for name, target in {"in.css": "a.css", "out": "../secret", "far": "/etc/passwd", "to": "deep", "no": "x"}.items():
        (top / name).symlink_to(target)
    os.mkfifo(top / "pipe")
    assert sorted(name for _, name in static.published(top)) == ["a.css", "deep/b.js", "in.css", "pyx.txt"]
    assert list(static.published(top / "a.css")) == [(top / "a.css", "")]


@pytest.mark.parametrize("path", ["none", "out", "far", "site-packages/none"])
def test_static_files_are_the_releases_own(app: App, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(interpreter, "version", lambda _app: "3.11")
    source = app.releases / ".r.partial/app"
    source.mkdir(parents=True)
    (source / "out").symlink_to("../../..")
    (source / "far").symlink_to("/etc")
    with pytest.raises(
        RefusedError, match=f"flask_apache_static: path must be .*, got {path}, which is not in release r"
    ):
        static.source(app, "r", source.parent, path)
