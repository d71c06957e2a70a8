"""The distribution's log rotation, which reloads Apache every night, is moved aside while there are apps.

Rotation that somebody has changed is theirs, and stays as it is.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts

ROTATION = Path("/etc/logrotate.d/apache2")
ASIDE = paths.APACHE / "logrotate.distribution"
MARK = "logrotate.distribution"  # stands in the role's file


def is_somebodys(role: bytes) -> bool:
    """Tell whether the file is neither the distribution's nor ``role``'s, also damaged or of another version."""
    text = facts.read(ROTATION)
    if not text.strip() or MARK in text or role.decode(errors="replace").startswith(text):
        return False
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return digest not in facts.output("dpkg-query", "-W", "-f", "${Conffiles}", "apache2")


def is_diverted() -> bool:
    """Tell whether dpkg keeps the distribution's file aside."""
    return ASIDE.exists()


def divert() -> None:
    """Let dpkg keep the distribution's file aside, also when the package is upgraded. Called under the host's lock."""
    _dpkg_divert(f"--divert={ASIDE}", "--rename", "--add")


def give_back() -> None:
    """Let the distribution's file be where it was, unless somebody's is there. Called under the host's lock."""
    if not is_diverted():
        return
    if is_somebodys(b""):
        ASIDE.unlink()
        _dpkg_divert("--no-rename", "--remove")
    else:
        ROTATION.unlink(missing_ok=True)
        _dpkg_divert("--rename", "--remove")


def _dpkg_divert(*arguments: str) -> None:
    command = ["dpkg-divert", "--local", *arguments, str(ROTATION)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RefusedError(f"the log rotation of Apache's package cannot be moved: {done.stderr.strip()}")
