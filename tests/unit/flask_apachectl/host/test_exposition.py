"""Prometheus's text format."""

from __future__ import annotations

import pytest

from flask_apachectl.host import exposition
from flask_apachectl.host.exposition import Family, Sample


def test_a_familys_samples_stand_together() -> None:
    families = [
        Family("up", "gauge", "Whether it is up."),
        Family("none", "gauge", "Nothing."),
        Family("n_total", "counter", "N."),
    ]
    samples = [
        Sample("n_total", 3, {"app": "a", "code": "200"}),
        Sample("up", 1, {"app": "a"}),
        Sample("n_total", 4.5, {}),
        Sample("up", 0, {"app": "b"}),
    ]
    assert exposition.render(families, samples) == (
        "# HELP up Whether it is up.\n"
        "# TYPE up gauge\n"
        'up{app="a"} 1\n'
        'up{app="b"} 0\n'
        "# HELP n_total N.\n"
        "# TYPE n_total counter\n"
        'n_total{app="a",code="200"} 3\n'
        "n_total 4.5\n"
    )


def test_what_would_end_a_label_or_a_line_is_escaped() -> None:
    family, sample = Family("x", "gauge", "a\\b\nc"), Sample("x", 1, {"label": 'a"b\\c\nd é'})
    assert exposition.render([family], [sample]) == (
        "# HELP x a\\\\b\\nc\n# TYPE x gauge\n" + 'x{label="a\\"b\\\\c\\nd é"} 1\n'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "1"),
        (0, "0"),
        (1795651200.0, "1795651200"),
        (2**53 + 1, "9007199254740993"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
    ],
)
def test_a_number_is_written_without_loss(value: float, text: str) -> None:
    assert exposition.number(value) == text
