"""What is hardened of the whole Apache: its configuration, and the limits that systemd sets for it.

Both are derived from all apps of the host: called under the host's lock.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flask_apachectl import paths
from flask_apachectl.apache import acme, others
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, facts, report
from flask_apachectl.host.desired import Directory, File, Link

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flask_apachectl.declaration import Site
    from flask_apachectl.host.desired import Change, Wanted

ENABLED = f"zz-{paths.HARDENED}"  # Apache reads it after Debian's security.conf
DROP_IN = "apache2.service.d/flask-apache.conf"  # below systemd's directory
HEAD = "# Made by flask-apachectl for all of its apps: docs/hardening.md\n\n[Service]\n"
# What Apache and the modules of Debian write, besides the apps' data and logs.
WRITABLE = ("/run", "/var/cache/apache2", "/var/lib/apache2", "/var/log", "/var/log/apache2")
OF_KERNEL = ("/dev/", "/proc/", "/sys/")  # where logs may lead that are a container's output
HOMES = ("/home", "/root", "/run/user")  # what ProtectHome hides
# Root starts the daemon processes of other users and signals them, binds port 80, and reads keys of other owners.
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
SETTINGS = (
    ("CapabilityBoundingSet", " ".join(f"CAP_{name}" for name in CAPABILITIES)),
    ("LockPersonality", "yes"),
    ("NoNewPrivileges", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateMounts", "yes"),
    ("PrivateTmp", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHome", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectProc", "invisible"),
    ("ProtectSystem", "strict"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallErrorNumber", "EPERM"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallFilter", "~@resources"),
)

# Debian's unit lets systemd guess which process is Apache's first one. It fails where more than one is left, and then
# nobody starts Apache again; nor is it started after an end for lack of memory.
SUPERVISED = "OOMPolicy=continue\nPIDFile={pid}\nRestart=on-abnormal\n"
PID_FILE = re.compile(r"(?m)^\s*export\s+APACHE_PID_FILE=(?:/var)?/run/apache2\$SUFFIX/apache2\.pid$")


class Limits(NamedTuple):
    """What of a sandbox decides whether Apache starts: a trial start has the same."""

    writable: list[str]  # paths; nothing for all
    hidden: list[str]  # directories
    capabilities: list[str]  # of root, in lower case without CAP_; nothing for all


def wanted(apps: Mapping[str, Site], *, is_declared: bool) -> list[Wanted]:
    """Return what is hardened while all apps have it so; ``is_declared`` tells that its file is just being written."""
    link = paths.APACHE / "conf-enabled" / ENABLED
    file = paths.APACHE / "conf-available" / paths.HARDENED
    is_there = is_declared or file.exists()
    enabled = (
        Link(link, f"../conf-available/{paths.HARDENED}") if is_there and is_hardened(apps.values()) else Link(link)
    )
    return [enabled, *([] if apps else [Link(file)])]


def unit(apps: Mapping[str, Site]) -> list[Wanted]:
    """Return the file by which systemd limits Apache, where systemd runs it."""
    path = paths.UNITS / DROP_IN
    text = sandbox(apps) if paths.SYSTEMD.is_dir() else ""
    certificates = acme.store()  # it must be there when Apache starts
    if not text:
        is_only = {each.name for each in path.parent.glob("*")} == {path.name}
        is_empty = certificates.is_dir() and not any(certificates.iterdir())
        goes = [certificates] * is_empty + [path.parent if is_only else path] * os.path.lexists(path)
        return [Link(each) for each in goes]
    made = [] if certificates.is_dir() else [acme.directory()]
    return [*made, Directory(path.parent, "root", "root", 0o755), File(path, text.encode())]


def concerns_unit(changes: Iterable[Change]) -> bool:
    """Tell whether systemd has to read the file again."""
    return any(Path(change.path) in (path, path.parent) for change in changes for path in [paths.UNITS / DROP_IN])


def restore(changes: Iterable[Change]) -> None:
    """Let systemd limit Apache as it did before changes: Apache does not start with the new limits."""
    path = paths.UNITS / DROP_IN
    shown = next((change.before for change in changes if change.path == str(path)), "")
    _, is_ours, settings = shown.partition(HEAD)  # a difference may begin with the file's owner and mode
    if is_ours:
        desired.make(File(path, f"{HEAD}{settings}".encode()))
    else:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another file is there
            path.parent.rmdir()


def is_hardened(apps: Iterable[Site]) -> bool:
    """Tell whether the whole Apache is hardened: at least one app, and none that turns it off."""
    return {site.harden_server for site in apps} == {True}


def sandbox(apps: Mapping[str, Site]) -> str:
    """Return the limits of all apps as systemd reads them; nothing where there are to be none."""
    modes = {site.sandbox for site in apps.values()}
    if not is_hardened(apps.values()) or "none" in modes or (modes == {"auto"} and not others.are_none()):
        return ""
    left_out = {name for site in apps.values() for name in site.sandbox_without}
    settings = [(name, value) for name, value in SETTINGS if name not in left_out]
    if "ProtectSystem" not in left_out:
        settings.append(("ReadWritePaths", " ".join(f"-{path}" for path in writable(apps))))
    text = HEAD + "".join(f"{name}={value}\n" for name, value in sorted(settings, key=lambda each: each[0]))
    if PID_FILE.search(facts.read(paths.APACHE / "envvars")):
        text += SUPERVISED.format(pid=paths.APACHE_PID)
    if facts.read(paths.UNITS / DROP_IN) != text and (problem := problem_of(tuple(settings))):
        if "always" in modes:
            raise RefusedError(
                f"systemd cannot limit Apache on this host: {problem}\nSet flask_apache_sandbox to none or auto, or "
                "leave settings out with flask_apache_sandbox_without"
            )
        report.say(f"keep    Apache without limits of systemd, which cannot set them here: {problem}")
        return ""
    return text


def limits(apps: Mapping[str, Site]) -> Limits | None:
    """Return what Apache cannot do once it is started with its sandbox, if there is one."""
    text = sandbox(apps) if paths.SYSTEMD.is_dir() else ""
    has = re.findall(r"(?m)^(\w+)=", text)
    return (
        Limits(
            writable(apps) if "ProtectSystem" in has else [],
            list(HOMES) if "ProtectHome" in has else [],
            [name.lower() for name in CAPABILITIES] if "CapabilityBoundingSet" in has else [],
        )
        if has
        else None
    )


def writable(apps: Mapping[str, Site]) -> list[str]:
    """Return the directories in which Apache and the apps write: where links lead, and each only once."""
    own = [*map(Path, WRITABLE), acme.store(), paths.VAR_LIB, paths.VAR_LOG]
    for name, site in apps.items():
        logs = [Path(log).parent for log in (site.access_log, site.error_log) if log != paths.JOURNAL]
        own += [paths.VAR_LIB / name, *logs]
        own += map(Path, site.sandbox_writable)
    links = [path for top in own for path in sorted(Path(top).glob("*")) if path.is_symlink()]
    links = [path for path in links if not path.readlink().as_posix().startswith(OF_KERNEL)]
    own += [path if path.is_dir() else path.resolve().parent for path in links]
    found = sorted({os.path.realpath(path) for path in own})
    return [path for path in found if not any(Path(path).is_relative_to(top) for top in found if top != path)]


@lru_cache(maxsize=4)
def problem_of(settings: tuple[tuple[str, str], ...]) -> str:
    """Say why systemd cannot run a program with settings on this host; nothing when it can."""
    words = [word for name, value in settings for word in ("-p", f"{name}={value}")]
    command = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", *words, "true"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return "" if done.returncode == 0 else done.stderr.strip() or f"a trial ended with {done.returncode}"


def is_in_effect(pid: int | None) -> bool:
    """Tell whether a process runs with the sandbox: Debian's own unit does not forbid new privileges."""
    return re.search(r"(?m)^NoNewPrivs:\s*1$", facts.read(Path(f"/proc/{pid}/status"))) is not None
