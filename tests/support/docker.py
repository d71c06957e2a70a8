"""Docker: use the daemon that runs, else install and start one.

``python3 -m tests.support.docker start|stop|status`` does the same by hand.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.commands import SetupError, apt_install, cache_directory, is_root, run, say

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN_VARIABLE = "FLASK_APACHE_TEST_RUN"  # names the run of tests to which a process belongs
START_SECONDS = 60
STOP_SECONDS = 30

# systemd 257 cannot live in a container below a cgroup tree of mixed versions: there dockerd gets a mount
# namespace of its own, in which /sys/fs/cgroup is version 2 alone.
DOCKERD_UNDER_CGROUP_2 = """
mount --make-rprivate /
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec dockerd
"""


def answers() -> bool:
    """Say whether Docker answers this user."""
    if shutil.which("docker") is None:
        return False
    return run(["docker", "info"], check=False, timeout=30).returncode == 0


def ensure() -> int | None:
    """Make sure that Docker answers.

    Returns the pid of the dockerd that was started for it, None when one answered already or systemd started it.
    Raises SetupError when Docker cannot be reached or started.
    """
    with (cache_directory() / "docker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return None if answers() else _start()


def _start() -> int | None:
    if os.environ.get("DOCKER_HOST"):
        raise SetupError("Docker does not answer at the address in DOCKER_HOST: start it, or unset the variable")
    if not is_root():
        message = (
            "Docker does not answer, and only root can start it: "
            "start it, and let this user talk to it (`docker info` must work)"
        )
        raise SetupError(message)
    if shutil.which("dockerd") is None:
        apt_install("docker.io")
        if answers():
            return None
    if Path("/run/systemd/system").is_dir():
        say("systemctl start docker")
        run(["systemctl", "start", "docker"])
        _wait_until_it_answers(None)
        return None
    return _start_dockerd()


def stop(pid: int) -> None:
    """Stop the dockerd that `ensure` started, and with it all its containers."""
    if _command(pid) != "dockerd":
        return
    say(f"stopping the dockerd that was started for the tests (pid {pid})")
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while _command(pid) == "dockerd" and time.monotonic() < end:
        time.sleep(0.1)
    _pid_file().unlink(missing_ok=True)


@contextlib.contextmanager
def running() -> Iterator[None]:
    """Have Docker for a while; a dockerd that was started for it is stopped afterwards."""
    started = ensure()
    try:
        yield
    finally:
        if started is not None:
            stop(started)


def started_pid(run: str | None = None) -> int | None:
    """Return the pid of a dockerd that was started for tests and still runs: by any run of them, or by one."""
    try:
        first, _, starter = _pid_file().read_text().strip().partition(" ")
        pid = int(first)
    except (OSError, ValueError):
        return None
    return pid if _command(pid) == "dockerd" and run in (None, starter) else None


def _start_dockerd() -> int:
    log = _log_file()
    say(f"starting dockerd (log: {log})")
    argv = ["dockerd"]
    if not _cgroup_2_alone():
        argv = ["unshare", "--mount", "sh", "-c", DOCKERD_UNDER_CGROUP_2]
    with log.open("w") as output:
        daemon = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd="/"
        )
    _wait_until_it_answers(daemon)
    _pid_file().write_text(f"{daemon.pid} {os.environ.get(RUN_VARIABLE, '')}\n")
    return daemon.pid


def _wait_until_it_answers(daemon: subprocess.Popen[bytes] | None) -> None:
    end = time.monotonic() + START_SECONDS
    while not answers():
        if daemon is None and time.monotonic() > end:
            raise SetupError("Docker was started by systemd and does not answer: see `journalctl -u docker`")
        if daemon is not None and (daemon.poll() is not None or time.monotonic() > end):
            last = " / ".join(_log_file().read_text(errors="replace").strip().splitlines()[-3:])
            raise SetupError(f"dockerd does not come up: {last} (log: {_log_file()})")
        time.sleep(0.2)


def _cgroup_2_alone() -> bool:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    kinds = {fields[2] for fields in mounts if fields[1].startswith("/sys/fs/cgroup")}
    return kinds == {"cgroup2"}


def _command(pid: int) -> str:
    """Return the name of a running process, empty when there is none."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    name, _, rest = state.partition("(")[2].rpartition(")")
    return "" if rest.split()[0] == "Z" else name


def _pid_file() -> Path:
    return cache_directory() / "dockerd.pid"


def _log_file() -> Path:
    return cache_directory() / "dockerd.log"


def main(arguments: list[str]) -> int:
    """Start or stop Docker, or report whether it answers."""
    action = arguments[0] if arguments else "status"
    if action == "start":
        ensure()
    elif action == "stop":
        pid = started_pid()
        if pid is None:
            say("no dockerd that was started for the tests runs")
        else:
            stop(pid)
    elif action != "status":
        print("usage: python3 -m tests.support.docker start|stop|status", file=sys.stderr)
        return 2
    running = answers()
    print("Docker answers" if running else "Docker does not answer")
    return 0 if running or action == "stop" else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as error:
        sys.exit(f"error: {error}")
