"""Prometheus's text format for metrics, version 0.0.4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Family:
    """A metric: its name, its type (gauge or counter), and what it tells."""

    name: str
    kind: str
    help: str


@dataclass(frozen=True)
class Sample:
    """One value of a metric, with its labels in the order in which they are shown."""

    name: str
    value: float
    labels: Mapping[str, str]


def render(families: Iterable[Family], samples: Iterable[Sample]) -> str:
    """Return samples as text, each family's together; a family without samples is left out."""
    of_name: dict[str, list[Sample]] = {}
    for sample in samples:
        of_name.setdefault(sample.name, []).append(sample)
    lines = []
    for family in families:
        own = of_name.get(family.name, [])
        if own:
            escaped = family.help.replace("\\", r"\\").replace("\n", r"\n")
            lines += [f"# HELP {family.name} {escaped}", f"# TYPE {family.name} {family.kind}"]
            lines += map(_line, own)
    return "".join(f"{line}\n" for line in lines)


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{escaped(value)}"' for name, value in sample.labels.items())
    return f"{sample.name}{{{labels}}} {number(sample.value)}" if labels else f"{sample.name} {number(sample.value)}"


def escaped(value: str) -> str:
    """Return a label's value as it is written between double quotes."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def number(value: float) -> str:
    """Return a number as Prometheus reads it, without loss."""
    return str(int(value)) if value == int(value) else repr(value)
