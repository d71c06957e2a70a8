"""Fixtures of the tests of fetching and packing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl.build import fetch
from flask_apachectl.build.fetch import pack
from tests.unit.flask_apachectl.build.sources import sh

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.flask_apachectl.build.sources import Get


@pytest.fixture
def get(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Get:
    """Return a function that gets a source, as the control node does, in this process."""

    def got(kind: str, source: str | Path, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of Wanted
        wanted = {"type": kind, "source": str(source), "cache": str(tmp_path / "cache"), **more}
        before = (Path.cwd(), dict(os.environ))
        answer: dict[str, Any]
        try:
            answer = json.loads(json.dumps(fetch.get(fetch.Wanted.from_json(wanted))))
            assert "failed" not in answer
        except fetch.SourceError as error:
            answer = {"failed": True, "msg": str(error)}
            assert "\n" not in answer["msg"]
        assert capfd.readouterr() == ("", "")
        assert (Path.cwd(), dict(os.environ)) == before
        assert list((tmp_path / "cache").glob("work-*")) == []
        return answer

    return got


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with a branch, tags, and an app in a subdirectory."""
    path = tmp_path_factory.mktemp("git") / "repository"
    path.mkdir()
    (path / "app.py").write_text("app = 1\n")
    (path / "backend").mkdir()
    (path / "backend/api.py").write_text("api = 1\n")
    (path / "run.sh").write_text("#!/bin/sh\n")
    (path / "run.sh").chmod(0o755)
    sh("git init -q -b main && git add . && git commit -q -m one", path)
    sh("git tag light && git tag -a -m 'v1' v1 && git branch release/1", path)
    (path / "app.py").write_text("app = 2\n")
    sh("git commit -q -a -m two && git config uploadpack.allowAnySHA1InWant true", path)
    return path


@pytest.fixture
def repository(base: Path, tmp_path: Path) -> Path:
    """Return a copy of the repository that a test may change."""
    return Path(shutil.copytree(base, tmp_path / "repository", symlinks=True))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    (path / "pages").mkdir(parents=True)
    (path / "app.py").write_text("app = 1\n")
    (path / "pages/index.html").write_text("<p>\n")
    (path / "run.sh").write_text("#!/bin/sh\n")
    (path / "run.sh").chmod(0o755)
    (path / "latest").symlink_to("pages/index.html")
    return path


@pytest.fixture
def run(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Return a function that packs the source, expects success, and returns the answer."""

    def packed(*exclude: str) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(json.dumps(pack.pack(source, tmp_path / "cache", exclude, gitignore=True)))
        assert capfd.readouterr() == ("", "")
        return answer

    return packed


@pytest.fixture
def fail(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return a function that packs the source, expects an error of one line, and returns it."""

    def failed() -> str:
        with pytest.raises(pack.SourceError) as caught:
            pack.pack(source, tmp_path / "cache", gitignore=True)
        assert capfd.readouterr() == ("", "")
        assert len(str(caught.value).splitlines()) == 1
        assert list((tmp_path / "cache").glob("*")) == []
        return str(caught.value)

    return failed
