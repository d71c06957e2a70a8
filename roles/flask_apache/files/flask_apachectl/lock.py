"""One change at a time: the app's lock, and what a killed run left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from flask_apachectl import paths, routing
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flask_apachectl.app import App

HOST_SECONDS = 120.0  # a proof of Apache's configuration and a reload are done by then


@contextlib.contextmanager
def held(app: App) -> Iterator[None]:
    """Hold the app's lock; the kernel frees it with the process. Then clear what a killed run left.

    Raises RefusedError, naming the holder, when it is not free after the app's ``lock_wait`` (seconds).
    """
    with _locked(app.home / "lock", app.name, float(app.site.lock_wait)):
        try:
            sweep(app)
            yield
        except OSError as error:
            raise RefusedError(f"{error}\n{routing.consequence(app)}") from None


@contextlib.contextmanager
def app_held(name: str, seconds: int) -> Iterator[None]:
    """Hold the lock of an app of which nothing but its home may be there."""
    with _locked(paths.SRV / name / "lock", name, float(seconds)):
        yield


@contextlib.contextmanager
def host_held() -> Iterator[None]:
    """Hold the host's lock, under which what apps share is decided and changed: for a moment, so others wait.

    Whoever needs an app's lock, too, takes that one first.
    """
    with _locked(paths.HOST_LOCK, "this host's Apache configuration", HOST_SECONDS):
        yield


@contextlib.contextmanager
def _locked(path: Path, what: str, seconds: float) -> Iterator[None]:
    """Hold the lock of a file. Raises RefusedError, naming the holder, when it is not free after some seconds."""
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
        file.truncate(0)
        with contextlib.suppress(OSError):  # a full disk: the command may be one that makes room
            file.write(f"{report.operator()} (pid {os.getpid()}) since {report.timestamp()}".encode())
        try:
            yield
        finally:
            file.truncate(0)


def sweep(app: App) -> None:
    """Remove what a killed run left half done."""
    patterns = (
        (app.releases, ".*"),
        (app.venvs, ".*"),
        *((app.home, f".{name}.*") for name in (*paths.SLOTS, "current", "replaced", "units.json", "history.jsonl")),
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
