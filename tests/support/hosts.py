"""Hosts to deploy to: containers that run commands, take files, and are asked over HTTP from outside."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import shlex
import socket
import ssl
import subprocess
import tarfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support import images
from tests.support.commands import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

OWNER_LABEL = "flask-apache-test.owner"
BOOT_SECONDS = 60

# What a container's programs write is never brought to disk: fsync and its like do nothing. Hosts share one disk, and
# would wait for each other's data most of the time.
NO_SYNC = Path(__file__).with_name("no_sync.json")
# systemd as PID 1 without --privileged, on cgroup version 2. Docker's own tmpfs would be noexec.
SYSTEMD_FLAGS = (
    *("--cap-add=SYS_ADMIN", "--security-opt=apparmor=unconfined"),
    *("--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw"),
    *("--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec"),
)

LIST_FILES = """
import grp, hashlib, json, os, pwd, stat, sys

def name(lookup, number):
    try:
        return lookup(number)[0]
    except KeyError:
        return str(number)

def describe(path):
    status = os.lstat(path)
    content = ""
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
    elif stat.S_ISLNK(status.st_mode):
        content = "-> " + os.readlink(path)
    owner, group = name(pwd.getpwuid, status.st_uid), name(grp.getgrgid, status.st_gid)
    return stat.filemode(status.st_mode), owner, group, status.st_size, status.st_mtime_ns, content

found = {}
for top in json.loads(sys.argv[1]):
    if not os.path.lexists(top):
        continue
    found[top] = describe(top)
    for directory, directories, files in os.walk(top):
        for entry in directories + files:
            path = os.path.join(directory, entry)
            try:
                found[path] = describe(path)
            except FileNotFoundError:
                pass
json.dump(found, sys.stdout)
"""


class Response(NamedTuple):
    """What a host answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:  # noqa: ANN401 - whatever the app answers
        """Return the body's JSON, parsed."""
        return json.loads(self.body)


class FileState(NamedTuple):
    """One entry of `Host.snapshot`."""

    mode: str
    """As `ls -l` shows it: ``-rw-r--r--``."""
    owner: str
    group: str
    size: int
    mtime_ns: int
    content: str
    """A file's sha256, a link's ``-> target``, empty for others."""


@dataclass(frozen=True)
class Host:
    """A container that plays a host. `start` and `attach` make one."""

    name: str
    distribution: str
    ip: str

    def run(
        self,
        command: str | Sequence[str],
        *,
        check: bool = True,
        user: str | None = None,
        stdin: str | bytes | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, through `sh -c` when it is a string, as root or as another user.

        Raises AssertionError, with all that it printed, when it fails and ``check`` is true.
        """
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        flags = ["--interactive"] if stdin is not None else []
        flags += [f"--user={user}"] if user else []
        done = subprocess.run(
            ["docker", "exec", *flags, self.name, *argv],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            check=False,
            timeout=timeout,
        )
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if check and done.returncode != 0:
            raise AssertionError(f"{self.name}: {shlex.join(argv)!r} ended with {done.returncode}\n{out}{err}")
        return subprocess.CompletedProcess(argv, done.returncode, out, err)

    def http(
        self,
        path: str,
        host: str | None = None,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | str | None = None,
        port: int = 80,
        https: bool = False,
        timeout: float = 60,
    ) -> Response:
        """Ask from outside, as a visitor of the name ``host`` (the IP address without it).

        Redirects are not followed, certificates are not verified (read them with `certificate`).
        Raises OSError or http.client.HTTPException when there is no answer within ``timeout`` seconds.
        """
        connection: http.client.HTTPConnection
        if https:
            port = 443 if port == 80 else port
            connection = http.client.HTTPSConnection(self.ip, port, timeout=timeout)
            connection.sock = self._tls(host, port, timeout)
        else:
            connection = http.client.HTTPConnection(self.ip, port, timeout=timeout)
        try:
            connection.request(method, path, body, {"Host": host or self.ip, **(headers or {})})
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def certificate(self, host: str, port: int = 443) -> str:
        """Return the certificate, as PEM, that the host shows to a visitor of the name ``host``."""
        with self._tls(host, port, timeout=30) as connection:
            return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")

    def _tls(self, host: str | None, port: int, timeout: float) -> ssl.SSLSocket:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection((self.ip, port), timeout=timeout)
        return context.wrap_socket(plain, server_hostname=host)

    def put(self, source: Path, destination: str) -> None:
        """Copy a file or a directory of this machine to a path on the host. All becomes root's."""

        def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.uid = member.gid = 0
            member.uname = member.gname = "root"
            return member

        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.add(source, destination.lstrip("/"), filter=owned_by_root)
        self._unpack(archive)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of root's, and the directories above it."""
        content = text.encode()
        member = tarfile.TarInfo(path.lstrip("/"))
        member.size, member.mode, member.mtime = len(content), mode, time.time()
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(member, io.BytesIO(content))
        self._unpack(archive)

    def _unpack(self, archive: io.BytesIO) -> None:
        # Not `docker cp`, which does not see what is mounted in the container, such as /tmp and /run.
        unpack = ["tar", "--extract", "--file=-", "--directory=/", "--no-overwrite-dir"]
        self.run(unpack, stdin=archive.getvalue())

    def read(self, path: str) -> str:
        """Return a file's text. Raises AssertionError when it cannot be read."""
        return self.run(["cat", path]).stdout

    def exists(self, path: str) -> bool:
        """Say whether there is anything at a path, be it a dangling link."""
        return (
            self.run(["python3", "-c", f"import os; exit(not os.path.lexists({path!r}))"], check=False).returncode == 0
        )

    def snapshot(self, paths: Sequence[str]) -> dict[str, FileState]:
        """Describe all that is at and below some paths; compare two to see what a command touched."""
        done = self.run(["python3", "-", json.dumps(list(paths))], stdin=LIST_FILES)
        return {path: FileState(*state) for path, state in json.loads(done.stdout).items()}

    def pid_of_apache(self) -> int:
        """Return the pid of Apache's parent process. Raises AssertionError when none runs."""
        pid = int(self.read("/run/apache2/apache2.pid"))
        self.run(["test", "-d", f"/proc/{pid}"])
        return pid

    def logs(self) -> str:
        """Return what a person would look at after a failure: the journal's end, and Apache's."""
        return self.run(
            "journalctl --no-pager --lines=40 2>&1; tail -n 40 /var/log/apache2/error.log 2>&1; "
            "tail -n 40 /var/log/flask-apache/*/*error* 2>&1",
            check=False,
        ).stdout

    def remove(self) -> None:
        """End the container at once."""
        _docker("rm", "--force", "--volumes", self.name)


def start(
    distribution: str,
    *,
    init: bool = True,
    name: str | None = None,
    sync: bool = False,
    flags: Sequence[str] = (),
    command: Sequence[str] = (),
) -> Host:
    """Start a host of an image of `images.TAGS`, with systemd, or with `sleep` as PID 1 and no systemd.

    With ``sync``, what its programs bring to disk really gets there. ``flags`` are more of `docker run`; ``command``
    is what becomes systemd instead of the image's own command.
    Raises images.ImageUnavailableError, and SetupError when the container does not come up.
    """
    tag = images.ensure(distribution)
    name = name or f"fa-{distribution.replace('.', '')}-{uuid.uuid4().hex[:8]}"
    common = [f"--name={name}", f"--hostname={name}", f"--label={OWNER_LABEL}={os.getpid()}"]
    if init:
        seccomp = "unconfined" if sync else str(NO_SYNC)
        _docker("run", "--detach", *common, *SYSTEMD_FLAGS, f"--security-opt=seccomp={seccomp}", *flags, tag, *command)
    else:
        _docker("run", "--detach", "--init", *common, tag, "sleep", "infinity")
    host = attach(name, distribution)
    if init:
        _wait_for_systemd(host)
    return host


def attach(name: str, distribution: str = "") -> Host:
    """Return the Host for a container that runs already."""
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return Host(name, distribution, _docker("inspect", f"--format={template}", name).strip())


@contextlib.contextmanager
def starting(image: Callable[[str], object]) -> Iterator[Callable[..., Host]]:
    """Yield a function that starts hosts as `start` does; remove them in the end.

    ``image`` makes sure of an image, or skips the test.
    """
    started: list[Host] = []

    def start_one(distribution: str, *, init: bool = True, flags: Sequence[str] = ()) -> Host:
        image(distribution)
        host = start(distribution, init=init, flags=flags)
        started.append(host)
        return host

    yield start_one
    for host in started:
        host.remove()


def remove_leftovers() -> None:
    """Remove the containers of test runs that were killed: their owner's pid is gone."""
    template = f'--format={{{{.ID}}}} {{{{.Label "{OWNER_LABEL}"}}}}'
    for line in _docker("ps", "--all", f"--filter=label={OWNER_LABEL}", template).splitlines():
        container, owner = line.split()
        if not Path("/proc", owner).exists():
            _docker("rm", "--force", "--volumes", container)


def _wait_for_systemd(host: Host) -> None:
    end = time.monotonic() + BOOT_SECONDS
    state = ""
    while time.monotonic() < end:
        # Without --wait, which fails while the bus is not up yet.
        state = host.run(["systemctl", "is-system-running"], check=False).stdout.strip()
        if state in {"running", "degraded"}:
            return
        time.sleep(0.1)
    raise SetupError(f"{host.name}: systemd is {state or 'not there'} after {BOOT_SECONDS} s")


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SetupError(f"docker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
