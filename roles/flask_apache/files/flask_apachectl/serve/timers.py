"""Timers of systemd that belong to the host: each is there as long as some app wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from flask_apachectl import paths
from flask_apachectl.apache import acme
from flask_apachectl.host import desired
from flask_apachectl.host.desired import Directory, File, Link
from flask_apachectl.serve import collector, units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask_apachectl.declaration import Site
    from flask_apachectl.host.desired import Wanted

    Apps = Mapping[str, Site]

HEAD = "# Made by flask-apachectl for the apps that declare {variable}. Do not edit.\n"


class Kind(Protocol):
    """A module that knows a timer."""

    NAME: str  # of its service and its timer, without .service and .timer
    VARIABLE: str  # by which apps want it
    TIMER: str  # its text

    def users(self, apps: Apps) -> list[Site]:
        """Return the apps that want it."""

    def service(self, apps: Apps) -> str:
        """Return the text of its service."""

    def left(self, apps: Apps) -> list[Wanted]:
        """Return what else is to go: what no app wants any more."""


KINDS: tuple[Kind, ...] = (acme, collector)


def wanted(apps: Apps) -> list[Wanted]:
    """Return the timers' files, and those that are to go, given all apps of the host."""
    return [step for kind in KINDS for step in _wanted(kind, apps)]


def _wanted(kind: Kind, apps: Apps) -> list[Wanted]:
    service, timer = (paths.UNITS / f"{kind.NAME}.{suffix}" for suffix in ("service", "timer"))
    enabled = paths.UNITS / "timers.target.wants"
    link = enabled / timer.name
    if not kind.users(apps):
        return [*kind.left(apps), Link(link), Link(timer), Link(service)]
    head = HEAD.format(variable=kind.VARIABLE)
    return [
        *kind.left(apps),
        File(service, (head + kind.service(apps)).encode()),
        File(timer, (head + kind.TIMER).encode()),
        Directory(enabled, "root", "root", 0o755),
        Link(link, f"../{timer.name}"),
    ]


def idle(apps: Apps) -> list[str]:
    """Return the timers that some app wants and that systemd does not run, or not as their files say."""
    return [f"{kind.NAME}.timer" for kind in KINDS if _is_to_run(kind, apps) and not _runs(kind)]


def _runs(kind: Kind) -> bool:
    names = (f"{kind.NAME}.timer", f"{kind.NAME}.service")
    shown = units.systemctl("show", "--property=ActiveState,NeedDaemonReload", "--", *names)
    return "ActiveState=active" in shown.partition("\n\n")[0] and "NeedDaemonReload=yes" not in shown


def _is_to_run(kind: Kind, apps: Apps) -> bool:
    """Tell whether a timer is to run now, and not only from the next boot on."""
    return any(site.manage_service for site in kind.users(apps)) and paths.SYSTEMD.is_dir()


def install(apps: Apps) -> list[str]:
    """Make the timers as the apps want them; return those that were not so. Called under the host's lock."""
    stopped = idle(apps)
    return [f"{kind.NAME}.timer" for kind in KINDS if _install(kind, apps, is_idle=f"{kind.NAME}.timer" in stopped)]


def _install(kind: Kind, apps: Apps, *, is_idle: bool) -> bool:
    steps = [each for each in _wanted(kind, apps) if desired.difference(each)]
    if not steps and not is_idle:
        return False
    has_systemd, name = paths.SYSTEMD.is_dir(), f"{kind.NAME}.timer"
    if has_systemd and not kind.users(apps):
        units.systemctl("stop", name, f"{kind.NAME}.service")
    for each in steps:
        desired.make(each)
    if has_systemd:
        units.systemctl("daemon-reload")
    if _is_to_run(kind, apps):
        units.systemctl("restart", name)
    return True
