"""The running Apache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    from flask_apachectl.app import App

NO_APACHE = "Apache is not running: see `systemctl status apache2`, or `apache2ctl configtest`"


def pid() -> int | None:
    """Return the process id of the running Apache, if any."""
    try:
        pid = int(paths.APACHE_PID.read_text())
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == "apache2" else None
    except (OSError, ValueError):
        return None


def expect_none(app: App) -> None:
    """Refuse to go on without Apache, unless an image is being built."""
    if app.config["manage_service"]:
        raise RefusedError(NO_APACHE)
