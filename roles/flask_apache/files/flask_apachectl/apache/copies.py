"""A copy of Apache's configuration, with changes, that Apache can be asked about."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import paths
from flask_apachectl.host import desired, files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flask_apachectl.apache.listing import Listing
    from flask_apachectl.host.desired import Wanted


@contextlib.contextmanager
def of_configuration(changes: Sequence[Wanted]) -> Iterator[str]:
    """Copy the configuration, change the copy, and let it name no file of the original: yield the copy's root."""
    places = (paths.APACHE, paths.ETC / "vhosts")
    with tempfile.TemporaryDirectory(prefix="flask-apache-configtest.") as top:
        for place in places:
            if place.is_dir():
                files.copy_tree(str(place), Path(f"{top}{place}"))
            else:
                Path(f"{top}{place}").mkdir(parents=True)
        for each in changes:
            if set(places) & set(each.path.parents):
                desired.make(replace(each, path=Path(f"{top}{each.path}")))
        for file in Path(top).rglob("*"):
            if file.is_file() and not file.is_symlink():
                content = file.read_bytes()
                for place in places:
                    content = content.replace(str(place).encode(), f"{top}{place}".encode())
                file.write_bytes(content)
        yield top


def original(found: Listing, top: str) -> Listing:
    """Return a listing of a copy with the paths of the original."""
    hosts = tuple(replace(each, file=each.file.replace(top, "")) for each in found.hosts)
    listens = tuple(replace(each, file=each.file.replace(top, "")) for each in found.listens)
    return replace(found, hosts=hosts, listens=listens)
