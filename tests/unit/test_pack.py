"""What of a source reaches the host, under which id."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.programs import load

if TYPE_CHECKING:
    from collections.abc import Callable

pack = load("pack.py")


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
def run(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Return a function that packs the source and returns the answer, which must be one of success."""

    def packed(*exclude: str) -> dict[str, Any]:
        code = pack.main([str(source), "--gitignore", "--cache", str(tmp_path / "cache"), "--exclude", *exclude])
        captured = capsys.readouterr()
        assert (code, captured.err) == (0, "")
        answer: dict[str, Any] = json.loads(captured.out)
        return answer

    return packed


@pytest.fixture
def fail(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return a function that packs the source, which must fail in one line, and returns the line."""

    def failed() -> str:
        code = pack.main([str(source), "--gitignore", "--cache", str(tmp_path / "cache")])
        captured = capsys.readouterr()
        assert (code, captured.out) == (1, "")
        assert len(captured.err.splitlines()) == 1
        assert list((tmp_path / "cache").glob("*")) == []
        return captured.err.rstrip("\n")

    return failed


def names(answer: dict[str, Any]) -> list[str]:
    with tarfile.open(answer["archive"]) as tar:
        return tar.getnames()


def test_the_answer(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    answer = run()
    assert len(answer["id"]) == 12
    assert int(answer["id"], 16) >= 0
    assert answer["archive"] == str(tmp_path / "cache" / f"{answer['id']}.tar.gz")
    assert (answer["files"], answer["bytes"]) == (5, 8 + 4 + 10)
    assert sorted(names(answer)) == ["app.py", "latest", "pages", "pages/index.html", "run.sh"]


def test_the_id_is_the_same_whatever_the_clock_and_the_order(
    run: Callable[..., dict[str, Any]], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run()
    archive = Path(before["archive"])
    made = archive.stat().st_mtime_ns
    for path in source.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    (source / "app.py").chmod(0o600)
    scandir = os.scandir
    monkeypatch.setattr(pack.os, "scandir", lambda path: sorted(scandir(path), key=lambda e: e.name, reverse=True))
    assert run() == before
    assert archive.stat().st_mtime_ns == made  # packed once


def edit_content(source: Path) -> None:
    (source / "app.py").write_text("app = 2\n")


def edit_name(source: Path) -> None:
    (source / "app.py").rename(source / "main.py")


def edit_executable_bit(source: Path) -> None:
    (source / "app.py").chmod(0o755)


def edit_link(source: Path) -> None:
    (source / "latest").unlink()
    (source / "latest").symlink_to("pages")


def edit_kind(source: Path) -> None:
    (source / "latest").unlink()
    (source / "latest").write_text("<p>\n")


def add_empty_directory(source: Path) -> None:
    (source / "uploads").mkdir()


def add_empty_file(source: Path) -> None:
    (source / "py.typed").touch()


def move_bytes_to_the_next_file(source: Path) -> None:
    (source / "app.py").write_text("app =")
    (source / "pages/index.html").write_text(" 1\n<p>\n")


@pytest.mark.parametrize(
    "edit",
    [
        edit_content,
        edit_name,
        edit_executable_bit,
        edit_link,
        edit_kind,
        add_empty_directory,
        add_empty_file,
        move_bytes_to_the_next_file,
    ],
)
def test_the_id_changes_with_what_the_app_can_see(
    run: Callable[..., dict[str, Any]], source: Path, edit: Callable[[Path], None]
) -> None:
    before = run()["id"]
    edit(source)
    assert run()["id"] != before


def test_members_are_roots_and_safe(run: Callable[..., dict[str, Any]], source: Path) -> None:
    (source / "app.py").chmod(0o4666)
    (source / "pages").chmod(0o777)
    os.utime(source / "app.py", (1_000_000_000, 1_000_000_000))
    with tarfile.open(run()["archive"]) as tar:
        members = {member.name: member for member in tar.getmembers()}
    assert {(member.uid, member.gid, member.uname, member.gname) for member in members.values()} == {(0, 0, "", "")}
    assert {name: member.mode for name, member in members.items()} == {
        "app.py": 0o644,
        "latest": 0o777,
        "pages": 0o755,
        "pages/index.html": 0o644,
        "run.sh": 0o755,
    }
    assert members["app.py"].mtime == 1_000_000_000
    assert members["latest"].linkname == "pages/index.html"


def test_what_is_never_shipped(run: Callable[..., dict[str, Any]], source: Path) -> None:
    before = run()["id"]
    for name in (".git", ".hg", ".svn", "__pycache__", "pages/__pycache__", "my-venv", "pages/.venv"):
        (source / name).mkdir()
        (source / name / "file").touch()
    (source / "my-venv/pyvenv.cfg").touch()
    (source / "pages/.venv/pyvenv.cfg").touch()
    (source / "app.pyc").touch()
    (source / "app.pyo").touch()
    assert run()["id"] == before


def test_a_submodules_git_file_is_not_shipped_and_other_hidden_files_are(
    run: Callable[..., dict[str, Any]], source: Path
) -> None:
    (source / ".git").write_text("gitdir: ../.git/modules/source\n")
    (source / ".flaskenv").touch()
    assert ".git" not in names(run())
    assert ".flaskenv" in names(run())


def test_excludes_are_names_at_any_depth(run: Callable[..., dict[str, Any]], source: Path) -> None:
    for name in ("a.log", "pages/b.log", "pages/log"):
        (source / name).touch()
    (source / "node_modules").mkdir()
    (source / "node_modules/big.js").touch()
    shipped = names(run("*.log", "node_modules"))
    assert "pages/log" in shipped
    assert not {"a.log", "pages/b.log", "node_modules", "node_modules/big.js"} & set(shipped)


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../secret", "pages/../../secret", "../source/app.py", "up/../secret"]
)
def test_a_link_out_of_the_source_is_refused(fail: Callable[[], str], source: Path, target: str) -> None:
    (source / "pages/up").symlink_to("..")
    link = source / ("pages/link" if target.startswith("up/") else "link")
    link.symlink_to(target)
    assert fail() == f"{link} links to {target}, outside of the source: replace it by a copy"


@pytest.mark.parametrize("target", ["app.py", "./pages", "pages/../app.py", "not-there-yet"])
def test_a_link_within_the_source_is_shipped(run: Callable[..., dict[str, Any]], source: Path, target: str) -> None:
    (source / "link").symlink_to(target)
    with tarfile.open(run()["archive"]) as tar:
        assert tar.getmember("link").linkname == os.path.normpath(target) or target == "pages/../app.py"


def test_a_link_to_itself_ends(run: Callable[..., dict[str, Any]], source: Path) -> None:
    (source / "loop").symlink_to("loop")
    (source / "pages/up").symlink_to("..")
    assert {"loop", "pages/up"} <= set(names(run()))


def test_a_source_that_is_itself_a_link(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "current").symlink_to(source)
    ids = []
    for path in (source, tmp_path / "current"):
        assert pack.main([str(path), "--cache", str(tmp_path / "cache")]) == 0
        ids.append(json.loads(capsys.readouterr().out)["id"])
    assert ids[0] == ids[1]


def test_a_pipe_is_refused(fail: Callable[[], str], source: Path) -> None:
    os.mkfifo(source / "pipe")
    assert fail() == (f"{source}/pipe is a socket, a pipe or a device: leave it out (flask_apache_source_exclude)")


def test_a_socket_is_refused(fail: Callable[[], str], source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert "is a socket, a pipe or a device" in fail()


def test_an_unreadable_file_is_named(fail: Callable[[], str], source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root could read every real file
    assert fail() == f"[Errno 13] Permission denied: '{source}/app.py'"


def test_a_missing_source_is_named(fail: Callable[[], str], source: Path) -> None:
    source.rename(source.with_name("moved"))
    assert fail() == f"[Errno 2] No such file or directory: '{source}'"


def test_an_archive_is_whole_or_not_there(fail: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", no_space)
    assert fail() == "[Errno 28] No space left on device"


def test_a_file_that_shrinks_meanwhile_fails(
    fail: Callable[[], str], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identify = pack.identify

    def identify_and_truncate(members: object) -> str:
        identity: str = identify(members)
        (source / "app.py").write_text("")
        return identity

    monkeypatch.setattr(pack, "identify", identify_and_truncate)
    assert "unexpected end of data" in fail()


@pytest.mark.parametrize("name", ["with space", "with\nnewline", "größe-☃", "-rf", "--exclude", "'quoted\"", "n" * 250])
def test_unusual_names_arrive(run: Callable[..., dict[str, Any]], source: Path, tmp_path: Path, name: str) -> None:
    (source / name).write_text(name)
    with tarfile.open(run()["archive"]) as tar:
        tar.extractall(tmp_path / "host", filter="data")
    assert (tmp_path / "host" / name).read_text() == name


def test_a_name_that_is_no_text_is_refused(fail: Callable[[], str], source: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(source) + b"/caf\xe9")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert fail() == ("'caf\\udce9' is not named in UTF-8: rename it, or leave it out (flask_apache_source_exclude)")


def test_a_refusal_is_one_line_whatever_the_name(fail: Callable[[], str], source: Path) -> None:
    os.mkfifo(source / "a\nb")
    assert fail().startswith(f"{source}/a\\nb is a socket")


def test_an_empty_source_is_a_source(run: Callable[..., dict[str, Any]], source: Path) -> None:
    answer = run("*")
    assert list(source.iterdir())
    assert (answer["files"], answer["bytes"], names(answer)) == (0, 0, [])


# --- .gitignore ------------------------------------------------------------------------------------------------------

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
    """What is tracked, though ignored; what is not tracked yet; not what is ignored, gone, or an empty directory."""
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
    """As below a home directory that is kept in git and ignores everything else."""
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
    assert fail() == f"the submodule {source}/library is not checked out: say `git submodule update --init`"


def test_what_a_repository_configures_does_not_run(run: Callable[..., dict[str, Any]], source: Path) -> None:
    git(source, "init", "-q")
    git(source, "config", "core.fsmonitor", f"touch {source}/ran; false")
    run()
    assert not (source / "ran").exists()
