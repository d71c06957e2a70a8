"""All checks together: what the role refuses before it changes anything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.checks import types
from tests.unit.controller.given import SECRET, SPEC, SPECS, errors, variables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_the_defaults_are_accepted(source: Path) -> None:
    assert errors(variables(source)) == []


def test_all_errors_are_reported_at_once(source: Path) -> None:
    own = variables(
        source,
        app="Shop",
        port=0,
        server_aliases="example.com",
        environment=f"A={SECRET}",
        daemon_threads="many",
        source="nowhere",
        enviroment={"A": SECRET},
    )
    names = [line.partition(" ")[0].removeprefix("flask_apache_") for line in errors(own, root=False)]
    assert names == [
        *("enviroment", "environment", "server_aliases", "app", "port", "daemon_threads", "source", "host:"),
    ]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("flask_apache_enviroment", "flask_apache_environment"),
        ("flask_apache_deamon_threads", "flask_apache_daemon_threads"),
        ("flask_apache_servername", "flask_apache_server_name"),
        ("flask_apache_heath_path", "flask_apache_health_path"),
    ],
)
def test_a_typing_error_gets_the_nearest_name(source: Path, typo: str, meant: str) -> None:
    line = f"{typo} must not be set: the role has no such variable; did you mean {meant}?"
    assert errors({**variables(source), typo: SECRET}) == [line]


def test_nothing_is_printed_or_changed(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    given_values = variables(source, port="80", hooks=None, health_status="200", data_directories=["a", 1])
    before = repr(given_values)
    errors(given_values)
    assert repr(given_values) == before
    assert capfd.readouterr() == ("", "")


WRONG: dict[str, tuple[object, ...]] = {
    "str": (1, 1.5, True, [], ["a"], {}, {"a": "b"}),
    "path": (1, True, [], {}),
    "int": ("many", "", 1.5, True, [], {}, 10**40),
    "float": ("much", "", True, [], {}, float("nan")),
    "bool": ("maybe", "", 2, [], {}),
    "list": ("a", 1, True, {}, {"a": "b"}),
    "dict": ("a", 1, True, [], ["a"], None),
}


OPTIONS = types.options_of(SPECS)


def wrong_values(name: str) -> Iterator[tuple[object, str]]:
    """Yield values of wrong types, also as items and keys, each with its place."""
    option = OPTIONS[name]
    yield from ((value, name) for value in WRONG[option["type"]])
    if option["type"] == "list":
        yield from (([value], f"{name}[0]") for value in WRONG.get(option["elements"], (1, None, [], {})))
    keys = option.get("options", {})
    right = {key: "before_start" if key == "at" else "daily" for key, each in keys.items() if each.get("required")}
    for key, each in keys.items():
        for value in WRONG.get(each["type"], (1, None, [], {})):
            yield [right | {key: value}], f"{name}[0].{key}"


@pytest.mark.parametrize("name", OPTIONS)
def test_a_wrong_type_is_refused_where_it_is(source: Path, name: str) -> None:
    for value, place in wrong_values(name):
        found = errors(variables(source, **{name: value}))
        assert any(line.startswith(f"flask_apache_{place} must ") for line in found), (value, found)


ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**40), 10**40),
        st.floats(),
        st.text(max_size=30),
        st.sampled_from(
            ["", "80", "yes", "a=b", '{"a": [1]}', "a,b", "/", "a:b(", "nan", "1e999", "x" * 5000, "/" * 5000]
        ),
    ),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(sorted(SPEC)), ANYTHING, min_size=1, max_size=3))
def test_whatever_ansible_lets_through_gets_lines_not_a_traceback(source: Path, changes: dict[str, Any]) -> None:
    values = variables(source) | changes
    if not ArgumentSpecValidator(SPEC).validate(values).error_messages:
        errors(values)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(sorted(SPEC)), ANYTHING, min_size=1, max_size=3))
def test_what_ansible_refuses_is_no_traceback_either(source: Path, changes: dict[str, Any]) -> None:
    errors(variables(source) | changes)


def test_nothing_but_the_standard_library_is_imported() -> None:
    tops = {
        str(getattr(module, "__name__", "")).partition(".")[0]
        for name, part in list(sys.modules.items())
        if name.partition(".")[0] == "controller"
        for module in vars(part).values()
        if isinstance(module, type(sys))
    }
    # ansible-core needs cryptography, too
    assert tops - {"controller", "flask_apachectl", "cryptography"} <= sys.stdlib_module_names
