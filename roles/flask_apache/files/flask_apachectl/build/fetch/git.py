"""A source in a git repository: resolve a version, fetch it, verify its signature, and pack it."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask_apachectl.build.fetch import common, pack
from flask_apachectl.build.fetch.pack import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PRIVATE = "flask-apache-private-"
COMMIT = re.compile(r"[0-9a-f]{40}")
LFS = b"version https://git-lfs.github.com/spec/v1\n"
# Errors of git and ssh, and what they mean: the first match is reported.
MEANINGS = (
    (
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not in flask_apache_git_known_hosts: check that it is the right server, then add its key",
    ),
    (
        r"Permission denied \(.*publickey|invalid format|error in libcrypto",
        "it does not accept flask_apache_git_key: give the key read access, and use a key without a passphrase",
    ),
    (
        r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|returned error: 40[13]",
        "it rejects the credentials: write https://USER:TOKEN@HOST/... (in a vault), or use ssh and a deploy key",
    ),
    (r"Could not resolve host(name)?", "its host name cannot be resolved"),
    (r"Connection refused|Connection timed out|No route to host|Failed to connect", "it cannot be reached"),
    (
        r"(?i)repository '?.*'? ?not found|does not appear to be a git repository|returned error: 404",
        "the repository does not exist, or the credentials do not allow reading it",
    ),
    (r"server certificate verification failed|SSL certificate problem", "its TLS certificate is not trusted here"),
    (
        r"transport '(\S+)' not allowed",
        "it refers to a repository with a protocol that is not allowed: use https or ssh",
    ),
)
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
lowSpeedTime = {common.ANSWERS_WITHIN}
[credential]
helper = {{helper}}
[gpg "ssh"]
allowedSignersFile = {{signers}}
"""


class Git:
    """git without the configuration of this machine and user, and with only the credentials that were given."""

    def __init__(self, wanted: common.Wanted, private: Path, tree: Path) -> None:
        """Write what git needs to a directory that nobody else can read. ``tree`` will be the work tree."""
        self.wanted, self.tree = wanted, tree
        self.deadline = time.monotonic() + wanted.seconds
        address = urlsplit(wanted.source)
        self.url, login = wanted.source, ""
        if address.scheme == "https" and "@" in address.netloc:  # in a URL, every user of this machine could see it
            login, _, server = address.netloc.rpartition("@")
            self.url = address._replace(netloc=server).geturl()
            login = f"https://{login}{'' if ':' in login else ':'}@{server}\n"
        self.shown = common.mask(wanted.source)

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
        """Run a program and return its output. Raises SourceError with the meaning of a failure."""
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
            raise SourceError(
                f"{command[0]} is not installed on the machine that fetches {self.shown}: install it"
            ) from None
        try:
            output, errors = process.communicate(stdin, timeout=max(0.1, self.deadline - time.monotonic()))
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise SourceError(f"{self.shown} was not fetched within {self.wanted.seconds:g} s") from None
            raise
        if process.returncode:
            raise SourceError(f"{self.shown} cannot be fetched: {meaning(errors or output)}")
        return output

    def git(self, *arguments: str) -> str:
        """Run git and return what it printed, without the trailing newline."""
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
            raise SourceError(f"{self.shown} has both a branch and a tag {version}: write {' or '.join(present)}")
        if not present:
            known = sorted(
                {name.split("/", 2)[-1].removesuffix("^{}") for name in self.refs("refs/heads/*", "refs/tags/*")}
            )
            nearest = difflib.get_close_matches(version, known, n=5, cutoff=0.3) or known[:5]
            is_short = re.fullmatch(r"[0-9a-f]{7,39}", version)
            advice = "write all 40 digits of the commit" if is_short else f"it has {', '.join(nearest) or 'none'}"
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
        except SourceError:  # not every server serves commits that no branch points to
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
                f"{self.shown}: commit {commit[:12]} ({self.wanted.git_version}) {what}, so it is refused"
            ) from None

    def check_out(self, commit: str) -> int:
        """Check the commit out into the work tree. Returns its time (seconds since 1970)."""
        self.git("checkout", "--quiet", "--detach", commit)
        if self.wanted.git_submodules and (self.tree / ".gitmodules").exists():
            depth = [f"--depth={self.wanted.git_depth}"] if self.wanted.git_depth else []
            self.git("submodule", "--quiet", "update", "--init", "--recursive", *depth)
        return int(self.git("log", "-1", "--format=%ct", commit))


def meaning(errors: str) -> str:
    """Return the meaning of git's error output, in one line."""
    for pattern, text in MEANINGS:
        if re.search(pattern, errors):
            return text
    lines = [line.strip() for line in common.mask(errors).splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (fatal or lines or ["git gave no reason"])[-1]


@contextlib.contextmanager
def private_directory() -> Iterator[Path]:
    """Make a directory for secrets, and remove those of runs that were killed.

    A run has locked its own for as long as it lives, and gives it the name that is looked for once it is locked.
    """
    temporary = Path(tempfile.gettempdir())
    for left in temporary.glob(f"{PRIVATE}*"):
        with contextlib.suppress(OSError):  # another user's, or in use
            if left.lstat().st_uid == os.geteuid():
                with locked(left):
                    shutil.rmtree(left)
    made = Path(tempfile.mkdtemp(prefix="flask-apache-"))
    try:
        with locked(made):
            made = made.rename(made.with_name(made.name.replace("flask-apache-", PRIVATE, 1)))
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock a directory. Raises OSError when another process has locked it, or it is a link."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def get(wanted: common.Wanted, work: Path) -> common.Answer:
    """Get a version of a repository."""
    with private_directory() as private:
        git = Git(wanted, private, work / "tree")
        ref, commit = git.resolve()
        shape = (wanted.source_directory, "" if wanted.git_submodules else "without submodules")
        verified = Path(wanted.cache).expanduser() / f"{commit}-{common.digest(*wanted.git_signers)[:12]}.verified"
        if wanted.plan or not wanted.git_signers or verified.exists():
            answer = common.available(wanted, common.source_id(commit, *shape))
            if answer:
                return {**answer, "commit": commit}
        commit = git.fetch(ref, commit)
        if wanted.git_signers:
            git.verify(ref, commit)
        made = git.check_out(commit)
        members = pack.collect(common.app_directory(work / "tree", wanted.source_directory), [])
        for name, path, member in members:
            member.mtime = made
            if member.isreg() and member.size < 1024 and path.read_bytes().startswith(LFS):  # noqa: PLR2004
                raise SourceError(
                    f"{git.shown} keeps {name} in Git LFS, which is not supported: commit the file itself"
                )
        answer = common.packed(wanted, members, common.source_id(commit, *shape))
        if wanted.git_signers:
            verified.with_name(f"{commit}-{common.digest(*wanted.git_signers)[:12]}.verified").touch()
        return {**answer, "commit": commit}
