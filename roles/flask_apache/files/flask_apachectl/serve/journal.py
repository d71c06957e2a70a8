"""Logs that Apache writes to systemd's journal."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CURSOR = "-- cursor: "


def command(name: str, *more: str) -> list[str]:
    """Return the command that prints the lines of a log by its identifier.

    Any program may use the identifier. Only those of root are Apache's.
    """
    return ["journalctl", "--quiet", "--all", "--output=cat", f"--identifier={name}", *more, "_UID=0"]


def last(name: str, count: int) -> list[str]:
    """Return the last lines of a log."""
    done = subprocess.run(command(name, f"--lines={count}"), check=False, capture_output=True)
    return done.stdout.decode(errors="replace").splitlines()


class JournalLog:
    """What a log in the journal gets from now on, or from a place on that is known by its cursor."""

    def __init__(self, name: str, cursor: str | None = None) -> None:
        """Remember where the log ends."""
        self.name = name
        self.cursor = cursor or ""
        if cursor is None:
            for _ in self._read("--lines=1"):
                pass

    def lines(self) -> Iterator[str]:
        """Yield the lines that are new since the last call."""
        yield from self._read(*([f"--after-cursor={self.cursor}"] if self.cursor else []))

    def _read(self, *more: str) -> Iterator[str]:
        with subprocess.Popen(
            command(self.name, "--show-cursor", *more), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            for content in process.stdout or ():
                line = content.decode(errors="replace")
                if line.startswith(CURSOR):  # it is the last one
                    self.cursor = line.removeprefix(CURSOR).strip()
                else:
                    yield line
