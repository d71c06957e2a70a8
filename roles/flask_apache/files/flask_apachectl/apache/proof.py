"""Prove a configuration by a start of Apache aside, before it is installed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import paths
from flask_apachectl.apache import copies, listing
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, files, programs, report

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask_apachectl.apache.hardening import Limits
    from flask_apachectl.apache.listing import Listing
    from flask_apachectl.host.desired import Wanted

COPIED = ("/etc/apache2", "/etc/flask-apache/vhosts")
UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--")
WITHOUT_NETWORK = ("unshare", "--net", "--")
# Apache may be told to listen at addresses of this host, which are not there without its network.
START = """
mount -o remount,bind,rw /proc/sys
for family in ipv4 ipv6; do echo 1 >/proc/sys/net/$family/ip_nonlocal_bind; done
exec 2>&1
. /etc/apache2/envvars && exec "$@" apache2 -DFOREGROUND -DFLASK_APACHE_SHADOW
"""
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - Apache has its own there
NOT_LIMITED = ("/dev", "/proc", "/sys")
SHADOW_SECONDS = 3.0  # a start that will fail has failed by then
# What Apache writes to the programs of its logs must not be lost: it ends them when it fails, perhaps before they have
# read its last words.
LOGGERS = ("/usr/bin/rotatelogs", "/usr/bin/systemd-cat")
PATIENT_LOGGER = "#!/bin/sh\ntrap '' TERM\nexec cat\n"
LOGGER_SECONDS = 5.0
STARTED = ("AH00489", "AH00163")  # the server's own word in its error log that it serves


def shadow(wanted: Sequence[Wanted], aside: Path, limits: Limits | None = None) -> Listing:
    """Start Apache with the wanted configuration where it touches nothing: called in namespaces of its own.

    ``aside`` is an empty directory. Returns what Apache has. Raises RefusedError with what it said when it does not
    come up.
    """

    def mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)

    mount("--make-rprivate", "/")
    log_directories = [Path(top, name) for top, names, _ in os.walk("/var/log") for name in names]  # and links
    mount("-t", "tmpfs", "tmpfs", str(aside))
    for directory in COPIED:
        copy = aside / directory.replace("/", "_")
        files.copy_tree(directory, copy)
        mount("--bind", str(copy), directory)
    for each in wanted:
        if any(each.path.is_relative_to(directory) for directory in COPIED):
            desired.make(each)
    for directory in ("/run/apache2", "/run/lock/apache2", "/var/log"):
        if Path(directory).is_dir():
            mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", directory)
    for path in log_directories:
        path.mkdir(exist_ok=True)
    replace_loggers(aside / "logger", mount)
    output = aside / "output"
    with output.open("w") as file:
        command = [*WITHOUT_NETWORK, "sh", "-c", START, "sh", *confined(limits, mount)]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + SHADOW_SECONDS
    while process.poll() is None:
        if time.monotonic() > deadline or any(word in said(output) for word in STARTED):
            return listing.read()
        time.sleep(0.05)
    await_loggers(deadline + LOGGER_SECONDS)
    raise RefusedError(
        f"Apache does not start with the new configuration:\n{report.tail(said(output), report.LOG_LINES)}"
    )


def replace_loggers(logger: Path, mount: Callable[..., None]) -> None:
    """Let the programs of logs be one that prints all, and writes no log of the host's."""
    logger.write_text(PATIENT_LOGGER)
    logger.chmod(0o755)
    for each in filter(os.path.exists, LOGGERS):
        mount("--bind", str(logger), each)


def confined(limits: Limits | None, mount: Callable[..., None]) -> list[str]:
    """Take from this namespace what Apache's sandbox takes from it. Returns the command that runs Apache in it."""
    if limits is None:
        return []
    for directory in (each for each in limits.hidden if Path(each).is_dir()):
        mount("-t", "tmpfs", "-o", "mode=0000,ro", "tmpfs", directory)
    if limits.writable:
        kept = [path for path in (*limits.writable, *TEMPORARY) if Path(path).is_dir()]
        for path in kept:
            mount("--rbind", path, path)
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in dict.fromkeys(re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), each) for each in points):
            if not any(Path(point).is_relative_to(path) for path in (*kept, *NOT_LIMITED)):
                with contextlib.suppress(subprocess.CalledProcessError):  # such as one below another mount
                    mount("-o", "remount,bind,ro", point)
    if not limits.capabilities:
        return []
    bounding = ",".join(["-all", *(f"+{name}" for name in limits.capabilities)])
    return ["setpriv", "--no-new-privs", f"--bounding-set={bounding}", "--"]


def await_loggers(deadline: float) -> None:
    """Wait for the programs of logs: once Apache has ended, they are children of this process, PID 1 here."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0) or time.monotonic() < deadline:
            time.sleep(0.02)


def said(output: Path) -> str:
    """Return what a shadow printed and logged, without Apache's prefixes, each line once."""
    found = [output, *Path("/var/log").glob("*apache*/**/*.log")]
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in found)
    return "\n".join(dict.fromkeys(report.LOG_PREFIX.sub("", text).splitlines()))


def configtest(wanted: Sequence[Wanted]) -> Listing:
    """Let Apache check the syntax of the wanted configuration, in a copy. A start of Apache would tell more.

    Returns what Apache has then. Raises RefusedError with what it said when the configuration is not valid.
    """
    with copies.of_configuration(wanted) as top:
        try:
            return copies.original(listing.read(f"{top}{paths.APACHE}"), top)
        except RefusedError as refused:
            output = str(refused).replace(top, "")
            raise RefusedError(f"Apache's new configuration is not valid:\n{output}") from None


def prove(wanted: Sequence[Wanted], limits: Limits | None = None) -> Listing:
    """Start Apache aside with the wanted configuration and its sandbox, and return what Apache has then.

    Raises RefusedError when it does not come up.
    """
    if subprocess.run([*UNSHARE, *WITHOUT_NETWORK, "true"], check=False, capture_output=True).returncode:
        report.say("prove   namespaces are not permitted here; running Apache's configtest instead")
        return configtest(wanted)
    report.say("prove   Apache's new configuration")
    with tempfile.TemporaryDirectory(prefix="flask-apache-shadow.") as aside:
        command = [*UNSHARE, *programs.itself(), "--json", "shadow", aside]
        done = subprocess.run(
            command,
            input=json.dumps({"wanted": [desired.to_json(each) for each in wanted], "limits": limits}),
            check=False,
            capture_output=True,
            text=True,
            pass_fds=programs.inherited(),
        )
    try:
        result = json.loads(done.stdout)
    except ValueError:
        raise RefusedError(f"Apache's new configuration could not be proved:\n{report.tail(done.stderr)}") from None
    if result.get("failed"):
        raise RefusedError(result["msg"])
    return listing.of_json(result["listing"])
