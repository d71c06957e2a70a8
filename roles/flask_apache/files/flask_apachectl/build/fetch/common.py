"""What all kinds of sources share: the request, ids, and the archives that are kept."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl.build.fetch import pack

if TYPE_CHECKING:
    from collections.abc import Mapping

Answer = dict[str, Any]

CHUNK = 2**20  # bytes
ANSWERS_WITHIN = 60  # seconds, for each response of a server


@dataclass(frozen=True)
class Wanted:
    """What to fetch: the role's variables by their names without the prefix, and the circumstances."""

    type: str
    source: str
    cache: str  # directory for archives, which are kept between runs
    source_directory: str = ""
    source_exclude: tuple[str, ...] = ()
    source_gitignore: bool = True
    git_version: str = "HEAD"
    git_depth: int = 1  # commits, 0 for all
    git_submodules: bool = True
    git_key: str = ""
    git_known_hosts: tuple[str, ...] = ()
    git_signers: tuple[str, ...] = ()
    archive_checksum: str = ""
    package_requirements: tuple[str, ...] = ()
    seconds: float = 900
    have: tuple[str, ...] = ()  # ids that the host has
    plan: bool = False  # report the id only, without fetching
    user: str = ""  # on the host: the build user, who fetches
    incoming: str = ""  # on the host: the directory to which root moves the archive
    archive: int = -1  # on the host: the file descriptor to which the build user writes the archive

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Wanted:
        """Return the request in a JSON object, whose lists become tuples."""
        fields: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in given.items()}
        return cls(**fields)


def mask(text: str) -> str:
    """Return a text without the credentials in its URLs."""
    return re.sub(r"(\w://)[^/@\s]*@", r"\1****@", text)


def digest(*parts: str) -> str:
    """Return 64 hexadecimal digits that identify some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def source_id(identity: str, *shape: str) -> str:
    """Return a source's id: the first digits of its identity, or, for a part of it, of a digest of both."""
    return (digest(identity, *shape) if any(shape) else identity)[:12]


def app_directory(top: Path, directory: str) -> Path:
    """Return the directory of a source that holds the app."""
    path = top / directory
    if not path.is_dir() or not path.resolve().is_relative_to(top.resolve()):
        raise pack.SourceError(f"the source has no directory {directory} (flask_apache_source_directory)")
    return path


def cached(wanted: Wanted, identity: str) -> Path:
    """Return where the archive of a source is kept."""
    return Path(wanted.cache).expanduser() / f"{identity}.tar.gz"


def available(wanted: Wanted, identity: str) -> Answer | None:
    """Return the answer that needs no fetching: the host has the source, it is in the cache, or this is only a plan."""
    archive = cached(wanted, identity)
    if identity not in wanted.have and wanted.archive < 0 and archive.exists():
        return {"id": identity, "archive": str(archive)}
    return {"id": identity, "archive": None} if identity in wanted.have or wanted.plan else None


def packed(wanted: Wanted, members: pack.Members, identity: str = "") -> Answer:
    """Pack a source, by default under the id of its content."""
    identity = identity or pack.identify(members)
    archive = cached(wanted, identity)
    if wanted.archive >= 0 or not archive.exists():
        pack.write(members, archive)
    if wanted.archive >= 0:
        with archive.open("rb") as file, os.fdopen(wanted.archive, "wb") as out:
            shutil.copyfileobj(file, out)
        archive.unlink()
    return {"id": identity, "archive": str(archive)}
