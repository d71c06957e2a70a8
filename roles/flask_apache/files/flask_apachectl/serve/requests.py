"""Requests of visitors, counted from the app's access log: by status, and across the log's rotation.

What has been counted is kept beside the app's releases: the counts, and up to where the log has been read. A place in a
log is known by the bytes before it, which are unique as lines have their time: so it is found again whether the log was
renamed, copied and emptied, or replaced by a new file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import declaration, paths
from flask_apachectl.app import read_json
from flask_apachectl.declaration import DamagedError
from flask_apachectl.host import files
from flask_apachectl.serve import lines, logs
from flask_apachectl.serve.journal import JournalLog

if TYPE_CHECKING:
    from flask_apachectl.app import App

USUAL = ("200", "404", "500", "503")  # they are there from the beginning, so that the first one of each is an increase
MARK = 256  # bytes before a place by which it is known


@dataclass(frozen=True)
class Counted:
    """What has been counted: the requests by their status, in a log up to a place."""

    log: str  # a path, or journald
    offset: int  # bytes
    mark: str  # a digest of the bytes before the place, or the journal's cursor
    codes: dict[str, int]


def count(app: App) -> dict[str, int] | None:
    """Return how many requests of visitors were answered with each status since the first call for this app.

    None if the log is not a file. Raises OSError when it cannot be read.
    """
    log = Path(app.site.access_log)
    is_journal = app.site.access_log == paths.JOURNAL
    if not is_journal and log.exists() and not log.is_file():
        return None
    path, name = app.home / "requests.json", paths.journal_name(app.name, "access")
    found = _counted(path)
    if found is None or found.log != str(log):
        codes = found.codes if found else dict.fromkeys(USUAL, 0)
        end = (0, JournalLog(name).cursor) if is_journal else _end(log)
        found = Counted(str(log), *end, codes)
    found = _go_on_in_journal(name, found) if is_journal else _go_on(log, found)
    with contextlib.suppress(OSError):  # a full disk: the next call counts the same lines again, from the same place
        files.write(path, json.dumps(asdict(found)) + "\n", mode=0o600)
    return found.codes


def _counted(path: Path) -> Counted | None:
    """Return what is kept, or None when nothing is, or it is damaged: then counting begins at zero."""
    try:
        found = declaration.read(Counted, read_json(path), str(path))
    except (DamagedError, FileNotFoundError):
        return None
    return found if found.offset >= 0 and all(number >= 0 for number in found.codes.values()) else None


def _end(log: Path) -> tuple[int, str]:
    """Return the place behind the last whole line of a log."""
    if not log.exists():
        return 0, _mark(b"")
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - logs.LONGEST_LINE)
        file.seek(start)
        place = start + file.read(size - start).rfind(b"\n") + 1
        file.seek(max(0, place - MARK))
        return place, _mark(file.read(min(MARK, place)))


def _mark(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _add(codes: dict[str, int], line: str) -> None:
    """Count a line, if it is of a visitor's request."""
    answer = lines.read(line)
    if answer and not answer.is_own:
        codes[str(answer.status)] = codes.get(str(answer.status), 0) + 1


def _go_on_in_journal(name: str, found: Counted) -> Counted:
    """Count what the journal got since."""
    codes, log = dict(found.codes), JournalLog(name, found.mark)
    for line in log.lines():
        _add(codes, line)
    return Counted(found.log, 0, log.cursor, codes)


def _go_on(log: Path, found: Counted) -> Counted:
    """Count what has been written since, in the log and in what it was before it was rotated."""
    codes, place, mark = dict(found.codes), found.offset, found.mark
    for path, start in _unread(log, found):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(start)
            place = start
            for line in file:
                if line.endswith(b"\n"):
                    place += len(line)
                    _add(codes, line.decode("latin-1"))
            file.seek(max(0, place - MARK))
            mark = _mark(file.read(min(MARK, place)))
    return Counted(found.log, place, mark, codes)


def _unread(log: Path, found: Counted) -> list[tuple[Path, int]]:
    """Return the files that have lines which are not counted, oldest first, each with the place where they begin."""
    if _is_place(log, found):
        return [(log, found.offset)]
    older = logs.rotated(log)
    for index, path in enumerate(older):
        if found.offset and _is_place(path, found):
            newer = [(each, 0) for each in older[index + 1 :]]
            return [(path, found.offset), *newer, (log, 0)]
    return [(log, 0)]


def _is_place(path: Path, found: Counted) -> bool:
    """Tell whether a file has the place up to which lines have been counted."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        if file.seek(0, os.SEEK_END) >= found.offset:
            file.seek(max(0, found.offset - MARK))
            return _mark(file.read(min(MARK, found.offset))) == found.mark
    return False
