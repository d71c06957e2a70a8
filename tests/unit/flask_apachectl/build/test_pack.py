"""Which files of a source are shipped, and the source's id."""

from __future__ import annotations

import os
import socket
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl.build.fetch import pack
from tests.unit.flask_apachectl.build.sources import names

if TYPE_CHECKING:
    from collections.abc import Callable


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
    monkeypatch.setattr(os, "scandir", lambda path: sorted(scandir(path), key=lambda e: e.name, reverse=True))
    assert run() == before
    assert archive.stat().st_mtime_ns == made  # packed only once


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
    assert fail() == f"{link} links to {target}, outside of the source: replace the link with a copy"


@pytest.mark.parametrize("target", ["app.py", "./pages", "pages/../app.py", "not-there-yet"])
def test_a_link_within_the_source_is_shipped(run: Callable[..., dict[str, Any]], source: Path, target: str) -> None:
    (source / "link").symlink_to(target)
    with tarfile.open(run()["archive"]) as tar:
        assert tar.getmember("link").linkname == os.path.normpath(target) or target == "pages/../app.py"


def test_a_link_to_itself_ends(run: Callable[..., dict[str, Any]], source: Path) -> None:
    (source / "loop").symlink_to("loop")
    (source / "pages/up").symlink_to("..")
    assert {"loop", "pages/up"} <= set(names(run()))


def test_a_source_that_is_itself_a_link(source: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(source)
    ids = [pack.pack(path, tmp_path / "cache")["id"] for path in (source, tmp_path / "current")]
    assert ids[0] == ids[1]


def test_a_pipe_is_refused(fail: Callable[[], str], source: Path) -> None:
    os.mkfifo(source / "pipe")
    assert fail() == (f"{source}/pipe is a socket, a pipe or a device: exclude it with flask_apache_source_exclude")


def test_a_socket_is_refused(fail: Callable[[], str], source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert "is a socket, a pipe or a device" in fail()


def test_an_unreadable_file_is_named(fail: Callable[[], str], source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root can read every real file
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

    def identify_and_truncate(members: pack.Members) -> str:
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
    assert fail() == (
        "the file name 'caf\\udce9' must be valid UTF-8: rename it, or exclude it with flask_apache_source_exclude"
    )


def test_a_refusal_is_one_line_whatever_the_name(fail: Callable[[], str], source: Path) -> None:
    os.mkfifo(source / "a\nb")
    assert fail().startswith(f"{source}/a\\nb is a socket")


def test_an_empty_source_is_a_source(run: Callable[..., dict[str, Any]], source: Path) -> None:
    answer = run("*")
    assert list(source.iterdir())
    assert (answer["files"], answer["bytes"], names(answer)) == (0, 0, [])
