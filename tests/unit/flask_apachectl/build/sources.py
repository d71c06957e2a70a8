"""Helpers of the tests of fetching: a shell, archives, and the content of a packed source."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Get = Callable[..., dict[str, Any]]


IDENTITY = {
    **{f"GIT_{who}_{what}": f"{what}@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    **{f"GIT_{who}_DATE": "2026-01-02T03:04:05Z" for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
}


def sh(command: str, cwd: Path, **environment: str) -> str:
    """Run a shell command and return its output without the final newline."""
    argv = ["sh", "-c", command]
    done = subprocess.run(argv, cwd=cwd, env=IDENTITY | environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def content(answer: dict[str, Any]) -> dict[str, str]:
    """Return the files of a packed source, with their text."""
    assert not answer.get("failed"), answer
    with tarfile.open(answer["archive"]) as tar:
        return {
            member.name: file.read().decode() for member in tar if member.isreg() and (file := tar.extractfile(member))
        }


def tar_of(*members: tuple[str, Any], mode: str = "w:gz") -> bytes:
    """Return a tar archive. Each member is a name, and its text or attributes of its TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, what in members:
            member = tarfile.TarInfo(name)
            member.mtime = 1_000_000_000
            if isinstance(what, dict):
                for key, value in what.items():
                    setattr(member, key, value)
                tar.addfile(member)
            else:
                member.size = len(what)
                tar.addfile(member, io.BytesIO(what.encode()))
    return out.getvalue()


def zip_of(*members: tuple[str, str, int]) -> bytes:
    """Return a zip archive: each member is a name, its text, and its Unix mode."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, text, mode in members:
            member = zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6))
            member.external_attr = mode << 16
            zipped.writestr(member, text, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def checksum(archive: bytes) -> str:
    return f"sha256:{hashlib.sha256(archive).hexdigest()}"


def names(answer: dict[str, Any]) -> list[str]:
    with tarfile.open(answer["archive"]) as tar:
        return tar.getnames()
