"""What the control node asks for: the digest stands for all of it, and a release's id for what makes the release."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import requests, tls
from tests.unit.role.cases import CASES, CONSTANTS, host, variables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from controller.files import Template

FULL: dict[str, Any] = {
    "flask_apache_environment": {"KEY": "correct horse", "WORKERS": 3},
    "flask_apache_hooks": [{"at": "before_start", "run": "flask db upgrade"}],
    "flask_apache_basic_auth": [{"users": {"alice": "wonderland"}}],
    "flask_apache_index_url": "https://user:battery@index.example.com/simple",
}


def render(template: Template) -> str:
    """Render nothing, but tell which template and with what."""
    return f"{template.template} {sorted(template.variables)}\n"


def request(case: str = "units", *, engine: bytes = b"1", entry: str = "entry", **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what is sent for an app."""
    inspected = {**CASES[case][1], "salt": "salt", **changes.pop("host", {})}
    variables = variables_of(case) | FULL | changes
    pages = changes.pop("pages", {})
    texts: dict[str, Any] = {
        "entry": entry,
        "completion": "completion",
        "certificate": tls.material(variables, str.upper),
    }
    return requests.declaration_of(variables, inspected, CONSTANTS, render, engine=engine, pages=pages, **texts)


def leaves(value: object, way: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Yield the ways to all values that hold no others."""
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = list(pairs)
    for key, each in found:
        yield from leaves(each, (*way, key))
    if not found:
        yield way


def at(value: Any, way: tuple[Any, ...]) -> Any:  # noqa: ANN401
    """Return what is at the end of a way."""
    for key in way:
        value = value[key]
    return value


REQUEST = request()
WAYS = [way for way in leaves(REQUEST) if way[0] not in ("digest", "index_urls")]


@given(st.sampled_from(WAYS), st.text(max_size=3))
def test_the_digest_depends_on_everything(way: tuple[Any, ...], other: str) -> None:
    changed = copy.deepcopy(REQUEST)
    if at(changed, way) != other:
        at(changed, way[:-1])[way[-1]] = other
        assert requests.digest(changed) != REQUEST["digest"]


def test_every_part_has_a_say_in_the_digest() -> None:
    assert {way[0] for way in WAYS} == {
        *("app", "site", "spec", "environment", "directories", "files", "apache", "engine", "salt", "users")
    }
    for change in ({"engine": b"2"}, {"entry": "other"}, {"host": {"salt": "other"}}, {"flask_apache_port": 81}):
        assert request(**change)["digest"] != REQUEST["digest"]
    assert request() == REQUEST


def test_credentials_of_an_index_are_in_no_digest_and_in_nothing_that_is_kept() -> None:
    other = request(flask_apache_index_url="https://user:staple@index.example.com/simple")
    assert other["digest"] == REQUEST["digest"]
    assert other["index_urls"] == ["https://user:staple@index.example.com/simple"]
    assert "staple" not in json.dumps({name: value for name, value in other.items() if name != "index_urls"})


def test_what_is_sent_can_be_sent() -> None:
    for case in CASES:
        found = request(case)
        assert json.loads(json.dumps(found)) == found


# --- Ids of releases


def ids(**changes: Any) -> list[str]:  # noqa: ANN401
    """Return the ids of a source's release."""
    return requests.release_ids(request(**changes), "aaaaaaaaaaaa")


def test_a_release_has_two_ids_of_its_source() -> None:
    first, second = ids()
    assert first != second
    assert all(each.startswith("aaaaaaaaaaaa-") for each in (first, second))


@pytest.mark.parametrize(
    "changes",
    [
        {"distribution": "Ubuntu", "distribution_version": "24.04"},
        {"python": "3.13"},
        {"mod_wsgi_package": "5.0.2"},
        {"salt": "other"},
        {"live": "x", "digest": "y"},
    ],
    ids=str,
)
def test_hosts_that_differ_in_what_is_installed_make_releases_of_one_id(changes: dict[str, str]) -> None:
    assert ids(host=changes) == ids()


@pytest.mark.parametrize(
    "changes",
    [
        {"flask_apache_environment": {"KEY": "other"}},
        {"flask_apache_health_path": "/other"},
        {"flask_apache_hooks": []},
        {"flask_apache_wsgi": "other:app"},
        {"flask_apache_python": "/opt/python3"},
        {"host": {"wheelhouse": "0123"}},
    ],
    ids=str,
)
def test_what_a_release_is_made_of_makes_another_id(changes: dict[str, Any]) -> None:
    assert not set(ids(**changes)) & set(ids())


@pytest.mark.parametrize(
    "changes", [{"flask_apache_port": 81}, {"flask_apache_mount": "/other"}, {"flask_apache_keep_releases": 9}], ids=str
)
def test_how_the_host_serves_it_makes_no_other_release(changes: dict[str, Any]) -> None:
    assert ids(**changes) == ids()


def test_what_a_host_has_and_serves_is_live() -> None:
    good: Callable[..., dict[str, Any]] = lambda **changes: {  # noqa: E731
        **host(),
        "digest": REQUEST["digest"],
        "drift": [],
        "live": ids()[0],
        **changes,
    }
    assert requests.is_live(REQUEST, good(), "aaaaaaaaaaaa")
    assert requests.is_live(REQUEST, good(live=ids()[1]), "aaaaaaaaaaaa")
    for other in ({"digest": ""}, {"drift": ["a"]}, {"live": None}, {"live": "bbbbbbbbbbbb-123456"}):
        assert not requests.is_live(REQUEST, good(**other), "aaaaaaaaaaaa")


def test_a_question_of_variables_that_were_not_checked() -> None:
    variables = variables_of("defaults") | {
        "flask_apache_system_packages": 5,
        "flask_apache_timers": [{"calendar": "daily"}, "odd", {}],
        "flask_apache_metrics_textfile": ["/x"],
    }
    found = requests.question(variables, CONSTANTS)
    assert found["packages"] == CONSTANTS["__flask_apache_packages"]["common"]
    assert found["calendars"] == ["daily", "None"]
    assert found["textfile"] == ""
    assert requests.question(variables_of("logs"), CONSTANTS)["textfile"] == "/var/lib/metrics"


def test_the_language_of_the_daemon_processes_is_that_of_all_processes() -> None:
    german = {"flask_apache_daemon_lang": "de_DE.UTF-8"}
    assert "LANG" not in requests.environment(variables_of("defaults"))
    assert requests.environment(variables_of("defaults") | german)["LANG"] == "de_DE.UTF-8"
    own = german | {"flask_apache_environment": {"LANG": "fr_FR.UTF-8"}}
    assert requests.environment(variables_of("defaults") | own)["LANG"] == "fr_FR.UTF-8"
