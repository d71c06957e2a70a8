"""Upgrades of Debian's packages that change the Python that runs the apps."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl.apache import server
from flask_apachectl.diagnosis.finding import RUN_THE_ROLE, WARNING, Kind, command
from flask_apachectl.host import facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_apachectl.diagnosis.finding import Finding

SUBJECT = "Upgrades"
MODULE = "libapache2-mod-wsgi-py3"
SECONDS = 3.0  # that apt may take; 0.02 of them, unless its cache is older than its lists
RESTART = "systemctl restart apache2"
MINOR = Kind(
    SUBJECT,
    "An upgrade is pending that brings another Python",
    WARNING,
    "no release runs with it until the role has built their environments again",
)
LIBRARY = Kind(
    SUBJECT,
    "An upgrade of Python or of mod_wsgi is pending",
    WARNING,
    "it restarts Apache, or processes go on with the old library",
)
DELETED = Kind(
    SUBJECT,
    "Apache still runs a Python library that has been upgraded",
    WARNING,
    "its faults are not mended yet, and old and new parts may not fit together",
)
HELD = Kind(SUBJECT, "A package that serves the apps is held back", WARNING, "it gets no security updates")
KINDS = (MINOR, LIBRARY, DELETED, HELD)


def of_host() -> Iterator[Finding]:
    """Compare what is installed with what apt would install, and with what Apache has loaded."""
    selected = installed()
    held = sorted(name for name, state in selected.items() if state.startswith("h"))
    if held:
        yield HELD.found(f"held back: {', '.join(held)}", command("apt-mark", "unhold", *held))
    pending = {name: pair for name, pair in candidates(list(selected)).items() if pair[0] != pair[1]}
    python = pending.pop("python3", None)
    by_itself = ", and unattended-upgrades installs it by itself" if is_unattended() else ""
    if python and minor(python[0]) != minor(python[1]):
        wrong = f"python3 {python[0]} is installed, and apt would install {python[1]}{by_itself}"
        yield MINOR.found(wrong, f"apt-get dist-upgrade, then {RUN_THE_ROLE} at once")
    pending = {name: pair for name, pair in pending.items() if name not in held}
    if pending:
        told = ", ".join(f"{name} {old} to {new}" for name, (old, new) in sorted(pending.items()))
        fix = command("apt-get", "install", "--only-upgrade", *sorted(pending))
        yield LIBRARY.found(f"pending: {told}{by_itself}", f"at a quiet time: {fix} && {RESTART}")
    old = re.findall(
        r"(?m)(\S*/(?:libpython|mod_wsgi)\S*) \(deleted\)$", facts.read(Path(f"/proc/{server.pid()}/maps"))
    )
    if old:
        wrong = f"Apache runs {', '.join(sorted(set(old)))}, which is on disk no more"
        yield DELETED.found(wrong, RESTART)


def installed() -> dict[str, str]:
    """Return the packages of Python, mod_wsgi and Apache that are installed, with their states, such as ``ii``."""
    asked = ("dpkg-query", "-W", "-f", r"${Package} ${db:Status-Abbrev}\n")
    told = facts.output(*asked, "python3", "python3.*", "libpython3.*", "python3-minimal", "apache2*", MODULE)
    rows = [line.split() for line in told.splitlines()]
    wanted = re.compile(rf"python3|(lib)?python3\.\d+(-minimal|-stdlib)?|apache2(-bin)?|{MODULE}")
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[1][1] == "i" and wanted.fullmatch(row[0])}


def candidates(names: list[str]) -> dict[str, tuple[str, str]]:
    """Return the versions of packages: what is installed, and what apt would install.

    It is asked as nobody, who cannot write its cache; nothing is told when it takes too long.
    """
    names = [name for name in names if not name.startswith("apache2")]
    if not names:
        return {}
    try:
        done = subprocess.run(
            ["apt-cache", "policy", *names],
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            user="nobody",
            group="nogroup",
            extra_groups=[],
        )
    except (OSError, LookupError, subprocess.SubprocessError):
        return {}
    rows = re.findall(r"(?m)^(\S+):\n  Installed: (\S+)\n  Candidate: (\S+)$", done.stdout)
    return {name: (old, new) for name, old, new in rows if "(none)" not in (old, new)}


def minor(version: str) -> str:
    """Return the minor version of a package's version, such as ``3.11``."""
    found = re.match(r"(?:\d+:)?(\d+\.\d+)", version)
    return found[1] if found else version


def is_unattended() -> bool:
    """Tell whether upgrades are installed without anybody's help."""
    if not Path("/usr/bin/unattended-upgrade").exists():
        return False
    texts = [facts.read(path) for path in sorted(Path("/etc/apt/apt.conf.d").glob("*"))]
    found = re.findall(r'(?m)^\s*APT::Periodic::Unattended-Upgrade\s+"(\d+)"', "\n".join(texts))
    return bool(found) and found[-1] != "0"
