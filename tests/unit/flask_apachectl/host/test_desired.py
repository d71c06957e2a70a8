"""Directories, files and links: what differs, what is shown of it, and how it is made so."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired
from flask_apachectl.host.desired import Change, Directory, File, Link
from tests.unit.flask_apachectl.samples import listed

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.host.desired import Wanted

pytestmark = pytest.mark.usefixtures("as_root")


def change(wanted: Wanted) -> Change:
    """Return what differs, as there is something."""
    found = desired.difference(wanted)
    assert found is not None
    return found


def made(wanted: Wanted) -> None:
    """Make it so, and expect that nothing differs afterwards."""
    desired.make(wanted)
    assert desired.difference(wanted) is None


# --- Directories


def test_a_directory(tmp_path: Path) -> None:
    wanted = Directory(tmp_path / "one", "root", "root", 0o750)
    assert (change(wanted).before, change(wanted).after) == ("", "directory owner=root group=root mode=0750\n")
    made(wanted)
    wanted.path.chmod(0o777)
    assert change(wanted).before == "directory owner=root group=root mode=0777\n"
    made(wanted)
    assert stat.S_IMODE(wanted.path.stat().st_mode) == 0o750


def test_what_is_no_such_directory_differs(tmp_path: Path) -> None:
    """A directory with another mode, owner or group, a file and nothing at all; a link to one is as good as one."""
    (tmp_path / "good").mkdir(mode=0o755)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("good")
    names = ("good", "link", "open", "file", "absent", "file/below")
    same = [desired.difference(Directory(tmp_path / name, "root", "root", 0o755)) is None for name in names]
    assert same == [True, True, False, False, False, False]
    good = tmp_path / "good"
    for other in (
        Directory(good, "nobody", "root", 0o755),
        Directory(good, "root", "nogroup", 0o755),
        Directory(good, "root", "root", 0o750),
    ):
        assert desired.difference(other)


def test_a_file_in_the_way_of_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("somebody's")
    with pytest.raises(RefusedError, match="one must be a directory, but something else is there: move it away"):
        desired.make(Directory(tmp_path / "one", "root", "root", 0o755))
    (tmp_path / "two").symlink_to("nowhere")
    with pytest.raises(RefusedError, match="two must be a directory"):
        desired.make(Directory(tmp_path / "two", "root", "root", 0o755))
    assert (tmp_path / "one").read_text() == "somebody's"


# --- Files


def test_a_file(tmp_path: Path) -> None:
    wanted = File(tmp_path / "one", b"a\n", mode=0o640)
    assert (change(wanted).before, change(wanted).after) == ("", "a\n")
    made(wanted)
    wanted.path.write_text("b\n")
    assert (change(wanted).before, change(wanted).after) == ("b\n", "a\n")
    made(wanted)
    wanted.path.chmod(0o644)
    found = change(wanted)
    assert found.before == "file owner=root group=root mode=0644\na\n"
    assert found.after == "file owner=root group=root mode=0640\na\n"
    made(wanted)
    assert listed(tmp_path) == ["one"]


def test_a_difference_has_the_form_that_ansible_shows(tmp_path: Path) -> None:
    path = str(tmp_path / "one")
    shown = change(File(tmp_path / "one", b"a\n")).shown()
    assert shown == {"before_header": path, "after_header": path, "before": "", "after": "a\n"}


def test_what_is_no_such_file_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "file").chmod(0o640)
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "directory").mkdir()
    wanted = {name: File(tmp_path / name, b"text", mode=0o640) for name in ("file", "link", "directory", "absent")}
    assert [name for name, each in wanted.items() if desired.difference(each)] == ["link", "directory", "absent"]
    assert desired.difference(File(tmp_path / "file", b"text", "www-data", 0o640))
    monkeypatch.setattr(desired, "_user", lambda _uid: "alice")
    assert change(wanted["file"]).before.startswith("file owner=alice group=root mode=0640\n")


def test_a_link_gives_way_to_a_file(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other's")
    (tmp_path / "one").symlink_to("other")
    assert change(File(tmp_path / "one", b"a")).before == "link to other\n"
    made(File(tmp_path / "one", b"a"))
    assert not (tmp_path / "one").is_symlink()
    assert (tmp_path / "other").read_text() == "other's"


def test_a_directory_in_the_way_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(RefusedError, match="one must be a file, but a directory is there: move it away"):
        desired.make(File(tmp_path / "one", b""))
    assert listed(tmp_path) == ["one"]


@pytest.mark.parametrize("content", [b"\0\1\2", b"x" * 100_001])
def test_what_nobody_reads_is_not_shown(tmp_path: Path, content: bytes) -> None:
    wanted = File(tmp_path / "one", content)
    found = re.fullmatch(rf"\({len(content)} bytes, SHA-256 [0-9a-f]{{12}}\)\n", change(wanted).after)
    assert found
    made(File(tmp_path / "one", content[:-1] + b"z"))
    assert change(wanted).before != change(wanted).after == found[0]


def test_an_empty_file_is_shown(tmp_path: Path) -> None:
    wanted = File(tmp_path / "one", b"")
    assert (change(wanted).before, change(wanted).after) == ("", "file owner=root group=root mode=0644\n")


# --- Links


def test_a_link(tmp_path: Path) -> None:
    wanted = Link(tmp_path / "one", "../conf-available/one.conf")
    assert (change(wanted).before, change(wanted).after) == ("", "link to ../conf-available/one.conf\n")
    made(wanted)
    made(Link(wanted.path, "elsewhere"))
    assert change(wanted).before == "link to elsewhere\n"
    made(wanted)
    assert str(wanted.path.readlink()) == "../conf-available/one.conf"
    assert listed(tmp_path) == ["one"]


def test_a_file_gives_way_to_a_link(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("mine\n")
    wanted = Link(tmp_path / "one", "x")
    assert change(wanted).before == "file owner=root group=root mode=0644\nmine\n"
    made(wanted)


def test_nothing_is_to_be_there(tmp_path: Path) -> None:
    for name in ("link", "file", "directory", "absent"):
        assert desired.difference(Link(tmp_path / name)) is None
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").write_text("")
    (tmp_path / "directory/below").mkdir(parents=True)
    for name in ("link", "file", "directory"):
        assert change(Link(tmp_path / name)).after == ""
        made(Link(tmp_path / name))
    made(Link(tmp_path / "absent"))
    made(Link(tmp_path / "no/such/directory"))
    assert listed(tmp_path) == []


# --- All kinds

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MODES = st.sampled_from([0o600, 0o640, 0o644, 0o755])


@st.composite
def things(draw: st.DrawFn) -> tuple[str, bytes, int, bool, str]:
    """Return what a path is to have: a kind, and what a file, a directory or a link need."""
    kind = draw(st.sampled_from(["file", "link", "nothing"]))
    target = draw(st.sampled_from(["a", "../b/c", "/d"]))
    return kind, draw(TEXTS).encode(), draw(MODES), draw(st.booleans()), target


def of(path: Path, thing: tuple[str, bytes, int, bool, str]) -> Wanted:
    """Return a thing at a path."""
    kind, content, mode, secret, target = thing
    return File(path, content, mode=mode, secret=secret) if kind == "file" else Link(path, target * (kind == "link"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=things(), after=things())
def test_whatever_was_there_becomes_what_is_wanted(
    tmp_path: Path, before: tuple[str, bytes, int, bool, str], after: tuple[str, bytes, int, bool, str]
) -> None:
    desired.make(of(tmp_path / "one", before))
    wanted = of(tmp_path / "one", after)
    found = desired.difference(wanted)
    made(wanted)
    assert found is None or found.before != found.after
    assert desired.of_json(desired.to_json(wanted)) == wanted
    assert listed(tmp_path) in ([], ["one"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.one_of(st.none(), TEXTS), mode=MODES)
def test_a_secret_is_never_shown(tmp_path: Path, before: str | None, mode: int) -> None:
    path, secret = tmp_path / "env", "correct horse"
    path.unlink(missing_ok=True)
    if before is not None:
        path.write_text(f"old battery{before}")
        path.chmod(mode)
    found = change(File(path, secret.encode(), mode=0o640, secret=True))
    assert found.after != found.before
    for text in found.shown().values():
        assert "horse" not in text
        assert "battery" not in text


def test_json_of_every_kind(tmp_path: Path) -> None:
    for wanted in (
        Directory(tmp_path, "root", "adm", 0o750),
        File(tmp_path, "größe\n".encode(), "www-data", 0o640, secret=True),
        Link(tmp_path, "x"),
        Link(tmp_path),
    ):
        assert desired.of_json(desired.to_json(wanted)) == wanted
