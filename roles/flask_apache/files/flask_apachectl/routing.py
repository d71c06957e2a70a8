"""Which pool gets which request: the file live.map, which Apache reads again whenever it changes."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts, files

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App


@dataclass(frozen=True)
class Routes:
    """Which slot's pool gets which request: the content of live.map, a RewriteMap of Apache.

    ``live`` serves the visitors. During a canary ``canary`` gets ``percent`` of them; a visitor stays with the release
    that the first answer's cookie names. ``probe`` is the token and the slot of the engine's own requests.
    """

    live: str
    canary: str = ""
    percent: int = 0
    releases: tuple[tuple[str, str], ...] = ()  # (slot, release) of both slots, during a canary
    probe: tuple[str, str] = ("", "")
    maintenance: str = ""  # the operator's secret, while the app is closed to visitors
    drain: bool = False
    ready: str = ""  # the live release's own health check: what load balancers are told

    def render(self) -> str:
        """Return the file's text."""
        lines = ["# Which pool serves. Do not edit: use flask-apachectl."]
        shares = [self.canary] * self.percent + [self.live] * (100 - self.percent) if self.canary else [self.live]
        lines += [f"base {self.live}", f"live {'|'.join(shares)}"]
        if self.canary:
            lines += [f"canary {self.canary}", f"percent {self.percent}"]
            for slot, release in self.releases:
                lines += [f"release-{slot} {release}", f"pin-{release} {slot}"]
        if self.probe[0]:
            lines.append(f"probe-{self.probe[0]} {self.probe[1]}")
        if self.maintenance:
            lines += ["maintenance on", f"bypass-{self.maintenance} on"]
        if self.drain:
            lines.append("drain on")
        if self.ready:
            lines.append(f"ready {self.ready}")
        return "\n".join(lines) + "\n"

    @classmethod
    def parse(cls, text: str) -> Routes:
        """Return what a file says; a token of a probe is not kept, as its probe has ended."""
        pairs = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
        entries = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}  # noqa: PLR2004
        prefixed = {
            prefix: {key.removeprefix(prefix): value for key, value in entries.items() if key.startswith(prefix)}
            for prefix in ("release-", "bypass-")
        }
        return cls(
            live=entries.get("base", ""),
            canary=entries.get("canary", ""),
            percent=int(percent) if re.fullmatch(r"[1-9][0-9]?", percent := entries.get("percent", "")) else 0,
            releases=tuple(prefixed["release-"].items()),
            maintenance=next(iter(prefixed["bypass-"]), ""),
            drain="drain" in entries,
            ready=entries.get("ready", ""),
        )


def other(slot: str | None) -> str:
    """Return the slot that does not serve; the first one when none does."""
    return "green" if slot == "blue" else "blue"


def read(app: App) -> Routes:
    """Return which pool gets which request: what the map says, or its copy, to which Apache turns, too."""
    routes = Routes(live="")
    for path in (app.map, app.map_copy):
        with contextlib.suppress(OSError):
            routes = Routes.parse(path.read_text(encoding="utf-8", errors="replace"))
        if routes.live in paths.SLOTS:
            break
    return routes


def damaged(app: App) -> list[str]:
    """Return those of the map and its copy that are not as they were written."""
    wanted = read(app).render()
    return [
        str(path)
        for path in (app.map, app.map_copy)
        if path.is_symlink() or not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != wanted
    ]


def live_slot(app: App) -> str | None:
    """Return the slot that serves visitors, if any."""
    live = read(app).live
    return live if live in paths.SLOTS else None


def slot_release(app: App, slot: str | None) -> str | None:
    """Return the release in a slot, if any."""
    if slot is None:
        return None
    return release_of(app, app.home / slot)


def release_of(app: App, link: Path) -> str | None:
    """Return the release that a link names, if any."""
    target = link.resolve()
    named = target.parent == app.releases.resolve() and target.is_dir()
    return target.name if named else None


def end_canary(app: App) -> bool:
    """Give all visitors to the live pool; tell whether a canary had some."""
    routes = read(app)
    if routes.canary:
        write(app, replace(routes, canary="", percent=0, releases=()))
    return bool(routes.canary)


def consequence(app: App) -> str:
    """Say what visitors get now."""
    serving = slot_release(app, live_slot(app))
    return f"Still serving {serving}." if serving else "No release was live before, and none is now."


def switch(app: App, slot: str) -> None:
    """Let a slot's pool serve all visitors, so a canary ends. ``app`` is as the slot's release was made."""
    routes = read(app)
    write(app, Routes(live=slot, maintenance=routes.maintenance, drain=routes.drain, ready=app.url_path))


def write(app: App, routes: Routes) -> None:
    """Replace the map, readable to Apache only, for it holds secrets."""
    for path in (app.map_copy, app.map):
        before = path.stat().st_mtime_ns if path.exists() else 0
        files.write(path, routes.render(), mode=0o640, group=facts.apache_group(), newer_than=before)


def live_release(app: App) -> str:
    """Return the live release. Raises RefusedError before the first one."""
    release = slot_release(app, live_slot(app))
    if release is None:
        raise RefusedError(f"{app.name} has no live release yet: run the role")
    return release
