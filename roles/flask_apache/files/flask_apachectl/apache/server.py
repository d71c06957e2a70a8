"""The running Apache."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import paths
from flask_apachectl.apache import client, neighbours, visitors
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts, report

if TYPE_CHECKING:
    from flask_apachectl.apache.neighbours import Place
    from flask_apachectl.app import App

SOCKETS = paths.APACHE_PID.parent  # where mod_wsgi has its sockets
LOADS_WITHIN = 15.0  # seconds after a reload
NO_APACHE = "Apache is not running: see `systemctl status apache2`, or `apache2ctl configtest`"


def pid() -> int | None:
    """Return the process id of the running Apache, if any."""
    try:
        pid = int(paths.APACHE_PID.read_text())
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == "apache2" else None
    except (OSError, ValueError):
        return None


def has_wanted_module() -> bool:
    """Tell whether the running Apache has the mod_wsgi that its configuration names now."""
    paths_wanted = [
        os.path.realpath(found)
        for path in (paths.APACHE / "mods-enabled").glob("*wsgi.load")
        for found in re.findall(r"(?m)^\s*LoadModule\s+wsgi_module\s+(\S+)", facts.read(path))
    ]
    mapped = {line.split()[-1] for line in facts.read(Path(f"/proc/{pid()}/maps")).splitlines()}
    return bool(paths_wanted) and set(paths_wanted) <= mapped


class Reloads:
    """Tells whether Apache has reloaded since the last question, whoever wanted that.

    A reload removes mod_wsgi's sockets and creates new ones. Where none has ever been seen, because they are elsewhere,
    reloads are not detected.
    """

    def __init__(self) -> None:
        """Begin to watch."""
        self.sockets = sockets_of_pools()
        self.were_seen = bool(self.sockets)

    def happened(self) -> bool:
        """Tell whether Apache has reloaded, or is just doing so."""
        before, self.sockets = self.sockets, sockets_of_pools()
        self.were_seen = self.were_seen or bool(self.sockets)
        return self.sockets != before or (self.were_seen and not self.sockets)


def sockets_of_pools() -> set[tuple[str, int, int]]:
    """Return mod_wsgi's sockets: name, inode and time of the last change (nanoseconds)."""
    found = set()
    for path in SOCKETS.glob("wsgi*.sock"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            found.add((path.name, status.st_ino, status.st_ctime_ns))
    return found


def expect_none(app: App) -> None:
    """Refuse to go on without Apache, unless an image is being built."""
    if app.site.manage_service:
        raise RefusedError(NO_APACHE)


def addresses(app: App) -> tuple[str, ...]:
    """Return the addresses at which visitors get the app."""
    return visitors.addresses(pid(), app.site.main_port, neighbours.vhost(app.site))


def loaded(app: App) -> str:
    """Return the digest of the app's configuration that the running Apache has loaded, or nothing.

    It is asked at each address and port at which visitors come, and must answer the same everywhere.
    """
    found = {digest for _, digest in _answers(app)}
    return found.pop() if len(found) == 1 else "not the same at all addresses"


def _answers(app: App) -> list[tuple[str, str]]:
    """Return each place at which visitors come, as a person reads it, and the digest by which Apache serves it."""
    return [
        (f"{address}, port {place.port}", loaded_at(app, address, place))
        for place in neighbours.places(app.site)
        for address in visitors.addresses(pid(), place.port, place.host)
    ]


def loaded_at(app: App, address: str, place: Place | None = None) -> str:
    """Return the digest of the app's configuration by which an address is served, or nothing.

    Where the app has none, another one may answer: each says whose configuration it is. Without a ``place``, it is
    asked where visitors get the app.
    """
    headers = {"Host": app.site.server_name, "X-Flask-Apache-Ask": "configuration"}
    place = place or neighbours.places(app.site)[0]
    is_secure, seconds = place.port == app.site.https_port, app.spec.health_request_timeout
    try:
        reply = client.get(
            address,
            place.port,
            app.site.mount,
            headers,
            seconds,
            is_secure=is_secure,
            speaks_proxy=app.site.proxy_protocol,
        )
    except (OSError, http.client.HTTPException):
        return ""
    name, _, digest = reply.headers.get("X-Flask-Apache-Configuration", "").partition(" ")
    return digest if name == app.name else ""


def certificate(app: App, address: str) -> bytes:
    """Return the certificate that visitors of an app see at an address, in DER. Raises OSError when there is none."""
    site, seconds = app.site, app.spec.health_request_timeout
    return client.certificate(address, site.https_port, site.server_name, seconds, speaks_proxy=site.proxy_protocol)


def reload(verb: str = "reload") -> None:
    """Let the running Apache read its configuration and its certificates again. Raises RefusedError."""
    report.say(f"{verb:7} Apache")
    command = ["systemctl", verb, "apache2"] if paths.SYSTEMD.is_dir() else ["/etc/init.d/apache2", verb]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RefusedError(f"Apache failed to {verb}:\n{report.tail(done.stderr or done.stdout, report.LOG_LINES)}")


def load(app: App, digest: str, *, restart: bool) -> None:
    """Let the running Apache load its configuration. Raises RefusedError when it does not, or not this one.

    ``digest`` is that of the app's configuration, or nothing once the app is removed.
    """
    verb = "restart" if restart else "reload"
    reload(verb)
    deadline = time.monotonic() + LOADS_WITHIN
    visitors.forget()
    while loaded(app) != digest:
        if time.monotonic() > deadline:
            wrong = "; ".join(place for place, found in _answers(app) if found != digest)
            raise RefusedError(
                f"Apache has not loaded the configuration of {app.name} {LOADS_WITHIN:.0f} s after its {verb}: another "
                f"virtual host may answer for {app.site.server_name} at {wrong}; see `apache2ctl -S`"
            )
        time.sleep(0.1)
        visitors.forget()
