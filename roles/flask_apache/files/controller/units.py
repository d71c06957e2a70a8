"""The units of systemd that an app's workers and timers become."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .values import Values

STOP_SECONDS = 30
JOB_SECONDS = 3600


@dataclass(frozen=True)
class Worker:
    """A command that runs all the time, in one or more instances."""

    name: str
    command: str  # as ExecStart has it
    instances: int
    stop_signal: str
    stop_timeout: int  # seconds


@dataclass(frozen=True)
class Timer:
    """A command that runs at times of the calendar."""

    name: str
    command: str  # as ExecStart has it
    calendar: str
    timeout: int  # seconds


@dataclass(frozen=True)
class Units:
    """All units of an app."""

    unit_prefix: str  # no name of a worker or timer holds a hyphen, so units of different apps differ
    target: str
    workers: list[Worker]
    timers: list[Timer]
    units: list[str]  # what the target wants


def exec_words(command: str | list[str], *, instances: bool = False) -> str:
    """Return a command as arguments of entry.wsgi, quoted so that systemd replaces no specifiers and no variables.

    A string is one argument, which entry.wsgi splits into words. Of a unit with ``instances``, ``{instance}`` becomes
    the number of the instance.
    """
    words = [command] if isinstance(command, str) else command
    quoted = []
    for word in words:
        text = str(word).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
        quoted.append('"' + (text.replace("{instance}", "%i") if instances else text) + '"')
    return " ".join(["-c", *quoted] if isinstance(command, str) else quoted)


def units(values: Values) -> Units:
    """Return an app's units."""
    app = values.text("app")
    prefix = f"flask-apache-{app}-"
    workers = [
        Worker(
            name=str(worker["name"]),
            command=exec_words(worker["command"], instances=True),
            instances=int(worker.get("instances", 1)),
            stop_signal=str(worker.get("stop_signal", "SIGTERM")),
            stop_timeout=int(worker.get("stop_timeout", STOP_SECONDS)),
        )
        for worker in values.mappings("workers")
    ]
    timers = [
        Timer(
            name=str(timer["name"]),
            command=exec_words(timer["command"]),
            calendar=str(timer["calendar"]),
            timeout=int(timer.get("timeout", JOB_SECONDS)),
        )
        for timer in values.mappings("timers")
    ]
    instances = [f"{worker.name}@{number}.service" for worker in workers for number in range(1, worker.instances + 1)]
    wanted = [f"{prefix}{name}" for name in [*instances, *(f"{timer.name}.timer" for timer in timers)]]
    return Units(prefix, f"flask-apache-{app}.target", workers, timers, wanted)
