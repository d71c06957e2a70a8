"""Static files, copied to where Apache may read them."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import interpreter, routing
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts, files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_apachectl.app import App

UNPUBLISHED = re.compile(r"\.|__pycache__$|.*\.py[cdo]?$")  # names of files that are nobody's but the app's
ENCODINGS = {".br": "br", ".gz": "gzip"}  # of files that were compressed beforehand: suffix, Content-Encoding


def publish(app: App, release: str, partial: Path) -> None:
    """Copy the static files to where Apache may read them: below ``plain``, and compressed ones below their encoding.

    A file that is the same in the live release is the same file here, so that browsers find it unchanged.
    """
    public = partial / "public"
    before = app.releases / str(routing.slot_release(app, routing.live_slot(app))) / "public/plain"
    (public / "plain").mkdir(parents=True)
    for url, path in sorted((each.url, each.path) for each in app.spec.static):
        top = source(app, release, partial, path)
        for file, name in published(top):
            target = public / "plain" / url.strip("/") / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # of a shallower one
            same = before / target.relative_to(public / "plain")
            if same.is_file() and filecmp.cmp(same, file, shallow=False):
                os.link(same, target)
            else:
                shutil.copyfile(file, target)
    for file in [file for file in public.rglob("*") if file.suffix in ENCODINGS]:
        if file.with_suffix("").is_file():
            target = public / ENCODINGS[file.suffix] / file.relative_to(public / "plain").with_suffix("")
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, target)
    files.set_ownership(public, facts.apache_group())


def source(app: App, release: str, partial: Path, path: str) -> Path:
    """Return a declared path of static files, of the source or of the virtual environment, without links."""
    in_venv = path.startswith("site-packages/")
    top = (partial / (f"venv/lib/python{interpreter.version(app)}" if in_venv else "app")).resolve()
    found = Path(os.path.realpath(top / path))
    if not found.exists() or not found.is_relative_to(top):
        raise RefusedError(
            f"flask_apache_static: path must be below the source, or site-packages/..., got {path}, which is not in "
            f"release {release}\n{routing.consequence(app)}"
        )
    return found


def published(top: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files at and below a path that visitors may have, and their names below it; no link leads out of it."""
    if top.is_file():
        yield top, ""
    for directory, names, others in os.walk(top):
        names[:] = [name for name in names if not UNPUBLISHED.match(name)]
        for name in others:
            path = Path(directory, name)
            file = path.resolve()
            if file.is_file() and file.is_relative_to(top) and not UNPUBLISHED.match(name):
                yield file, str(path.relative_to(top))
