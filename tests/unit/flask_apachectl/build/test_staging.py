"""How a source is unpacked and laid out, and its links to the app's data."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.build import staging
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import manifest
from tests.unit.flask_apachectl.samples import changed, listed

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """Return a member of an archive that belongs to this user, so that the tests can unpack it."""
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.uid, found.gid = kind, link, os.getuid(), os.getgid()
    return found


def unpack(tmp_path: Path, *members: tarfile.TarInfo) -> Path:
    """Unpack an archive two directories below ``tmp_path``, and return the directory."""
    destination = tmp_path / "partial/app"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for each in members:
            tar.addfile(each)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        staging.extract(tar, destination)
    return destination


LINK, HARD_LINK = tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../x", tarfile.REGTYPE, ""),
        ("..", tarfile.DIRTYPE, ""),
        ("../x", tarfile.DIRTYPE, ""),
        ("/nowhere/x", tarfile.REGTYPE, ""),
        ("a/../../x", tarfile.REGTYPE, ""),
        ("./../x", tarfile.REGTYPE, ""),
        ("x", LINK, "/etc/passwd"),
        ("x", LINK, "../outside"),
        ("a/x", LINK, "../../outside"),
        ("x", LINK, "a/../../outside"),
        ("x", HARD_LINK, "y"),
        ("x", HARD_LINK, "/etc/passwd"),
        ("x", tarfile.CHRTYPE, ""),
        ("x", tarfile.BLKTYPE, ""),
        ("x", tarfile.FIFOTYPE, ""),
    ],
)
def test_an_archive_that_leaves_its_place_is_refused(tmp_path: Path, name: str, kind: bytes, link: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(f"{name}, which leads out of it")):
        unpack(tmp_path, member("before"), member(name, kind, link))
    assert listed(tmp_path) == []  # nothing is unpacked, not even the harmless members


@pytest.mark.parametrize(
    "members",
    [
        [member("out", LINK, "inside"), member("out/file")],
        [member("out", LINK, "inside"), member("out/deep/file")],
        [member("out", LINK, "inside"), member("./out/file")],
        [member("out", LINK, "inside"), member("out", tarfile.REGTYPE)],
        [member("a", tarfile.DIRTYPE), member("a/out", LINK, "../inside"), member("a/b/../out/file")],
        [member("out", LINK, "inside"), member("out", LINK, "elsewhere")],
    ],
    ids=lambda members: f"{members[-1].name}-{len(members)}",
)
def test_an_archive_cannot_write_through_its_own_link(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    with pytest.raises(RefusedError, match="leads out of it"):
        unpack(tmp_path, *members)
    assert listed(tmp_path) == []


def test_two_links_that_stay_cannot_leave_together(tmp_path: Path) -> None:
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial/secret").write_text("nobody's business")
    with pytest.raises(RefusedError, match="leads out of it"):
        unpack(tmp_path, member("a/up", LINK, ".."), member("out", LINK, "a/up/../secret"))


def test_files_directories_and_links_that_stay_are_unpacked(tmp_path: Path) -> None:
    destination = unpack(
        tmp_path,
        member("package", tarfile.DIRTYPE),
        member("package/a.py"),
        member("package/b.py", LINK, "a.py"),
        member("c.py", LINK, "./package/../package/a.py"),
        member("package/top", LINK, ".."),
        member("dangling", LINK, "package/none"),
    )
    assert listed(destination) == ["c.py", "dangling", "package"]
    assert (destination / "c.py").resolve() == (destination / "package/b.py").resolve() == destination / "package/a.py"


def test_a_source_is_staged_from_what_was_shipped(app: App) -> None:
    app.releases.mkdir()
    (app.home / "incoming").mkdir()
    with pytest.raises(RefusedError, match="the source s is not on this host: run the role"):
        staging.stage(app, "s", app.releases / ".r0.partial")
    with tarfile.open(app.home / "incoming/s.tar.gz", "w:gz") as tar:
        tar.addfile(member("app.py"))
    staging.stage(app, "s", app.releases / ".r1.partial")
    assert listed(app.releases / ".r1.partial/app") == ["app.py"]


def test_a_source_is_staged_from_a_release_of_it(app: App) -> None:
    (app.home / "incoming").mkdir()
    for release in ("s-1", "s-2", "t-1"):
        (app.releases / release / "app").mkdir(parents=True)
        (app.releases / release / "app" / f"{release}.py").write_text("")
    (app.releases / "s-2/app/link").symlink_to("nowhere")
    for complete in ("s-2", "t-1"):
        kept = {"made": "then", "files": manifest.of(app.releases / complete, ["app"])}
        (app.releases / complete / "release.json").write_text(json.dumps(kept))
    staging.stage(app, "s", app.releases / ".s-3.partial")
    assert listed(app.releases / ".s-3.partial/app") == ["link", "s-2.py"]  # links stay links


@pytest.fixture
def linked(app: App) -> App:
    """Return an app in whose source two paths become links to its data."""
    wanted = [("own", "instance"), ("uploads", ""), ("media/pictures", "static/pictures")]
    return changed(app, data_directories=[{"name": name, "link": link} for name, link in wanted])


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """Return a staged source."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "app.py").write_text("")
    (source / "inner").symlink_to("app.py")
    return source


def test_links_lead_to_the_data(linked: App, staged: Path) -> None:
    (staged / "instance").mkdir()
    (staged / "instance/.gitkeep").write_text("")
    for _ in range(2):  # a release may be copied from another one
        staging.link_data(linked, staged)
        assert (staged / "instance").readlink() == linked.data / "own"
        assert (staged / "static/pictures").readlink() == linked.data / "media/pictures"
    staging.link_data(changed(linked, data_directories=[]), staged)
    assert [path.name for path in staged.rglob("*") if path.is_symlink()] == ["inner"]


def test_content_where_the_data_should_be_is_refused(linked: App, staged: Path) -> None:
    (staged / "instance").mkdir()
    (staged / "instance/shop.sqlite").write_text("")
    with pytest.raises(
        RefusedError, match=r"instance .*contains shop.sqlite there: exclude it with flask_apache_source_exclude"
    ):
        staging.link_data(linked, staged)
    (staged / "instance/shop.sqlite").unlink()
    (staged / "static").write_text("")
    with pytest.raises((RefusedError, OSError)):
        staging.link_data(linked, staged)


@pytest.mark.parametrize(("link", "target"), [("instance", "inner"), ("static", "..")])
def test_a_link_of_the_source_in_the_way_is_refused(linked: App, staged: Path, link: str, target: str) -> None:
    (staged / link).symlink_to(target)
    with pytest.raises(RefusedError, match=r"must become a link|source leads elsewhere"):
        staging.link_data(linked, staged)
