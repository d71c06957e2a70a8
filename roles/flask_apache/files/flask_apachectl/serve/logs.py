"""What the app's logs get while a release becomes live."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import report
from flask_apachectl.serve import lines
from flask_apachectl.serve.journal import JournalLog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_apachectl.app import App

COMPRESSED = (".gz", ".xz", ".zst", ".bz2")
LONGEST_LINE = 2**18  # bytes of a line that Apache writes: a request line and its headers, escaped


def rotated(path: Path) -> list[Path]:
    """Return the files that a log was before it was rotated, oldest first, without those that are compressed."""
    files = {}  # by their inodes: a file may have several names
    for each in {*path.parent.glob(f"{path.name}.*"), *path.parent.glob(f"{path.stem}.*{path.suffix}")} - {path}:
        with contextlib.suppress(FileNotFoundError):
            status = each.stat()
            if each.suffix not in COMPRESSED:
                files[status.st_dev, status.st_ino] = (status.st_mtime_ns, each)
    with contextlib.suppress(FileNotFoundError):
        now = path.stat()
        files.pop((now.st_dev, now.st_ino), None)
    return [each for _, each in sorted(files.values())]


class Log:
    """What a log gets from now on, also after it has been rotated."""

    def __init__(self, path: str) -> None:
        """Remember where the log ends."""
        self.path = Path(path)
        self.file: BinaryIO | None = None
        with contextlib.suppress(OSError):
            self.file = self.path.open("rb")
            self.file.seek(0, os.SEEK_END)

    def lines(self) -> Iterator[str]:
        """Yield the lines that are new since the last call. Half of one is none yet."""
        while self.file or self.path.is_file():
            self.file = self.file or self.path.open("rb")
            opened = os.fstat(self.file.fileno())
            if opened.st_size < self.file.tell():
                self.file.seek(0)  # it was emptied
            replaced = self.path.is_file() and not os.path.samestat(self.path.stat(), opened)
            for line in self.file:
                if not line.endswith(b"\n"):
                    self.file.seek(-len(line), os.SEEK_CUR)
                    break
                yield line.decode(errors="replace")
            if not replaced:
                return
            self.file.close()
            self.file = None


def of(app: App, kind: str) -> Log | JournalLog:
    """Return a log of the app, ``access`` or ``error``, from now on."""
    place = app.site.access_log if kind == "access" else app.site.error_log
    return JournalLog(paths.journal_name(app.name, kind)) if place == paths.JOURNAL else Log(place)


class ErrorLog:
    """The app's error log, from now on."""

    def __init__(self, app: App) -> None:
        """Remember where the log ends."""
        self.log = of(app, "error")

    def lines(self) -> str:
        """Return the last lines that the log got since then or since the last call, without Apache's prefixes."""
        return report.tail(report.LOG_PREFIX.sub("", "".join(self.log.lines())), report.LOG_LINES)


class AccessLog:
    """The app's access log, from now on."""

    def __init__(self, app: App) -> None:
        """Remember where the log ends."""
        self.log = of(app, "access")
        self.count = 0

    def refuse_more_than(self, limit: int, release: str) -> None:
        """Raise RefusedError when more requests than the limit were answered with 5xx since then."""
        errors = self.errors()
        if errors > limit:
            raise RefusedError(f"release {release} answered {errors} requests of visitors with 5xx")

    def errors(self) -> int:
        """Return how many requests were answered with 5xx since then."""
        answers = map(lines.read, self.log.lines())
        self.count += sum(answer is not None and answer.is_error for answer in answers)
        return self.count
