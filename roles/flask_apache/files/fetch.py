#!/usr/bin/env python3
"""Get an application's source, wherever it is, and pack it for the host.

Runs on the controller; for git, if so wished, on the host, as the unprivileged user of builds. Needs Python 3.10 and,
for git, git with ssh and gpg. Reads one JSON object from standard input: the fields of `Wanted`. Prints one:
``id`` (12 hexadecimal digits: of the commit, or of what the source is made of) and ``archive`` (its path, or null when
the host has the source already, or a plan needs none); or ``failed`` and ``msg``, and ends with 1.
"""

from __future__ import annotations

import base64
import bz2
import contextlib
import difflib
import fcntl
import gzip
import hashlib
import json
import lzma
import os
import pwd
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import pack
from pack import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Answer = dict[str, Any]

COMMIT = re.compile(r"[0-9a-f]{40}")
LFS = b"version https://git-lfs.github.com/spec/v1\n"
CHUNK = 2**20  # bytes
ANSWERS_WITHIN = 60  # seconds, for each answer of a server
# What an archive may hold. Nobody's app is larger, and a bomb is.
MOST_BYTES = 2**31
MOST_ENTRIES = 100_000
MOST_RATIO = 200  # of what is unpacked to the archive, beyond the first bytes
UNSUSPICIOUS_BYTES = 16 * 2**20
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError)

# What git and ssh say, and what it means: the first that matches is told.
MEANINGS = (
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not in flask_apache_git_known_hosts: it may be another server than the one that is meant",
    ),
    (
        r"Permission denied \(.*publickey|invalid format|error in libcrypto",
        "it does not accept flask_apache_git_key: it may lack the right to read there, or have a passphrase",
    ),
    (
        r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|returned error: 40[13]",
        "it wants other credentials: write https://USER:TOKEN@HOST/… (from Ansible Vault), or use ssh and a deploy key",
    ),
    (r"Could not resolve host(name)?", "its name cannot be resolved"),
    (r"Connection refused|Connection timed out|No route to host|Failed to connect", "it cannot be reached"),
    (
        r"(?i)repository '?.*'? ?not found|does not appear to be a git repository|returned error: 404",
        "there is no such repository, or no right to read it",
    ),
    (r"server certificate verification failed|SSL certificate problem", "its TLS certificate is not trusted here"),
    (r"transport '(\S+)' not allowed", "it refers to a repository by a way that is not allowed: use https or ssh"),
)


@dataclass(frozen=True)
class Wanted:
    """What is wanted: the role's variables by their own names without prefix, and the circumstances."""

    type: str
    source: str
    cache: str  # directory for what outlives a run
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
    plan: bool = False  # only say the id, without fetching
    user: str = ""  # on the host: who fetches, while root takes the archive
    incoming: str = ""  # on the host: where it is taken to
    archive: int = -1  # file descriptor for it


def mask(text: str) -> str:
    """Return a text without the credentials in its URLs."""
    return re.sub(r"(\w://)[^/@\s]*@", r"\1****@", text)


def digest(*parts: str) -> str:
    """Return 64 hexadecimal digits that stand for some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def named(identity: str, *shape: str) -> str:
    """Return a source's id: the first digits of what identifies it, unless only a part of it is wanted."""
    return (digest(identity, *shape) if any(shape) else identity)[:12]


# --- git -------------------------------------------------------------------------------------------------------------


CONFIGURATION = f"""
[safe]
directory = *
[core]
hooksPath = /dev/null
fsmonitor = false
[gc]
auto = 0
[http]
lowSpeedLimit = 1000
lowSpeedTime = {ANSWERS_WITHIN}
[credential]
helper = {{helper}}
[gpg "ssh"]
allowedSignersFile = {{signers}}
"""


class Git:
    """git, without this machine's and its user's configuration, and with no more rights than were given."""

    def __init__(self, wanted: Wanted, private: Path, tree: Path) -> None:
        """Write what git needs into a directory that nobody else can read; ``tree`` will be the work tree."""
        self.wanted, self.tree = wanted, tree
        self.deadline = time.monotonic() + wanted.seconds
        address = urlsplit(wanted.source)
        self.url, login = wanted.source, ""
        if address.scheme == "https" and "@" in address.netloc:  # in a URL, every user of this machine could see it
            login, _, server = address.netloc.rpartition("@")
            self.url = address._replace(netloc=server).geturl()
            login = f"https://{login}{'' if ':' in login else ':'}@{server}\n"
        self.shown = mask(wanted.source)

        def secret(name: str, text: str) -> str:
            path = private / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
            return str(path)

        signers = [signer for signer in wanted.git_signers if "-----BEGIN" not in signer]
        keys = [signer for signer in wanted.git_signers if "-----BEGIN" in signer]
        helper = f"store --file={shlex.quote(secret('logins', login))}"
        allowed = secret("signers", "".join(f"{signer.strip()}\n" for signer in signers))
        secret(".gitconfig", CONFIGURATION.format(helper=json.dumps(helper), signers=json.dumps(allowed)))
        known_hosts = secret("known_hosts", "".join(f"{line.strip()}\n" for line in wanted.git_known_hosts))
        ssh = ["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
        ssh += ["-o", f"UserKnownHostsFile={shlex.quote(known_hosts)}", "-o", "GlobalKnownHostsFile=/dev/null"]
        ssh += ["-o", "UpdateHostKeys=no", "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15"]
        if wanted.git_key:
            key = secret("key", wanted.git_key.replace("\r\n", "\n").rstrip("\n") + "\n")
            ssh += ["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i", key]
        kept = r"PATH|(?i:\w+_proxy)|SSL_CERT_(FILE|DIR)|GIT_SSL_CAINFO" + ("" if wanted.git_key else "|SSH_AUTH_SOCK")
        self.environment = {
            **{name: value for name, value in os.environ.items() if re.fullmatch(kept, name)},
            "HOME": str(private),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TEMPLATE_DIR": "",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "file:https:ssh" if wanted.source.startswith("/") else "https:ssh",
            "GIT_SSH_COMMAND": shlex.join(ssh),
            "GNUPGHOME": str(private / "gnupg"),
        }
        if keys:
            (private / "gnupg").mkdir(mode=0o700)
            self.program(["gpg", "--batch", "--quiet", "--import"], stdin="\n".join(keys))

    def program(self, command: Sequence[str], stdin: str = "") -> str:
        """Run a program and return its output. Raises SourceError with what its failure means."""
        try:
            process = subprocess.Popen(
                command,
                cwd=self.tree if self.tree.is_dir() else "/",
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except FileNotFoundError:
            raise SourceError(f"{command[0]} is not installed where {self.shown} is to be fetched") from None
        try:
            output, errors = process.communicate(stdin, timeout=max(0.1, self.deadline - time.monotonic()))
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise SourceError(f"{self.shown} is not fetched after {self.wanted.seconds:.0f} s") from None
            raise
        if process.returncode:
            raise SourceError(f"{self.shown} cannot be fetched: {meaning(errors or output)}")
        return output

    def git(self, *arguments: str) -> str:
        """Run git and return what it printed, without the last line's end."""
        return self.program(["git", *arguments]).rstrip("\n")

    def resolve(self) -> tuple[str, str]:
        """Ask the server for the wanted version: return its full name, and the commit."""
        version = self.wanted.git_version
        if COMMIT.fullmatch(version):
            return "", version
        is_full = version == "HEAD" or version.startswith("refs/")
        names = [version] if is_full else [f"refs/heads/{version}", f"refs/tags/{version}"]
        found = self.refs(*names, *(f"{name}^{{}}" for name in names))
        present = [name for name in names if name in found]
        if len(present) > 1:
            raise SourceError(f"{self.shown} has a branch and a tag {version}: write {' or '.join(present)}")
        if not present:
            known = sorted(
                {name.split("/", 2)[-1].removesuffix("^{}") for name in self.refs("refs/heads/*", "refs/tags/*")}
            )
            nearest = difflib.get_close_matches(version, known, n=5, cutoff=0.3) or known[:5]
            is_short = re.fullmatch(r"[0-9a-f]{7,39}", version)
            advice = "write a commit with all its 40 digits" if is_short else f"it has {', '.join(nearest) or 'none'}"
            raise SourceError(f"{self.shown} has no branch or tag {version} (flask_apache_git_version): {advice}")
        return present[0], found.get(f"{present[0]}^{{}}", found[present[0]])

    def refs(self, *patterns: str) -> dict[str, str]:
        """Return the objects of the server's branches and tags by their full names."""
        lines = self.git("ls-remote", "--quiet", "--", self.url, *patterns).splitlines()
        return {name: commit for commit, _, name in (line.partition("\t") for line in lines)}

    def fetch(self, ref: str, commit: str) -> str:
        """Fetch a version into a new repository, with as much history as wanted. Returns its commit."""
        depth = [f"--depth={self.wanted.git_depth}"] if self.wanted.git_depth else []
        self.git("init", "--quiet", str(self.tree))
        self.git("remote", "add", "origin", self.url)
        fetch = ["fetch", "--quiet", "--no-tags"]
        if ref:
            self.git(*fetch, *depth, "origin", f"+{ref}:{ref if ref.startswith('refs/tags/') else 'refs/wanted'}")
            return self.git("rev-parse", f"{ref if ref.startswith('refs/tags/') else 'refs/wanted'}^{{commit}}")
        try:
            self.git(*fetch, *depth, "origin", commit)
        except SourceError:  # not every server hands out what no branch points to
            self.git(*fetch, "origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
        except SourceError:
            raise SourceError(f"{self.shown} has no commit {commit} (flask_apache_git_version)") from None

    def verify(self, ref: str, commit: str) -> None:
        """Raise SourceError unless one of the signers signed the commit, or the tag that names it."""
        if ref.startswith("refs/tags/") and self.git("cat-file", "-t", ref) == "tag":
            with contextlib.suppress(SourceError):
                self.git("verify-tag", ref)
                name = self.git("for-each-ref", "--format=%(tag)", ref)
                if ref == f"refs/tags/{name}":
                    return
        try:
            self.git("verify-commit", commit)
        except SourceError:
            signed = re.search(r"(?m)^gpgsig", self.git("cat-file", "commit", commit).partition("\n\n")[0])
            what = "carries no valid signature of flask_apache_git_signers" if signed else "is not signed"
            raise SourceError(
                f"{self.shown}: commit {commit[:12]} ({self.wanted.git_version}) {what}; it is not used"
            ) from None

    def lay_out(self, commit: str) -> int:
        """Check the commit out into the work tree. Returns its time (seconds since 1970)."""
        self.git("checkout", "--quiet", "--detach", commit)
        if self.wanted.git_submodules and (self.tree / ".gitmodules").exists():
            depth = [f"--depth={self.wanted.git_depth}"] if self.wanted.git_depth else []
            self.git("submodule", "--quiet", "update", "--init", "--recursive", *depth)
        return int(self.git("log", "-1", "--format=%ct", commit))


def meaning(errors: str) -> str:
    """Return in one line what a failure of git's means."""
    for pattern, text in MEANINGS:
        if re.search(pattern, errors):
            return text
    lines = [line.strip() for line in mask(errors).splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (fatal or lines or ["git says no reason"])[-1]


def get_git(wanted: Wanted, work: Path) -> Answer:
    """Get a version of a repository."""
    with tempfile.TemporaryDirectory(prefix="flask-apache-") as private:
        git = Git(wanted, Path(private), work / "tree")
        ref, commit = git.resolve()
        shape = (wanted.source_directory, "" if wanted.git_submodules else "without submodules")
        verified = Path(wanted.cache).expanduser() / f"{commit}-{digest(*wanted.git_signers)[:12]}.verified"
        if wanted.plan or not wanted.git_signers or verified.exists():
            answer = at_hand(wanted, named(commit, *shape))
            if answer:
                return {**answer, "commit": commit}
        commit = git.fetch(ref, commit)
        if wanted.git_signers:
            git.verify(ref, commit)
        made = git.lay_out(commit)
        members = pack.collect(part(work / "tree", wanted.source_directory), [])
        for name, path, member in members:
            member.mtime = made
            if member.isreg() and member.size < 1024 and path.read_bytes().startswith(LFS):  # noqa: PLR2004
                raise SourceError(f"{git.shown} keeps {name} in Git LFS, which is not fetched: keep it in git itself")
        answer = packed(wanted, members, named(commit, *shape))
        if wanted.git_signers:
            verified.with_name(f"{commit}-{digest(*wanted.git_signers)[:12]}.verified").touch()
        return {**answer, "commit": commit}


# --- archive ---------------------------------------------------------------------------------------------------------


class Meter:
    """Counts bytes, and stops a bomb."""

    def __init__(self, archive: Path) -> None:
        """Begin at none, of an archive."""
        self.size, self.bytes = archive.stat().st_size, 0

    def count(self, content: bytes) -> bytes:
        """Count and return some bytes. Raises SourceError when they become too many."""
        self.bytes += len(content)
        if self.bytes > MOST_BYTES:
            raise SourceError(f"the archive unpacks to more than {MOST_BYTES // 2**20} MiB: it is not used")
        if self.bytes > max(UNSUSPICIOUS_BYTES, MOST_RATIO * self.size):
            raise SourceError(f"the archive unpacks to more than {MOST_RATIO} times its size: it is not used")
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
                raise SourceError(f"the archive holds {member.filename}, which is encrypted")
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

    Raises SourceError for what leads out of it, what is none of these, a bomb, and what is damaged. Links' targets are
    left to `pack.collect`; nothing is written through a link.
    """
    with archive.open("rb") as file:
        start = file.read(8)
    for magic, entries, opener in FORMATS:
        if start.startswith(magic):
            try:
                lay_out(entries(archive, opener, Meter(archive)), into, Meter(archive))
            except DAMAGED as error:
                raise SourceError(f"the archive is damaged: {error or type(error).__name__}") from None
            return
    raise SourceError("the archive is neither tar.gz, tar.xz, tar.bz2 nor zip")


def place(name: str) -> PurePosixPath:
    """Return the path of an entry below the archive's top. Raises SourceError when it is not there."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise SourceError(f"the archive holds {name!r}, which leads out of it: it is not used")
    return path


def lay_out(entries: Iterable[Entry], into: Path, meter: Meter) -> None:
    """Write the entries below a directory."""
    directories, files, links = {PurePosixPath()}, set[PurePosixPath](), set[PurePosixPath]()
    into.mkdir()
    for number, entry in enumerate(entries):
        path = place(entry.name)
        is_directory = entry.kind == tarfile.DIRTYPE
        if number >= MOST_ENTRIES:
            raise SourceError(f"the archive holds more than {MOST_ENTRIES} entries: it is not used")
        if links.intersection(path.parents):
            raise SourceError(f"the archive holds {entry.name!r}, which leads through a link: it is not used")
        if (files | links).intersection((path, *path.parents)) or (path in directories and not is_directory):
            raise SourceError(f"the archive holds {entry.name!r} twice: it is not used")
        (into / path if is_directory else (into / path).parent).mkdir(parents=True, exist_ok=True)
        directories.update({path, *path.parents} if is_directory else path.parents)
        if entry.kind == tarfile.SYMTYPE:
            links.add(path)
            (into / path).symlink_to(entry.target)
        elif not is_directory:
            if entry.kind == tarfile.LNKTYPE and place(entry.target) not in files:
                raise SourceError(f"the archive holds {entry.name!r}, a link to what it does not hold: it is not used")
            files.add(path)
            write(entry, into, into / path, meter)
    for path in directories:
        os.utime(into / path, (0, 0))


def write(entry: Entry, top: Path, path: Path, meter: Meter) -> None:
    """Write a file of an archive, or one that is the same as an earlier one."""
    if entry.kind == tarfile.LNKTYPE:
        shutil.copyfile(top / place(entry.target), path)
    elif entry.kind == tarfile.REGTYPE and entry.content:
        with path.open("xb") as file:
            while content := meter.count(entry.content.read(CHUNK)):
                file.write(content)
    else:
        raise SourceError(f"the archive holds {entry.name!r}, which is no file, directory or link: it is not used")
    path.chmod(0o755 if entry.executable else 0o644)
    os.utime(path, (max(0, entry.mtime),) * 2)


def download(url: str, into: Path, seconds: float) -> None:
    """Download a file."""
    address = urlsplit(url)
    login, _, server = address.netloc.rpartition("@")
    request = urllib.request.Request(address._replace(netloc=server).geturl())  # noqa: S310 - preflight saw the scheme
    if login:
        user, _, password = login.partition(":")
        plain = f"{urllib.request.unquote(user)}:{urllib.request.unquote(password)}"  # type: ignore[attr-defined]
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(plain.encode()).decode()}")
    end = time.monotonic() + seconds
    try:
        with urllib.request.urlopen(request, timeout=ANSWERS_WITHIN) as answer, into.open("wb") as file:  # noqa: S310
            while content := answer.read(CHUNK):
                file.write(content)
                if file.tell() > MOST_BYTES or time.monotonic() > end:
                    limit = f"{MOST_BYTES // 2**20} MiB" if file.tell() > MOST_BYTES else f"{seconds:.0f} s"
                    raise SourceError(f"{mask(url)} takes more than {limit}")
    except OSError as error:
        raise SourceError(f"{mask(url)} cannot be downloaded: {getattr(error, 'reason', None) or error}") from None


def get_archive(wanted: Wanted, work: Path) -> Answer:
    """Get an archive by its checksum."""
    checksum = wanted.archive_checksum.removeprefix("sha256:").lower()
    identity = named(checksum, wanted.source_directory)
    answer = at_hand(wanted, identity)
    if answer:
        return answer
    archive = Path(wanted.source)
    if "://" in wanted.source:
        archive = work / "archive"
        download(wanted.source, archive, wanted.seconds)
    found = hashlib.sha256()
    with archive.open("rb") as file:
        while content := file.read(CHUNK):
            found.update(content)
    if found.hexdigest() != checksum:
        raise SourceError(
            f"{mask(wanted.source)} has the checksum sha256:{found.hexdigest()}, not flask_apache_archive_checksum: "
            "it is not the file that was meant"
        )
    unpack(archive, work / "tree")
    tops = list((work / "tree").iterdir())
    top = tops[0] if len(tops) == 1 and tops[0].is_dir() and not tops[0].is_symlink() else work / "tree"
    try:
        members = pack.collect(part(top, wanted.source_directory), [])
    except SourceError as error:
        raise SourceError(f"the archive's {str(error).replace(f'{top}/', '')}") from None
    return packed(wanted, members, identity)


# --- package, directory ----------------------------------------------------------------------------------------------


def get_package(wanted: Wanted, work: Path) -> Answer:
    """Make a source that only requires a package: from an index by name==version, or a wheel that comes with it."""
    tree = work / "tree"
    tree.mkdir()
    requirement = wanted.source
    if wheel := re.fullmatch(r"(.*/)([^/]+\.whl)(\[.*\])?", requirement):
        shutil.copyfile(wheel[1] + wheel[2], tree / wheel[2])
        requirement = f"./{wheel[2]}{wheel[3] or ''}"
    lines = "\n".join((requirement, *wanted.package_requirements))
    (tree / "requirements.txt").write_text(f"{lines}\n", encoding="utf-8")
    members = pack.collect(tree, [])
    for _, _, member in members:
        member.mtime = 0
    return packed(wanted, members)


def get_directory(wanted: Wanted, _work: Path) -> Answer:
    """Take a directory of the controller."""
    top = Path(os.path.abspath(wanted.source))
    directory = part(top, wanted.source_directory)
    ships = pack.not_ignored(top, directory) if wanted.source_gitignore else pack.everything
    return packed(wanted, pack.collect(directory, wanted.source_exclude, ships))


GETTERS = {"directory": get_directory, "git": get_git, "archive": get_archive, "package": get_package}


# --- All of them -----------------------------------------------------------------------------------------------------


def part(top: Path, directory: str) -> Path:
    """Return the directory of a source that holds the app."""
    path = top / directory
    if not path.is_dir() or not path.resolve().is_relative_to(top.resolve()):
        raise SourceError(f"the source has no directory {directory} (flask_apache_source_directory)")
    return path


def cached(wanted: Wanted, identity: str) -> Path:
    """Return where the archive of a source is kept."""
    return Path(wanted.cache).expanduser() / f"{identity}.tar.gz"


def at_hand(wanted: Wanted, identity: str) -> Answer | None:
    """Return the answer that needs no work: the host has it, it was packed before, or it is only a plan."""
    archive = cached(wanted, identity)
    if identity not in wanted.have and wanted.archive < 0 and archive.exists():
        return {"id": identity, "archive": str(archive)}
    return {"id": identity, "archive": None} if identity in wanted.have or wanted.plan else None


def packed(wanted: Wanted, members: pack.Members, identity: str = "") -> Answer:
    """Pack a source, by default under the id of its content."""
    identity = identity or pack.identify(members)
    archive = cached(wanted, identity)
    if wanted.archive >= 0 or not archive.exists():
        pack.pack(members, archive)
    if wanted.archive >= 0:
        with archive.open("rb") as file, os.fdopen(wanted.archive, "wb") as out:
            shutil.copyfileobj(file, out)
        archive.unlink()
    return {"id": identity, "archive": str(archive)}


@contextlib.contextmanager
def workplace(wanted: Wanted) -> Iterator[Path]:
    """Make a directory for this run in the cache; of two runs the second waits, and finds the first one's archive."""
    cache = Path(wanted.cache).expanduser()
    if wanted.plan and wanted.type == "git":
        yield cache
        return
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache.glob("work-*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix="work-", dir=cache) as work:
            yield Path(work)


def get(wanted: Wanted) -> Answer:
    """Get the source."""
    with workplace(wanted) as work:
        return GETTERS[wanted.type](wanted, work)


def get_as(wanted: Wanted) -> Answer:
    """Let the unprivileged user get the source, and take the archive; that user's files are not trusted."""
    user, incoming = pwd.getpwnam(wanted.user), Path(wanted.incoming)
    have = (*wanted.have, *(path.name.partition(".")[0] for path in incoming.glob("*.tar.gz")))
    with tempfile.NamedTemporaryFile(dir=None if wanted.plan else incoming, prefix=".fetched.", delete=False) as file:
        try:
            inner = replace(wanted, user="", incoming="", archive=-1 if wanted.plan else file.fileno(), have=have)
            done = subprocess.run(
                ["nice", sys.executable, "-B", os.path.abspath(__file__)],
                input=json.dumps(inner.__dict__),
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
                umask=0o077,
                cwd="/",
                pass_fds=[file.fileno()],
                check=False,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
            )
            if not done.stdout:
                raise SourceError(f"the source cannot be fetched: {done.stderr.strip()[-1000:]}")
            answer: Answer = json.loads(done.stdout)
            if answer.get("archive") and re.fullmatch(r"[0-9a-f]{12}", answer["id"]):
                os.fsync(file.fileno())
                answer["archive"] = str(incoming / f"{answer['id']}.tar.gz")
                os.replace(file.name, answer["archive"])
        finally:
            Path(file.name).unlink(missing_ok=True)
    return answer


def main() -> int:
    """Read what is wanted, and print the answer."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that secrets are removed
    try:
        given: dict[str, Any] = json.load(sys.stdin)
        fields: dict[str, Any] = {name: tuple(of) if isinstance(of, list) else of for name, of in given.items()}
        wanted = Wanted(**fields)
        answer = get_as(wanted) if wanted.user else get(wanted)
    except SourceError as error:
        answer = {"failed": True, "msg": mask(str(error)).replace("\n", " ")}
    except Exception as error:  # noqa: BLE001 - of the machine, or a mistake here: the role has only this answer
        answer = {"failed": True, "msg": mask(f"{type(error).__name__}: {error}").replace("\n", " ")}
    print(json.dumps(answer))
    return int(bool(answer.get("failed")))


if __name__ == "__main__":
    sys.exit(main())
