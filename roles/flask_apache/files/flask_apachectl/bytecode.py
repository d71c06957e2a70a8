"""The engine's byte code, kept on the host: Python keeps none for the modules of an archive.

Without it, every command compiles all modules again, which is half of what a short one takes. What is kept belongs to
one archive, by its digest, and to one version of Python, and is used only if its own digest is right.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import stat
import sys
import tempfile
import zipfile
from pathlib import Path

from flask_apachectl import paths

PACKAGE = "flask_apachectl"


def use(package_path: list[str]) -> None:
    """Let the package's modules be imported from what is kept, if it is there and right."""
    with contextlib.suppress(OSError):
        descriptor = find()
        if descriptor is not None:  # it stays open: another run may remove the file meanwhile
            package_path.insert(0, f"/proc/self/fd/{descriptor}/{PACKAGE}")


def key() -> str:
    """Return what names the byte code of this archive for this Python."""
    archive = hashlib.sha256(Path(sys.argv[0]).read_bytes()).hexdigest()
    return f"bytecode-{archive[:32]}-{importlib.util.MAGIC_NUMBER.hex()}-"


def find() -> int | None:
    """Return a file descriptor of what is kept, or None where nothing is, or nothing that is right."""
    for path in paths.LIB.glob(f"{key()}*.zip"):
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            if is_right(descriptor, path.stem):
                return descriptor
            os.close(descriptor)
    return None


def is_right(descriptor: int, name: str) -> bool:
    """Tell whether an open file is root's, and has the digest that its name ends with."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        return False
    return name.endswith(digest(Path(f"/proc/self/fd/{descriptor}").read_bytes()))


def digest(content: bytes) -> str:
    """Return what ends the name of a file with this content."""
    return hashlib.sha256(content).hexdigest()


def keep() -> None:
    """Keep the byte code for commands to come, and remove what is out of date. A host without room goes without it."""
    with contextlib.suppress(OSError, zipfile.BadZipFile):
        descriptor = find()
        if descriptor is not None:
            os.close(descriptor)
            return
        for left in (*paths.LIB.glob("bytecode-*"), *paths.LIB.glob(".bytecode-*")):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
        with tempfile.TemporaryDirectory(prefix=".bytecode-", dir=paths.LIB) as scratch:
            with zipfile.ZipFile(sys.argv[0]) as archive:
                archive.extractall(scratch)
            made = Path(scratch, "made.zip")
            with zipfile.PyZipFile(str(made), "w") as kept:
                kept.writepy(str(Path(scratch, PACKAGE)))
            made.chmod(0o644)
            made.rename(paths.LIB / f"{key()}{digest(made.read_bytes())}.zip")
