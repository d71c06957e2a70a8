"""Lay out a source in a release's directory, with links to the app's data."""

from __future__ import annotations

import os
import pwd
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import releases, routing
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, programs, report

if TYPE_CHECKING:
    from flask_apachectl.app import App


def stage(app: App, source: str, partial: Path) -> None:
    """Lay out the source: from what the control node shipped, or from a release with the same source."""
    report.say(f"stage   {source}")
    archive = app.home / "incoming" / f"{source}.tar.gz"
    same = [path for path in app.releases.glob(f"{source}-*/app") if releases.has_source(app, path.parent.name)]
    partial.mkdir()
    if archive.exists():
        with tarfile.open(archive) as tar:
            extract(tar, partial / "app")
    elif same:
        shutil.copytree(same[0], partial / "app", symlinks=True)
    else:
        raise RefusedError(f"the source {source} is not on this host: run the role, which ships it")


def extract(tar: tarfile.TarFile, destination: Path) -> None:
    """Unpack an archive of files, directories and links that stay inside.

    Raises RefusedError for anything else. (Python's own filter is not in every supported Python.)
    """
    links: set[Path] = set()
    for member in tar.getmembers():
        path = Path(os.path.normpath(member.name))
        target = Path(os.path.normpath(path.parent / member.linkname)) if member.issym() else path
        leaves = any(each.is_absolute() or each.parts[:1] == ("..",) for each in (path, target))
        if leaves or links & {path, *path.parents} or not (member.isreg() or member.isdir() or member.issym()):
            raise RefusedError(
                f"the archive contains {member.name}, which leads out of it: repack it without that entry"
            )
        if member.issym():
            links.add(path)
    tar.extractall(destination)  # noqa: S202 - checked above
    for path in links:  # one may lead through another
        if not Path(os.path.realpath(destination / path)).is_relative_to(os.path.realpath(destination)):
            raise RefusedError(f"the archive contains {path}, which leads out of it: repack it without that entry")


def make_data_directories(app: App) -> None:
    """Make the directories that the app wants below its data: with its own rights, as it may have planted links there.

    What is there stays as it is.
    """
    user = pwd.getpwnam(app.site.user)
    for path in [app.data / declared.name for declared in app.spec.data_directories]:
        try:
            programs.run(
                ["mkdir", "-p", "--", str(path)], user.pw_name, user.pw_gid, home=app.data, cwd=app.data, seconds=60
            )
        except RefusedError as failure:
            raise RefusedError(f"the directory {path} cannot be made:\n{failure}\n{routing.consequence(app)}") from None


def link_data(app: App, source: Path) -> None:
    """Let paths of a staged source lead to the app's data. Raises RefusedError when the source has content there."""
    for directory, names, others in os.walk(source):  # a copy of another release has that one's links
        for path in (Path(directory, name) for name in [*names, *others]):
            if path.is_symlink() and path.readlink().is_absolute():
                path.unlink()
    for link, name in app.spec.data_links.items():
        path = source / link
        if not path.parent.resolve().is_relative_to(source.resolve()):
            raise RefusedError(f"{link} cannot lead to the app's data: the source leads elsewhere there")
        content = [link] if path.is_file() else [each.name for each in path.glob("[!.]*")] if path.is_dir() else []
        if content or path.is_symlink():
            raise RefusedError(
                f"{link} must become a link to the app's data (flask_apache_data_directories), but the source contains "
                f"{', '.join(sorted(content)[:5]) or 'a link'} there: exclude it with flask_apache_source_exclude, "
                f"and copy what the app needs to {app.data / name}"
            )
        files.remove(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(app.data / name)
