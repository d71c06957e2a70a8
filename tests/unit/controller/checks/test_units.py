"""Environment, workers, timers, hooks and data directories."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from controller import plan
from controller.checks import values
from tests.unit.controller.given import HOST, SECRET, errors, refused, variables

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "own",
    [
        {"data_directories": ["uploads", "media/images", {"name": "instance", "link": "shop/instance"}]},
        {"data_directories": [{"name": "uploads"}, {"name": "all", "link": "a"}, {"name": "all", "link": "ab"}]},
        {"data_directories": [{"name": "instance", "link": "instance"}, {"name": "a", "link": "b"}, "b/c"]},
        {"data_directories": [{"name": "a", "link": None}, {"name": "a/b", "link": ""}]},
        {"hooks": [{"at": "before_start", "run": "flask db upgrade", "once": True, "timeout": 60}]},
        {"hooks": [{"at": "after_switch", "run": ["sh", "-c", 'echo "it\'s" ${HOME}']}], "irreversible": "yes"},
    ],
    ids=repr,
)
def test_what_works_is_accepted(source: Path, own: dict[str, Any]) -> None:
    assert errors(variables(source, **own)) == []


REFUSED = [
    *refused("data_directories[0]", "be a relative path, such as static/uploads", ["../etc"], got="'../etc'"),
    *refused("data_directories[0]", "be a relative path, such as static/uploads", ["/etc"], got="'/etc'"),
    *refused("data_directories[0]", "be a relative path, such as static/uploads", [".ssh"], got="'.ssh'"),
    *refused(
        "data_directories[0].name",
        "be a relative path, such as static/uploads",
        [{"name": "a/../../b"}],
        got="'a/../../b'",
    ),
    *refused(
        "data_directories[0].link",
        "be a relative path, such as static/uploads",
        [{"name": "a", "link": "/etc"}],
        got="'/etc'",
    ),
    *refused(
        "data_directories[0].link",
        "be a relative path, such as static/uploads",
        [{"name": "a", "link": "a/.."}],
        got="'a/..'",
    ),
    *refused("data_directories[0].name", "be a relative path, such as static/uploads", [{"name": 1}], got="1"),
    *refused("data_directories[0].name", "be a relative path, such as static/uploads", [{"name": ""}], got="''"),
    *refused(
        "data_directories[0]",
        "be a path such as uploads, or a mapping such as {name: uploads, link: static/uploads}",
        [{"path": "a"}],
        got="{'path': 'a'}",
    ),
    *refused(
        "data_directories[0]",
        "be a path such as uploads, or a mapping such as {name: uploads, link: static/uploads}",
        [3],
        got="3",
    ),
    *refused(
        "data_directories[1].link",
        "be neither inside another link nor around one",
        [{"name": "a", "link": "x"}, {"name": "b", "link": "x/y"}],
        got="'x/y'",
        advice="flask_apache_data_directories[0].link is 'x'",
    ),
    *refused(
        "hooks[0].run",
        "be a program and its arguments, as a string with balanced quotes or a list of strings",
        [{"at": "before_start", "run": ""}],
        got="''",
    ),
    *refused(
        "hooks[0].once",
        "be false for before_check",
        [{"at": "before_check", "run": "make keys", "once": True}],
        got="true",
        advice="every host imports the app, so its hook must run on every host",
    ),
    *refused(
        "hooks[0].run",
        "be a program and its arguments, as a string with balanced quotes or a list of strings",
        [{"at": "before_start", "run": "echo 'a"}],
        got='"echo \'a"',
        advice="no closing quotation",
    ),
    *refused(
        "hooks[0].run",
        "be a program and its arguments, as a string with balanced quotes or a list of strings",
        [{"at": "before_start", "run": ["a", 1]}],
        got="['a', 1]",
    ),
    *refused(
        "environment",
        "have names of at most 255 letters, digits and underscores that do not begin with a digit",
        {"A-B": SECRET},
        got="'A-B'",
    ),
    *refused("environment.A", "be a string or a number", {"A": [SECRET]}, got="a list"),
    *refused("environment.A", "be a string or a number", {"A": None}, got="null"),
    *refused(
        "environment",
        "not have names that begin with FLASK_APACHE_",
        {"FLASK_APACHE_POOL": SECRET},
        got="'FLASK_APACHE_POOL'",
        advice="the role sets those",
    ),
]


@pytest.mark.parametrize(("own", "line"), REFUSED)
def test_what_could_not_run_is_refused(source: Path, own: dict[str, Any], line: str) -> None:
    assert errors(variables(source, **own)) == [line]


def test_a_date_is_no_value_of_an_environment_variable(source: Path) -> None:
    assert errors(variables(source, environment={"A": dt.date(2024, 1, 2)})) == [
        "flask_apache_environment.A must be a string or a number, got a date"
    ]


def test_an_environment_variables_value_has_no_nul_byte_and_no_half_character(source: Path) -> None:
    assert errors(variables(source, environment={"A": f"{SECRET}\0"})) == [
        "flask_apache_environment.A must not contain NUL bytes; encode the value, for example as base64"
    ]
    assert errors(variables(source, environment={"A": f"{SECRET}\ud800"})) == [
        "flask_apache_environment.A must be valid Unicode, got half of a surrogate pair; encode it as base64"
    ]


COMMAND = "must be a program and its arguments, as a string with balanced quotes or a list of strings, got"
SIGNALS = "SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 or SIGWINCH"


@pytest.mark.parametrize(
    ("own", "line"),
    [
        (
            {"workers": [{"name": "a-b", "command": "x"}]},
            (
                "workers[0].name must be a lower-case letter followed by up to 31 lower-case letters, digits or "
                "underscores, got 'a-b'"
            ),
        ),
        (
            {"workers": [{"name": "a", "command": "x 'y"}]},
            f'workers[0].command {COMMAND} "x \'y"; no closing quotation',
        ),
        ({"workers": [{"name": "a", "command": []}]}, f"workers[0].command {COMMAND} []"),
        ({"workers": [{"name": "a", "command": ["x", 1]}]}, f"workers[0].command {COMMAND} ['x', 1]"),
        (
            {"workers": [{"name": "b", "command": "x"}, {"name": "a", "command": "x", "stop_signal": "SIGKILL"}]},
            f"workers[1].stop_signal must be {SIGNALS}, got 'SIGKILL'",
        ),
        (
            {"workers": [{"name": "a", "command": "x", "instances": 0}]},
            "workers[0].instances must be a number of instances from 1 to 100, got 0",
        ),
        (
            {"workers": [{"name": "a", "command": "x", "stop_timeout": "long"}]},
            "workers[0].stop_timeout must be a number of seconds from 1 to 86400, got 'long'",
        ),
        (
            {"timers": [{"name": "a", "command": "x", "calendar": "whenever"}]},
            (
                "timers[0].calendar must be a calendar event that systemd can read, such as daily or Mon..Fri 04:30, "
                "got 'whenever'"
            ),
        ),
        (
            {"timers": [{"name": "a", "command": "x", "calendar": "daily"}] * 2},
            "timers[1].name must differ from that of flask_apache_timers[0], got 'a'",
        ),
        (
            {
                "timers": [{"name": "a", "command": "x", "calendar": "daily"}],
                "workers": [{"name": "a", "command": "x"}],
            },
            "timers[0].name must differ from that of flask_apache_workers[0], got 'a'",
        ),
    ],
    ids=repr,
)
def test_a_unit_that_could_not_start(source: Path, own: dict[str, Any], line: str) -> None:
    assert errors(variables(source, **own)) == [f"flask_apache_{line}"]


def test_units_need_systemd(source: Path) -> None:
    workers = [{"name": "a", "command": "x 'y z' \"$1\"", "instances": "2"}]
    assert errors(variables(source, workers=workers)) == []
    (found,) = errors(variables(source, workers=workers), systemd=False)
    assert found.startswith("flask_apache_workers must be [] on a host where systemd does not run, got [{")


@pytest.mark.parametrize(
    ("links", "line"),
    [
        (["x", "x"], "data_directories[1].link must differ from flask_apache_data_directories[0].link, got 'x'"),
        (
            ["x/y", "x"],
            (
                "data_directories[1].link must be neither inside another link nor around one, got 'x'; "
                "flask_apache_data_directories[0].link is 'x/y'"
            ),
        ),
    ],
)
def test_links_that_replace_each_other(source: Path, links: list[str], line: str) -> None:
    declared = [{"name": f"data/{number}", "link": link} for number, link in enumerate(links)]
    assert errors(variables(source, data_directories=declared)) == [f"flask_apache_{line}"]


def test_metrics_need_systemd(source: Path) -> None:
    own = variables(source, metrics_textfile="/var/lib/prometheus/node-exporter")
    assert errors(own) == []
    must = "be '' on a host where systemd does not run"
    assert errors(own, systemd=False) == [values.error("metrics_textfile", must, own["flask_apache_metrics_textfile"])]
    assert errors(variables(source), systemd=False) == []


def test_a_missing_directory_for_metrics_is_a_warning(source: Path) -> None:
    own = variables(source, metrics_textfile="/var/lib/prometheus/node-exporter")
    assert errors(own, textfile_missing=True) == []
    assert list(plan.warnings(own, HOST)) == []
    (warning,) = plan.warnings(own, {**HOST, "textfile_missing": True})
    assert warning == (
        "flask_apache_metrics_textfile: /var/lib/prometheus/node-exporter is not a directory on the host, so metrics "
        "are not written yet: install prometheus-node-exporter, or create it"
    )
