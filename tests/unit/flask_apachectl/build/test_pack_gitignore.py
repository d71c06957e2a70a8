"""What git ignores is not shipped, with git and without."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_apachectl.build.fetch import pack
from tests.unit.flask_apachectl.build.sources import names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


FILES = (
    *("app.py", "a.log", "keep.log", "logs/a.log", "logs/b.txt", "build/x.js", "src/build/x.js", "src/build.py"),
    *("docs/a/b/c.txt", "docs/c.txt", "a b.txt", "#x", "!x", "x[1].txt", "src/é.txt", "src/deep/er/x.js", "star*"),
)
PATTERNS = (
    *("*.log", "!keep.log", "logs/", "/logs", "build", "/build", "build/", "src/build", "src/*", "!src/build.py"),
    *("docs/**/c.txt", "docs/**", "**/build", "**/b/", "/docs/*", "!/docs/a", "a b.txt", "a\\ b.txt", "\\#x", "\\!x"),
    *("x[[]1].txt", "x[0-9].txt", "x\\[1\\].txt", "?.log", "[!k]*.log", "[a-c].*", "star\\*"),
    *("*", "!*/", "!*.js", "#x", "", " ", "app.py ", "app.py\\ ", "**", "a**b", "src/**/x.js", "/*.py", "*/x.js", "[z"),
    *("é.txt", "src/?.txt", "dir/", "!", "/", "//", "deep/er", "**/deep/er", "[", "[]-a].log", "[^a].log", "a.log\r"),
)


def has_git() -> bool:
    return shutil.which("git") is not None


def git(directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=me", "-c", "user.email=me@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture(scope="module")
def work_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a work tree in which nothing is tracked."""
    path = tmp_path_factory.mktemp("work-tree")
    for name in FILES:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).touch()
    git(path, "init", "-q")
    return path


ignore_files = st.lists(st.sampled_from(PATTERNS), max_size=4).map("\n".join)


@pytest.mark.skipif(not has_git(), reason="git is not installed")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([".", "src", "docs", "docs/a"]), ignore_files, max_size=3))
def test_without_git_the_same_is_ignored(work_tree: Path, ignored: dict[str, str]) -> None:
    for path in work_tree.rglob(".gitignore"):
        path.unlink()
    for directory, text in ignored.items():
        (work_tree / directory / ".gitignore").write_text(text)
    by_git = pack.listed_by_git(work_tree)
    by_itself = {path for path in pack.walk(work_tree, [".git"], pack.GitIgnore(work_tree).ships) if not path.is_dir()}
    assert by_itself == by_git


def test_a_work_tree_ships_what_git_would_have(run: Callable[..., dict[str, Any]], source: Path) -> None:
    """Ships tracked files, even if ignored, and untracked files; not ignored or deleted files, or empty directories."""
    (source / ".gitignore").write_text("*.html\n*.log\nbuilt/\n")
    (source / "gone.py").touch()
    (source / "empty").mkdir()
    git(source, "init", "-q")
    git(source, "add", "--force", ".")
    git(source, "rm", "--cached", "-q", "app.py")
    (source / "gone.py").unlink()
    for name in ("a.log", "built/x.js", "pages/é.txt"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).touch()
    assert names(run()) == [".gitignore", "app.py", "latest", "pages", "pages/index.html", "pages/é.txt", "run.sh"]


def test_a_directory_of_a_work_tree_has_the_ignore_files_above(source: Path) -> None:
    (source / ".gitignore").write_text("*.html\n")
    (source / "pages/app.py").touch()
    git(source, "init", "-q")
    members = pack.collect(source / "pages", [], pack.not_ignored(source, source / "pages"))
    assert [name for name, _, _ in members] == ["app.py"]


def test_a_directory_that_is_ignored_as_a_whole_is_no_work_tree(source: Path) -> None:
    """As in a home directory that is a git repository and ignores everything else."""
    (source / ".gitignore").write_text("*\n")
    git(source, "init", "-q")
    members = pack.collect(source / "pages", [], pack.not_ignored(source / "pages", source / "pages"))
    assert [name for name, _, _ in members] == ["index.html"]


def test_repositories_within_are_shipped(
    run: Callable[..., dict[str, Any]], fail: Callable[[], str], source: Path
) -> None:
    git(source, "init", "-q")
    git(source, "init", "-q", "library")
    (source / "library/lib.py").touch()
    (source / "library/x.log").touch()
    (source / "library/.gitignore").write_text("*.log\n")
    assert {"library/lib.py", "library/.gitignore"} < set(names(run()))
    assert "library/x.log" not in names(run())
    git(source / "library", "add", ".")
    git(source / "library", "commit", "-q", "-m", "x")
    git(source, "add", "library")
    assert "library/lib.py" in names(run())
    shutil.rmtree(source / "library")
    (source / "library").mkdir()
    for archive in source.parent.glob("cache/*"):
        archive.unlink()
    assert fail() == f"the submodule {source}/library is not checked out: run `git submodule update --init`"


def test_what_a_repository_configures_does_not_run(run: Callable[..., dict[str, Any]], source: Path) -> None:
    git(source, "init", "-q")
    git(source, "config", "core.fsmonitor", f"touch {source}/ran; false")
    run()
    assert not (source / "ran").exists()
