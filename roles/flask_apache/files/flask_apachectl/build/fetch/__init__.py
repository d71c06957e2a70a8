"""Get an application's source, wherever it is, and pack it for the host.

`get` runs on the control node, also within Ansible's own process, or on the host as the unprivileged build user. It
needs Python 3.10 and, for git, git with ssh and gpg. Its answer has ``id`` (12 hexadecimal digits: of the commit, or
of the content) and ``archive`` (its path, or None when the host has the source already, or a plan needs none), for
git also ``commit``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl.build.fetch import archive, common, directory, git, package
from flask_apachectl.build.fetch.common import Answer, Wanted
from flask_apachectl.build.fetch.pack import SourceError
from flask_apachectl.host import programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Answer", "SourceError", "Wanted", "as_build_user", "get", "get_on_host"]

GETTERS = {"directory": directory.get, "git": git.get, "archive": archive.get, "package": package.get}
ENDS_WITHIN = 60  # seconds, for a terminated process of the build user, also where the disk is busy


@contextlib.contextmanager
def workplace(wanted: Wanted) -> Iterator[Path]:
    """Make a directory for this run in the cache. Of two runs the second waits, and finds the first one's archive."""
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
    """Get the source. Raises SourceError for every failure, in one line and without credentials."""
    try:
        with workplace(wanted) as work:
            return GETTERS[wanted.type](wanted, work)
    except SourceError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - of this machine, or a defect: its text may hold credentials
        reason = f"{type(error).__name__}: {error}"
    raise SourceError(common.mask(reason).replace("\n", " "))


def as_build_user(given: dict[str, Any]) -> Answer:
    """Get the source in a process of its own, for `get_on_host`. A failure is an answer: ``failed`` and ``msg``.

    Handles SIGTERM and SIGHUP by ending the process, so that secrets are removed.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        return get(Wanted.from_json(given))
    except SourceError as error:
        return {"failed": True, "msg": str(error)}


def get_on_host(wanted: Wanted, command: Sequence[str]) -> Answer:
    """Let the build user (``wanted.user``) get the source, and move the archive to ``wanted.incoming``.

    ``command`` is an argv that gives the JSON object on its standard input to `as_build_user`, and prints the answer.
    That user's answer and files are not trusted. Raises SourceError.
    """
    incoming = Path(wanted.incoming)
    have = (*wanted.have, *(path.name.partition(".")[0] for path in incoming.glob("*.tar.gz")))
    with tempfile.NamedTemporaryFile(dir=None if wanted.plan else incoming, prefix=".fetched.", delete=False) as file:
        try:
            inner = replace(wanted, user="", incoming="", archive=-1 if wanted.plan else file.fileno(), have=have)
            answer = checked(*converse(inner, wanted.user, command, file.fileno()))
            if wanted.plan:
                answer["archive"] = None
            elif answer["archive"]:
                os.fsync(file.fileno())
                answer["archive"] = str(incoming / f"{answer['id']}.tar.gz")
                os.replace(file.name, answer["archive"])
        finally:
            Path(file.name).unlink(missing_ok=True)
    return answer


def converse(wanted: Wanted, user: str, command: Sequence[str], descriptor: int) -> tuple[str, str]:
    """Run a command as a user, with the request on standard input. Returns standard output and error."""
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise SourceError(f"the build user {user} does not exist on this host: run the role") from None
    identity: dict[str, Any] = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    process = subprocess.Popen(
        ["nice", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        umask=0o077,
        cwd="/",
        pass_fds=[descriptor, *programs.inherited()],
        encoding="utf-8",
        errors="replace",
        **(identity if account.pw_uid != os.geteuid() else {}),
    )
    try:
        return process.communicate(json.dumps(asdict(wanted)))
    except BaseException:
        process.terminate()  # killed, it could not remove its secrets
        try:
            process.communicate(timeout=ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        raise


def checked(output: str, errors: str) -> Answer:
    """Return the answer of the build user's process. Raises SourceError unless it is a success, and well-formed."""
    try:
        given = json.loads(output)
    except ValueError:
        reason = common.mask(errors).strip()[-1000:].replace("\n", " ")
        raise SourceError(f"the source cannot be fetched: {reason or 'the process gave no reason'}") from None
    if isinstance(given, dict) and given.get("failed"):
        raise SourceError(str(given.get("msg")))
    patterns = {"id": "[0-9a-f]{12}", "commit": "[0-9a-f]{40}"}
    answer = {key: given.get(key) for key in patterns} if isinstance(given, dict) else {}
    if not answer.get("id") or not all(re.fullmatch(patterns[key], str(each)) for key, each in answer.items() if each):
        raise SourceError("the source cannot be fetched: the build user's process gave a malformed answer")
    return {**{key: each for key, each in answer.items() if each}, "archive": given.get("archive")}
