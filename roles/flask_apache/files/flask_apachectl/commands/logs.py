"""Show an app's logs: requests, errors, and what its workers and timers say, in the order of time."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import re
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl import paths, releases, routing
from flask_apachectl.errors import RefusedError
from flask_apachectl.serve import journal, units
from flask_apachectl.serve.logs import Log, rotated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from flask_apachectl.app import App

BLOCK = 65536  # bytes of a file that are read at once, from its end
EVERY = 0.3  # seconds between two looks for new lines
# When a line was written: a pattern of it, and its format.
MOMENTS = (
    (re.compile(r"^\[(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d\.\d+ \d{4})\]"), "%a %b %d %H:%M:%S.%f %Y"),
    (re.compile(r"\[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\]"), "%d/%b/%Y:%H:%M:%S %z"),
    (re.compile(r'^\{"time":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+[+-]\d{4})"'), "%Y-%m-%dT%H:%M:%S.%f%z"),
    (re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+[+-]\d\d:?\d\d) "), "%Y-%m-%dT%H:%M:%S.%f%z"),
)


@dataclass(frozen=True)
class Line:
    """A line of a log: when it was written (seconds since 1970), which log, and its text."""

    moment: float
    log: str
    text: str


@dataclass(frozen=True)
class Chosen:
    """The logs to show: files and identifiers of the journal by their names, and systemd's units."""

    files: dict[str, Path]
    units: Sequence[str]
    journals: dict[str, str] = field(default_factory=dict)

    def followed(self) -> dict[str, list[str]]:
        """Return the commands that print what the journal gets from now on, by the names of the logs."""
        more = ("--follow", "--lines=0")
        found = {name: journal.command(each, *more) for name, each in self.journals.items()}
        return found | ({"journal": journal_command(self.units, *more)} if self.units else {})


def logs(app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Show the app's logs, together or one of them; its workers' and timers' come from the journal."""
    if options.follow and options.json:
        raise RefusedError("--follow has no end, so it cannot be one JSON object: leave out --json or --follow")
    wanted = choose(app, options)
    following = [(name, Log(str(path))) for name, path in wanted.files.items()] if options.follow else []
    found = last_lines(wanted, options.lines)
    together = not (options.access or options.error or options.worker)
    texts = [shown(line.log, line.text, together=together) for line in found]
    if not options.follow:
        return {"lines": [vars(line) for line in found], "msg": "\n".join(texts)}
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        for text in texts:
            print(text, flush=True)
        follow(following, wanted.followed(), together=together)
    return {"msg": ""}


def choose(app: App, options: argparse.Namespace) -> Chosen:
    """Return the logs that are asked for."""
    made = releases.as_made(app, routing.slot_release(app, routing.live_slot(app)))
    places = {"access": app.site.access_log, "error": app.site.error_log}
    journals = {name: paths.journal_name(app.name, name) for name, place in places.items() if place == paths.JOURNAL}
    files = {name: Path(place) for name, place in places.items() if name not in journals}
    files = {name: path for name, path in files.items() if path.is_file() or not path.exists()}  # no /dev/stderr
    prefix = f"flask-apache-{app.name}-"
    services = {unit: re.sub(r"\.timer$", ".service", unit) for unit in units.declared(made)}
    names = {service: re.sub(r"(@\d+)?\.service$", "", service.removeprefix(prefix)) for service in services.values()}
    if options.worker:
        found = [service for service, name in names.items() if name == options.worker]
        if not found:
            known = ", ".join(sorted(set(names.values()))) or "none"
            raise RefusedError(f"there is no worker or timer {options.worker}; workers and timers: {known}")
        return Chosen({}, found)
    if options.access or options.error:
        name = "access" if options.access else "error"
        own = {each: identifier for each, identifier in journals.items() if each == name}
        return Chosen({each: path for each, path in files.items() if each == name}, [], own)
    return Chosen(files, list(names), journals)


def last_lines(wanted: Chosen, count: int) -> list[Line]:
    """Return the last lines of all logs together, in the order of time."""
    found = [line for name, path in wanted.files.items() for line in dated(name, last_of(path, count))]
    for name, identifier in wanted.journals.items():
        found += dated(name, journal.last(identifier, count) if paths.SYSTEMD.is_dir() else [])
    found += of_units(wanted.units, count)
    return sorted(found, key=lambda line: line.moment)[-count:] if count else []


def last_of(path: Path, count: int) -> list[str]:
    """Return the last lines of a log; if it has fewer, also of the files that it was before it was rotated."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        for each in [*([path] if path.exists() else []), *reversed(rotated(path))]:
            if len(lines) >= count:
                break
            lines = end_of(each, count - len(lines)) + lines
    return lines


def end_of(path: Path, count: int) -> list[str]:
    """Return the last lines of a file, which may be large."""
    content = b""
    with path.open("rb") as file:
        position = file.seek(0, 2)
        while position and content.count(b"\n") <= count:
            size = min(BLOCK, position)
            position = file.seek(position - size)
            content = file.read(size) + content
    return content.decode(errors="replace").splitlines()[-count:] if count else []


def dated(log: str, texts: Iterable[str]) -> Iterator[Line]:
    """Yield lines with their times; one without a time belongs to the line before it."""
    moment = 0.0
    for text in texts:
        moment = moment_of(text) or moment
        yield Line(moment, log, text)


def moment_of(text: str) -> float:
    """Return when a line was written, in seconds since 1970, or 0 if it does not say so."""
    for pattern, form in MOMENTS:
        found = pattern.search(text)
        if found:
            with contextlib.suppress(ValueError, OverflowError):
                return dt.datetime.strptime(found[1], form).timestamp()  # noqa: DTZ007 - Apache's is local
    return 0.0


def journal_command(services: Sequence[str], *more: str) -> list[str]:
    """Return the command that prints the journal of some units."""
    return ["journalctl", "--quiet", "--output=short-iso-precise", *(f"--unit={unit}" for unit in services), *more]


def of_units(services: Sequence[str], count: int) -> list[Line]:
    """Return the last lines of the journal of some units."""
    if not services or not paths.SYSTEMD.is_dir():
        return []
    command = journal_command(services, f"--lines={count}")
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    return list(dated("journal", done.stdout.splitlines()))


def follow(files: Sequence[tuple[str, Log]], journals: Mapping[str, list[str]], *, together: bool) -> None:
    """Print what is written from now on, until this program is ended. ``journals`` are commands that print it, too."""
    processes = []
    for name, command in journals.items() if paths.SYSTEMD.is_dir() else ():
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
        )
        threading.Thread(target=hand_on, args=(name, process, together), daemon=True).start()
        processes.append(process)
    try:
        while True:
            for name, log in files:
                for text in log.lines():
                    print(shown(name, text.rstrip("\n"), together=together), flush=True)
            time.sleep(EVERY)
    finally:
        for process in processes:
            process.terminate()


def hand_on(name: str, process: subprocess.Popen[str], together: bool) -> None:  # noqa: FBT001 - a thread's argument
    """Print what a process prints of a log."""
    for text in process.stdout or ():
        print(shown(name, text.rstrip("\n"), together=together), flush=True)


def shown(log: str, text: str, *, together: bool) -> str:
    """Return a line as it is shown: with the log's name where several are shown together."""
    return f"{log:<7} {text}" if together else text


def number(text: str) -> int:
    """Return how many lines are asked for."""
    if not re.fullmatch(r"\d{1,6}", text):
        raise argparse.ArgumentTypeError(f"N must be a number from 0 to 999999, got {text}")
    return int(text)
