"""One change at a time: the app's lock, and what a killed run left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import paths, routing
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts, files, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flask_apachectl.app import App

HOST_SECONDS = 120.0  # a proof of Apache's configuration and a reload are done by then


@contextlib.contextmanager
def held(app: App) -> Iterator[None]:
    """Hold the app's lock; the kernel frees it with the process. Then clear what a killed run left.

    Raises RefusedError, naming the holder, when it is not free after the app's ``lock_wait`` (seconds).
    """
    with _locked(app.home / "lock", app.name, float(app.site.lock_wait)) as note:
        try:
            sweep(app)
            with telling(note):
                yield
        except OSError as error:
            raise RefusedError(f"{error}\n{routing.consequence(app)}") from None


@contextlib.contextmanager
def app_held(name: str, seconds: int) -> Iterator[None]:
    """Hold the lock of an app of which nothing but its home may be there."""
    with _locked(paths.SRV / name / "lock", name, float(seconds)):
        yield


@contextlib.contextmanager
def telling(note: Callable[[str], None]) -> Iterator[None]:
    """Let others read in the lock's file which step this command has reached."""
    report.listeners.append(note)
    try:
        yield
    finally:
        report.listeners.remove(note)


def holder(app: App) -> str:
    """Say who holds the app's lock now, since when, and at which step; nothing when it is free. Takes no lock."""
    text = facts.read(app.home / "lock").strip()
    pid = re.search(r"\(pid (\d+)\)", text)
    held = pid and re.search(rf"(?m)^\d+: FLOCK +\S+ +WRITE {pid[1]} ", facts.read(Path("/proc/locks")))
    return text if held else ""


@contextlib.contextmanager
def host_held() -> Iterator[None]:
    """Hold the host's lock, under which what apps share is decided and changed: for a moment, so others wait.

    Whoever needs an app's lock, too, takes that one first.
    """
    with _locked(paths.HOST_LOCK, "this host's Apache configuration", HOST_SECONDS):
        yield


@contextlib.contextmanager
def _locked(path: Path, what: str, seconds: float) -> Iterator[Callable[[str], None]]:
    """Hold the lock of a file; yield what writes down a step in it, for others to read.

    Raises RefusedError, naming the holder, when it is not free after some seconds.
    """
    deadline = time.monotonic() + seconds
    with path.open("ab+", buffering=0) as file:
        os.fchmod(file.fileno(), 0o600)  # whoever can open it can hold it
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                file.seek(0)
                holder = file.read().decode(errors="replace").strip() or "another run"
                if time.monotonic() >= deadline:
                    raise RefusedError(f"{what} is being changed by {holder}: try again later") from None
                time.sleep(0.2)
        since = report.timestamp()

        def note(step: str) -> None:
            with contextlib.suppress(OSError):  # a full disk: the command may be one that makes room
                file.truncate(0)
                own = f"{report.operator()} (pid {os.getpid()}) since {since}"
                file.write(f"{own}{f', at the step `{step}`' if step else ''}".encode())

        note("")
        try:
            yield note
        finally:
            file.truncate(0)


def sweep(app: App) -> None:
    """Remove what a killed run left half done."""
    patterns = (
        (app.releases, ".*"),
        (app.venvs, ".*"),
        *((app.home, f".{name}.*") for name in (*paths.SLOTS, "current", "replaced")),
        *((app.home, f".{name}.*") for name in ("units.json", "history.jsonl", "requests.json")),
        (app.home / "wheelhouses", ".*"),
        (app.home / "tools", ".*"),
        (paths.RUN, f"build-{app.name}"),
        (app.home, f".{app.waiting.name}.*"),
        (app.releases, "*/.*"),
        *(
            (app.conf, f".{name}.????????")
            for name in ("live.map", "live.map.copy", "secret_key", "app.json", "env", "entry.wsgi")
        ),
    )
    for directory, pattern in patterns:
        for debris in directory.glob(pattern):
            files.remove(debris)
