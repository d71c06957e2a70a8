"""A source in an archive: download it, check its checksum, unpack it safely, and pack it for the host."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import time
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from flask_apachectl.build.fetch import common, pack
from flask_apachectl.build.fetch.pack import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Limits that no app reaches, but a decompression bomb does.
MOST_BYTES = 2**31
MOST_ENTRIES = 100_000
MOST_RATIO = 200  # unpacked to packed size, beyond the first bytes
UNSUSPICIOUS_BYTES = 16 * 2**20
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError)


class Meter:
    """Counts unpacked bytes, and stops a decompression bomb."""

    def __init__(self, archive: Path) -> None:
        """Start at zero, for an archive."""
        self.size, self.bytes = archive.stat().st_size, 0

    def count(self, content: bytes) -> bytes:
        """Count and return some bytes. Raises SourceError when there are too many."""
        self.bytes += len(content)
        if self.bytes > MOST_BYTES:
            raise SourceError(f"the archive unpacks to more than {MOST_BYTES // 2**20} MiB, so it is refused")
        if self.bytes > max(UNSUSPICIOUS_BYTES, MOST_RATIO * self.size):
            raise SourceError(f"the archive unpacks to more than {MOST_RATIO} times its size, so it is refused")
        return content


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1, /) -> bytes:
        """Return some bytes."""
        ...


class Metered:
    """A stream that is counted while it is read."""

    def __init__(self, stream: Readable, meter: Meter) -> None:
        """Count what is read from a stream."""
        self.stream, self.meter = stream, meter

    def read(self, size: int = -1, /) -> bytes:
        """Return some bytes."""
        return self.meter.count(self.stream.read(size))


@dataclass(frozen=True)
class Entry:
    """One entry of an archive. ``kind`` is one of tarfile's types; ``target`` is a link's."""

    name: str
    kind: bytes
    executable: bool
    mtime: int
    target: str = ""
    content: IO[bytes] | None = None


def entries_of_tar(archive: Path, opener: Any, meter: Meter) -> Iterator[Entry]:  # noqa: ANN401 - gzip.open and others
    """Yield the entries of a compressed tar archive."""
    with opener(archive, "rb") as stream, tarfile.open(fileobj=Metered(stream, meter), mode="r|") as tar:  # type: ignore[call-overload]
        for member in tar:
            kind = tarfile.REGTYPE if member.isreg() else member.type
            content = tar.extractfile(member) if member.isreg() else None
            yield Entry(member.name, kind, bool(member.mode & 0o100), int(member.mtime), member.linkname, content)


def entries_of_zip(archive: Path, _opener: object, _meter: Meter) -> Iterator[Entry]:
    """Yield the entries of a zip archive."""
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            mode = member.external_attr >> 16
            kinds = {0: tarfile.REGTYPE, stat.S_IFREG: tarfile.REGTYPE, stat.S_IFLNK: tarfile.SYMTYPE}
            kind = tarfile.DIRTYPE if member.is_dir() else kinds.get(stat.S_IFMT(mode), tarfile.CHRTYPE)
            if member.flag_bits & 1:
                raise SourceError(
                    f"the archive contains {member.filename}, which is encrypted: create it without a password"
                )
            made = int(time.mktime((*member.date_time, 0, 0, 0)))
            with zipped.open(member) as content:
                target = content.read(4096).decode(errors="surrogateescape") if kind == tarfile.SYMTYPE else ""
                yield Entry(member.filename, kind, bool(mode & 0o100), made, target, content)


FORMATS = (
    (b"\x1f\x8b", entries_of_tar, gzip.open),
    (b"\xfd7zXZ\0", entries_of_tar, lzma.open),
    (b"BZh", entries_of_tar, bz2.open),
    (b"PK", entries_of_zip, None),
)


def unpack(archive: Path, into: Path) -> None:
    """Unpack an archive of files, directories and links.

    Raises SourceError for paths outside of it, other kinds of entries, a decompression bomb, and damage. The targets of
    links are checked by `pack.collect`; nothing is written through a link.
    """
    with archive.open("rb") as file:
        start = file.read(8)
    for magic, entries, opener in FORMATS:
        if start.startswith(magic):
            try:
                extract(entries(archive, opener, Meter(archive)), into, Meter(archive))
            except DAMAGED as error:
                raise SourceError(f"the archive is damaged: {error or type(error).__name__}") from None
            return
    raise SourceError("the archive must be a tar.gz, tar.xz, tar.bz2 or zip file")


def safe_path(name: str) -> PurePosixPath:
    """Return the path of an entry below the archive's top. Raises SourceError for a path outside of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise SourceError(f"the archive contains {name!r}, which is a path outside of it, so it is refused")
    return path


def extract(entries: Iterable[Entry], into: Path, meter: Meter) -> None:
    """Write the entries below a directory."""
    directories, files, links = {PurePosixPath()}, set[PurePosixPath](), set[PurePosixPath]()
    into.mkdir()
    for number, entry in enumerate(entries):
        path = safe_path(entry.name)
        is_directory = entry.kind == tarfile.DIRTYPE
        if number >= MOST_ENTRIES:
            raise SourceError(f"the archive contains more than {MOST_ENTRIES} entries, so it is refused")
        if links.intersection(path.parents):
            raise SourceError(f"the archive contains {entry.name!r}, whose path goes through a link, so it is refused")
        if (files | links).intersection((path, *path.parents)) or (path in directories and not is_directory):
            raise SourceError(f"the archive contains {entry.name!r} twice, so it is refused")
        (into / path if is_directory else (into / path).parent).mkdir(parents=True, exist_ok=True)
        directories.update({path, *path.parents} if is_directory else path.parents)
        if entry.kind == tarfile.SYMTYPE:
            links.add(path)
            (into / path).symlink_to(entry.target)
        elif not is_directory:
            if entry.kind == tarfile.LNKTYPE and safe_path(entry.target) not in files:
                raise SourceError(
                    f"the archive contains {entry.name!r}, a link to a file that it does not contain: it is refused"
                )
            files.add(path)
            write(entry, into, into / path, meter)
    for path in directories:
        os.utime(into / path, (0, 0))


def write(entry: Entry, top: Path, path: Path, meter: Meter) -> None:
    """Write a file of an archive, or copy an earlier one to which it is a hard link."""
    if entry.kind == tarfile.LNKTYPE:
        shutil.copyfile(top / safe_path(entry.target), path)
    elif entry.kind == tarfile.REGTYPE and entry.content:
        with path.open("xb") as file:
            while content := meter.count(entry.content.read(common.CHUNK)):
                file.write(content)
    else:
        raise SourceError(
            f"the archive contains {entry.name!r}, which is not a file, directory or link, so it is refused"
        )
    path.chmod(0o755 if entry.executable else 0o644)
    os.utime(path, (max(0, entry.mtime),) * 2)


def download(url: str, into: Path, seconds: float) -> None:
    """Download a file."""
    address = urlsplit(url)
    login, _, server = address.netloc.rpartition("@")
    request = urllib.request.Request(address._replace(netloc=server).geturl())  # noqa: S310 - the role checked the scheme
    if login:
        user, _, password = login.partition(":")
        plain = f"{urllib.request.unquote(user)}:{urllib.request.unquote(password)}"  # type: ignore[attr-defined]
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(plain.encode()).decode()}")
    end = time.monotonic() + seconds
    try:
        with urllib.request.urlopen(request, timeout=common.ANSWERS_WITHIN) as answer, into.open("wb") as file:  # noqa: S310
            while content := answer.read(common.CHUNK):
                file.write(content)
                if file.tell() > MOST_BYTES or time.monotonic() > end:
                    limit = f"{MOST_BYTES // 2**20} MiB" if file.tell() > MOST_BYTES else f"{seconds:.0f} s"
                    raise SourceError(f"{common.mask(url)} takes more than {limit}")
    except OSError as error:
        raise SourceError(
            f"{common.mask(url)} cannot be downloaded: {getattr(error, 'reason', None) or error}"
        ) from None


def get(wanted: common.Wanted, work: Path) -> common.Answer:
    """Get an archive, and verify its checksum."""
    checksum = wanted.archive_checksum.removeprefix("sha256:").lower()
    identity = common.source_id(checksum, wanted.source_directory)
    answer = common.available(wanted, identity)
    if answer:
        return answer
    archive = Path(wanted.source)
    if "://" in wanted.source:
        archive = work / "archive"
        download(wanted.source, archive, wanted.seconds)
    found = hashlib.sha256()
    with archive.open("rb") as file:
        while content := file.read(common.CHUNK):
            found.update(content)
    if found.hexdigest() != checksum:
        raise SourceError(
            f"{common.mask(wanted.source)} has the checksum sha256:{found.hexdigest()}, "
            "not flask_apache_archive_checksum: check that it is the right file, then correct the checksum"
        )
    unpack(archive, work / "tree")
    tops = list((work / "tree").iterdir())
    top = tops[0] if len(tops) == 1 and tops[0].is_dir() and not tops[0].is_symlink() else work / "tree"
    try:
        members = pack.collect(common.app_directory(top, wanted.source_directory), [])
    except SourceError as error:
        raise SourceError(f"the archive's {str(error).replace(f'{top}/', '')}") from None
    return common.packed(wanted, members, identity)
