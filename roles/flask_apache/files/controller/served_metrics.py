"""The app's metrics over HTTP: at which address, and who may ask."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_apachectl.paths import metrics_directory, metrics_file

if TYPE_CHECKING:
    from .values import Values


@dataclass(frozen=True)
class ServedMetrics:
    """What the app's part of the virtual host needs to know."""

    metrics_allow: list[str]  # addresses and networks; nobody if there are none
    metrics_pattern: str  # of a request's path
    metrics_directory: str
    metrics_file: str


def served_metrics(values: Values) -> ServedMetrics:
    """Return how the app's metrics are served."""
    path = values.text("mount").rstrip("/") + values.text("metrics_path")
    return ServedMetrics(
        metrics_allow=values.texts("metrics_allow"),
        metrics_pattern=f"^{re.escape(path)}$",
        metrics_directory=str(metrics_directory()),
        metrics_file=str(metrics_file(values.text("app"))),
    )
