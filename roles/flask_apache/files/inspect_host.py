#!/usr/bin/env python3
"""Describe the host, for the role's checks. Reads only; needs nothing but Python 3.9 and its standard library.

The role pipes this program to the host's Python before anything is installed there. The one argument is a JSON
object: ``app``, ``user``, ``python`` (interpreter), ``packages`` (names), ``places`` (directories with ``path``,
``owner``, ``group`` and ``mode``), ``files`` (paths). Prints one JSON object; ``main`` lists its keys.
"""

from __future__ import annotations

import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

CONF = Path("/etc/flask-apache")
APACHE = Path("/etc/apache2")
PAGE = Path("/var/www/html")
DEFAULT_SITE = APACHE / "sites-enabled/000-default.conf"
REPLACED_SITE = APACHE / "sites-available/flask-apache-replaced.conf"
UNITS = Path("/etc/systemd/system")
STAMPS = Path("/var/lib/systemd/timers")
DATA = Path("/var/lib/flask-apache")
APP_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
LISTENING = "0A"  # the state TCP_LISTEN in /proc/net/tcp


def run(*command: str) -> str:
    """Return a command's output, or nothing when it fails or does not exist."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def read(path: Path) -> str:
    """Return a file's text, or nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def distribution() -> tuple[str, str]:
    """Return the distribution's name and version as Ansible names them, such as ``Debian`` and ``12``."""
    found = dict(re.findall(r'^(ID|VERSION_ID)="?([^"\n]*)', read(Path("/etc/os-release")), re.MULTILINE))
    return found.get("ID", "unknown").capitalize(), found.get("VERSION_ID", "")


def packages(names: list[str]) -> dict[str, str]:
    """Return the installed ones of the named Debian packages with their upstream versions."""
    lines = run("dpkg-query", "-W", "-f", r"${binary:Package} ${db:Status-Abbrev} ${Version}\n").splitlines()
    installed = {}
    for line in lines:
        name, state, version = line.split()[:3]
        if state == "ii":
            installed[name.partition(":")[0]] = re.sub(r"^\d+:|[-+~].*", "", version)
    return {name: installed[name] for name in names if name in installed}


def listeners() -> dict[str, str]:
    """Return the program that listens on each TCP port, such as ``{"80": "nginx (pid 12)"}``."""
    ports = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in read(Path(table)).splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING:
                ports[f"socket:[{fields[9]}]"] = str(int(fields[1].rpartition(":")[2], 16))
    programs = dict.fromkeys(ports.values(), "another program")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            sockets = {os.readlink(entry.path) for entry in os.scandir(process / "fd")}
        except OSError:
            continue
        for socket in sockets & ports.keys():
            programs[ports[socket]] = f"{read(process / 'comm').strip()} (pid {process.name})"
    return programs


def user(name: str) -> dict[str, Any] | None:
    """Return what is known of a Unix user."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return {"uid": entry.pw_uid, "home": entry.pw_dir, "shell": entry.pw_shell, "group": group(entry.pw_gid)}


def group(wanted: str | int) -> str | None:
    """Return the name of a Unix group, if there is one."""
    try:
        return (grp.getgrnam(wanted) if isinstance(wanted, str) else grp.getgrgid(wanted)).gr_name
    except KeyError:
        return None


def interpreter(path: str) -> str | None:
    """Return the minor version of a Python interpreter, such as ``3.11``, or None when it does not run."""
    return run(path, "-c", "import sys; print('{}.{}'.format(*sys.version_info))") or None


def as_wanted(place: dict[str, str]) -> bool:
    """Tell whether a directory is there, and has its owner, group and mode."""
    try:
        status = os.lstat(place["path"])
        owner, mode = pwd.getpwuid(status.st_uid).pw_name, f"{stat.S_IMODE(status.st_mode):04o}"
    except (OSError, ValueError, KeyError):
        return False
    wanted = (place["owner"], place["group"], place["mode"])
    return stat.S_ISDIR(status.st_mode) and (owner, group(status.st_gid), mode) == wanted


def files(paths: list[str]) -> dict[str, str]:
    """Return the mode and the SHA-256 of those files that there are and that are root's: ``{path: "0644 01ef…"}``."""
    found = {}
    for path in paths:
        try:
            status, content = os.lstat(path), Path(path).read_bytes()
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(status.st_mode) and (status.st_uid, status.st_gid) == (0, 0):
            found[path] = f"{stat.S_IMODE(status.st_mode):04o} {hashlib.sha256(content).hexdigest()}"
    return found


def links() -> dict[str, str]:
    """Return what Apache's directories of enabled and of available things hold: links' targets, ``file`` for others."""
    paths = [
        *APACHE.glob("*-enabled/*"),
        *APACHE.glob("*-available/flask[-_]apache*"),
        *APACHE.glob("sites-available/*"),
        *CONF.glob("vhosts/*"),
        *CONF.glob("vhosts/*/*"),
    ]
    return {str(path): os.readlink(path) if path.is_symlink() else "file" for path in paths}


def apps() -> list[dict[str, Any]]:
    """Return the declarations of the apps on this host."""
    found = []
    for path in sorted(CONF.glob("*/app.json")):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
    return [app for app in found if isinstance(app, dict)]


def is_stock(site: Path) -> bool:
    """Tell whether a site is Debian's own default site, unmodified and with nothing but its own page."""
    digest = hashlib.md5(read(site).encode(), usedforsecurity=False).hexdigest()
    return (
        site.name == "000-default.conf"
        and digest in run("dpkg-query", "-W", "-f", "${Conffiles}", "apache2")
        and {path.name for path in PAGE.glob("*")} <= {"index.html"}
        and (
            not (PAGE / "index.html").exists()
            or "Debian" in read(PAGE / "index.html")
            or "Ubuntu" in read(PAGE / "index.html")
        )
    )


def is_calendar(text: str) -> bool:
    """Tell whether systemd reads a text as times of a calendar; without it no timer is declared."""
    return shutil.which("systemd-analyze") is None or bool(run("systemd-analyze", "calendar", "--", text))


def without_absent_modules(text: str) -> str:
    """Return configuration without the <IfModule> sections of modules that are not enabled."""

    def keep(section: re.Match[str]) -> str:
        name = re.sub(r"^mod_|(_module|\.c)$", "", section[1])
        return section[2] if (APACHE / "mods-enabled" / f"{name}.load").exists() else ""

    return re.sub(r"(?msi)^\s*<IfModule\s+(\w[\w.]*)>(.*?)^\s*</IfModule>", keep, text)


def configuration() -> dict[str, Any]:
    """Return what the enabled Apache configuration that is not the role's says."""
    sites, ports, embedded = [], [], []
    for path in sorted(
        [
            APACHE / "apache2.conf",
            APACHE / "ports.conf",
            *APACHE.glob("conf-enabled/*"),
            *APACHE.glob("sites-enabled/*"),
        ]
    ):
        if "flask-apache" in path.name:
            continue
        text = without_absent_modules(re.sub(r"(?m)^\s*#.*", "", read(path)))
        ports += re.findall(r"(?mi)^\s*Listen\s+(?:\S*:)?(\d+)\b", text)
        if re.search(r"(?mi)^\s*WSGI(ScriptAlias|HandlerScript)", text):
            embedded.append(str(path))
        for addresses, block in re.findall(r"(?msi)^\s*<VirtualHost\s+([^>]*)>(.*?)</VirtualHost>", text):
            names = " ".join(re.findall(r"(?mi)^\s*Server(?:Name|Alias)\s+(.*)", block)).lower().split()
            hosts = [re.sub(r'^"?(https?://)?|(:\d+)?"?$', "", name) for name in names]
            numbers = re.findall(r":(\d+)(?=\s|$)", addresses) or sorted(set(ports))  # none stands for all
            site = {"file": str(path), "hosts": hosts, "stock": is_stock(path)}
            sites += [{**site, "port": int(number)} for number in numbers]
    if not APACHE.is_dir():
        ports = ["80"]  # as Debian's package will have it
    return {"sites": sites, "ports": sorted({int(port) for port in ports}), "wsgi": embedded}


def main() -> None:
    """Print the description."""
    wanted = json.loads(sys.argv[1])
    app = wanted["app"] if APP_NAME.fullmatch(str(wanted["app"])) else "-"
    name, version = distribution()
    own_unit = re.compile(rf"(stamp-)?flask-apache-{app}(-[a-z0-9_]+(@?\.service|\.timer)|\.target)")
    units = [*UNITS.rglob("flask-apache-*"), *STAMPS.glob("stamp-flask-apache-*")]
    found = packages(wanted["packages"])
    pid = read(Path("/run/apache2/apache2.pid")).strip()
    description = {
        "root": os.geteuid() == 0,
        "distribution": name,
        "distribution_version": version,
        "systemd": Path("/run/systemd/system").is_dir(),
        "apache_installed": shutil.which("apache2", path="/usr/sbin") is not None,
        "apache_running": bool(pid) and read(Path("/proc", pid, "comm")).strip() == "apache2",
        "packages_missing": [package for package in wanted["packages"] if package not in found],
        "mod_wsgi_package": found.get("libapache2-mod-wsgi-py3"),
        "python": interpreter(str(wanted["python"])),
        "distribution_python": interpreter("/usr/bin/python3"),
        "apache_enabled": Path("/etc/systemd/system/multi-user.target.wants/apache2.service").exists(),
        "listeners": listeners(),
        "places": [place["path"] for place in wanted["places"] if as_wanted(place)],
        "files": files(wanted["files"]),
        "links": links(),
        "build_user": user("flask-apache-build"),
        "user": user(str(wanted["user"])),
        "group": group(str(wanted["user"])),
        "apps": apps(),
        "configuration": configuration(),
        "default_site": os.readlink(DEFAULT_SITE) if DEFAULT_SITE.is_symlink() else "",
        "replaced_site": os.readlink(REPLACED_SITE) if REPLACED_SITE.is_symlink() else "",
        "data": sorted(path.name for path in DATA.glob("*")),
        "made_user": next((entry.pw_name for entry in pwd.getpwall() if entry.pw_dir == str(DATA / app)), ""),
        "vhost_files": sorted(map(str, CONF.glob("vhosts/*/*.conf"))),
        "units": sorted(str(path) for path in units if own_unit.fullmatch(path.name)),
        "calendars_wrong": [text for text in wanted["calendars"] if not is_calendar(str(text))],
        "wheelhouses": [path.name for path in Path("/srv/flask-apache", app).glob("wheelhouses/[0-9a-f]*")],
        "sources": sorted({path.name.partition("-")[0] for path in Path("/srv/flask-apache", app).glob("releases/*")}),
    }
    print(json.dumps(description))


if __name__ == "__main__":
    main()
