"""Environment variables that cannot be set, or that would not mean the same in every process."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from controller.checks.environment import LARGEST_STRING
from tests.unit.controller.given import SECRET, errors, variables

if TYPE_CHECKING:
    from pathlib import Path

FOLLOWED = (
    *("TZ", "PYTHONPATH", "PYTHONWARNINGS", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "PYTHONFAULTHANDLER"),
    *("PYTHONIOENCODING", "PYTHONUTF8", "PYTHON_ENV", "PYTHONANYWHERE_SITE", "SSL_CERT_FILE", "TMPDIR", "HTTPS_PROXY"),
)
NOT_FOLLOWED = (
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_BIND_NOW", "GLIBC_TUNABLES", "OPENSSL_CONF", "OPENSSL_MODULES"),
    *("PYTHONHASHSEED", "PYTHONOPTIMIZE", "PYTHONDEVMODE", "PYTHONHOME", "PYTHONSAFEPATH", "PYTHON_GIL"),
)
LOCALE = "be a UTF-8 locale, such as de_DE.UTF-8, got a value that is not shown"


@pytest.mark.parametrize(
    "environment",
    [
        *({name: "x"} for name in FOLLOWED),
        {"PYTHONHASHSEED": "random", "PYTHONOPTIMIZE": "", "LD_PRELOAD": ""},
        {"MALLOC_ARENA_MAX": "2", "PYTHONTRACEMALLOC": 5, "PYTHONINTMAXSTRDIGITS": "0"},
        {"LANG": "de_DE.UTF-8", "LC_ALL": "C", "LC_CTYPE": "ca_ES.utf8@valencia", "LANGUAGE": "de:en", "LC_TIME": ""},
        {"A": "x" * (LARGEST_STRING - 3)},
        {f"N{number}": "x" * 100_000 for number in range(19)},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_what_works_in_every_process_is_accepted(source: Path, environment: dict[str, Any]) -> None:
    assert errors(variables(source, environment=environment)) == []


@pytest.mark.parametrize("name", NOT_FOLLOWED)
def test_what_a_web_process_cannot_follow_is_refused(source: Path, name: str) -> None:
    (line,) = errors(variables(source, environment={name: SECRET}))
    assert line.startswith(f"flask_apache_environment.{name} must not be set: ")
    assert line.endswith(f"a hook, worker or timer can set it for its own command: `env {name}=... program`")
    assert SECRET not in line


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MALLOC_ARENA_MAX", "two", "be a whole number, got a value that is not shown"),
        ("PYTHONTRACEMALLOC", "yes", "be a whole number, got a value that is not shown"),
        ("LC_ALL", "de_DE", LOCALE),
        ("LANG", "de_DE.ISO-8859-1", LOCALE),
    ],
)
def test_a_value_that_python_would_not_take_is_refused(source: Path, name: str, value: str, expected: str) -> None:
    assert errors(variables(source, environment={name: value})) == [f"flask_apache_environment.{name} must {expected}"]


def command(variable: str, *words: str) -> dict[str, Any]:
    """Return a hook, a worker or a timer with a command."""
    more = {"hooks": {"at": "before_start"}, "workers": {"name": "queue"}, "timers": {"name": "nightly"}}[variable]
    key = "run" if variable == "hooks" else "command"
    calendar = {"calendar": "daily"} if variable == "timers" else {}
    return {variable: [{**more, **calendar, key: list(words)}]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"environment": {"A": "x" * (LARGEST_STRING - 2)}},
            "environment.A must have at most 131,072 bytes with its name, got 131,073",
        ),
        (
            {"environment": {"A": "ü" * 70_000}},
            "environment.A must have at most 131,072 bytes with its name, got 140,003",
        ),
        (
            {"environment": {f"N{number}": "x" * 100_000 for number in range(20)}},
            "environment must have at most 1,966,080 bytes in all, got 2,000,250",
        ),
        *(
            (
                command(variable, "program", "x" * 140_000),
                f"{variable}[0].{key}[1] must have at most 100,000 bytes, got 140,000",
            )
            for variable, key in (("hooks", "run"), ("workers", "command"), ("timers", "command"))
        ),
        (
            {
                "environment": {f"N{number}": "x" * 100_000 for number in range(19)},
                **command("hooks", "program", "x" * 100_000),
            },
            "hooks[0].run must have at most 1,966,080 bytes together with flask_apache_environment, got ",
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_what_linux_would_start_no_program_with_is_refused(source: Path, given: dict[str, Any], expected: str) -> None:
    """Otherwise some innocent hook would fail with "Argument list too long"."""
    (line,) = errors(variables(source, **given))
    assert line.startswith(f"flask_apache_{expected}"), line
    assert "xxx" not in line


@pytest.mark.parametrize(("size", "fits"), [(LARGEST_STRING, True), (LARGEST_STRING + 1, False)])
def test_the_limit_is_that_of_linux(size: int, *, fits: bool) -> None:
    starts = True
    try:
        subprocess.run(["/bin/true"], env={**os.environ, "A": "x" * (size - len("A=") - 1)}, check=True)
    except OSError:
        starts = False
    assert starts == fits
