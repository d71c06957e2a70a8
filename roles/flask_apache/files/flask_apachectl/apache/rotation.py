"""The distribution's log rotation, which reloads Apache every night, is moved aside while there are apps."""

from __future__ import annotations

import subprocess
from pathlib import Path

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError

ROTATION = Path("/etc/logrotate.d/apache2")
ASIDE = paths.APACHE / "logrotate.distribution"


def is_diverted() -> bool:
    """Tell whether dpkg keeps the distribution's file aside."""
    return ASIDE.exists()


def divert() -> None:
    """Let dpkg keep the distribution's file aside, also when the package is upgraded. Called under the host's lock."""
    _dpkg_divert(f"--divert={ASIDE}", "--add")


def give_back() -> None:
    """Let the distribution's file be where it was. Called under the host's lock."""
    if is_diverted():
        ROTATION.unlink(missing_ok=True)
        _dpkg_divert("--remove")


def _dpkg_divert(*arguments: str) -> None:
    command = ["dpkg-divert", "--local", "--rename", *arguments, str(ROTATION)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RefusedError(f"the log rotation of Apache's package cannot be moved: {done.stderr.strip()}")
