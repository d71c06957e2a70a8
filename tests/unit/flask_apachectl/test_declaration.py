"""Declarations are typed: what is missing, unknown or of a wrong type is named."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_apachectl import declaration
from flask_apachectl.declaration import DamagedError, DataDirectory, Hook, Site, Spec, Static, Worker
from tests.unit.flask_apachectl.samples import declared

FULL = declared(
    server_aliases=["example.com"],
    data_directories=[{"name": "uploads", "link": "app/uploads"}],
    static=[{"url": "/static", "path": "app/static", "immutable": True}],
    hooks=[
        {"at": "before_start", "run": "flask db upgrade", "once": True, "timeout": 300},
        {"at": "after_switch", "run": ["flask", "warm"], "once": False, "timeout": 10},
    ],
    workers=[{"name": "queue", "instances": 2, "stop_timeout": 30}],
    timers=["nightly"],
    units={"flask-apache-shop-queue@.service": "[Unit]\n"},
)
KINDS: dict[str, type[Any]] = {"site": Site, "spec": Spec}
KEYS = [(part, each.name) for part, kind in KINDS.items() for each in fields(kind)]
NESTED: list[tuple[type[Any], dict[str, Any]]] = [
    (Hook, FULL["spec"]["hooks"][0]),
    (DataDirectory, FULL["spec"]["data_directories"][0]),
    (Static, FULL["spec"]["static"][0]),
    (Worker, FULL["spec"]["workers"][0]),
]
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)


def refusal(kind: type[Any], value: object, place: str = "app.json: part") -> str:
    """Return why a value is no such record."""
    with pytest.raises(DamagedError) as error:
        declaration.read(kind, value, place)
    return str(error.value)


def test_a_declaration_survives_json() -> None:
    for part, kind in KINDS.items():
        read = declaration.read(kind, json.loads(json.dumps(FULL[part])), part)
        assert declaration.read(kind, json.loads(json.dumps(asdict(read))), part) == read
    spec = declaration.read(Spec, FULL["spec"], "spec")
    assert spec.hooks[1].run == ("flask", "warm")
    assert spec.data_links == {"app/uploads": "uploads"}
    assert declaration.read(Spec, FULL["spec"] | {"requirements": None}, "spec").requirements is None


@pytest.mark.parametrize(("part", "name"), KEYS)
def test_a_missing_key_is_named(part: str, name: str) -> None:
    value = {key: each for key, each in FULL[part].items() if key != name}
    assert refusal(KINDS[part], value) == f"app.json: part lacks {name}"


@pytest.mark.parametrize(("part", "name"), KEYS)
def test_a_value_of_a_wrong_type_is_named(part: str, name: str) -> None:
    for wrong in (1.5, {"a": [None]}, [[1.5]]):
        message = refusal(KINDS[part], FULL[part] | {name: wrong})
        assert message.startswith(f"app.json: part.{name}")
        assert " must be " in message or " has unknown keys: " in message or " lacks " in message


@pytest.mark.parametrize("part", KINDS)
def test_an_unknown_key_is_named(part: str) -> None:
    assert refusal(KINDS[part], FULL[part] | {"colour": 1, "size": 2}) == (
        "app.json: part has unknown keys: colour, size"
    )


@pytest.mark.parametrize(("kind", "value"), NESTED, ids=lambda each: getattr(each, "__name__", ""))
def test_records_within_are_checked_alike(kind: type[Any], value: dict[str, Any]) -> None:
    for name in value:
        assert refusal(kind, {key: each for key, each in value.items() if key != name}).endswith(f" lacks {name}")
        assert refusal(kind, value | {name: 1.5}).startswith(f"app.json: part.{name} must be ")
    assert refusal(kind, value | {"colour": 1}).endswith(" has unknown keys: colour")


def test_the_place_in_a_list_is_named() -> None:
    hooks = [*FULL["spec"]["hooks"], {"at": "before_start", "run": "x", "once": "yes", "timeout": 1}]
    assert refusal(Spec, FULL["spec"] | {"hooks": hooks}, "spec") == "spec.hooks[2].once must be bool, got str"
    assert refusal(Spec, FULL["spec"] | {"units": {"a": 1}}, "spec") == "spec.units[a] must be str, got int"


def test_a_flag_is_no_number_and_a_number_no_flag() -> None:
    assert refusal(Site, FULL["site"] | {"port": True}, "site") == "site.port must be int, got bool"
    assert refusal(Site, FULL["site"] | {"default_server": 1}, "site") == "site.default_server must be bool, got int"


@given(st.sampled_from(KEYS), ANYTHING)
def test_whatever_stands_there_is_read_or_named(key: tuple[str, str], value: object) -> None:
    part, name = key
    try:
        read = declaration.read(KINDS[part], FULL[part] | {name: value}, "place")
    except DamagedError as error:
        assert str(error).startswith(f"place.{name}")  # noqa: PT017
    else:
        assert json.loads(json.dumps(asdict(read)[name])) == value


@given(ANYTHING)
def test_whatever_a_file_holds_is_a_declaration_or_damaged(value: object) -> None:
    for kind in KINDS.values():
        refusal(kind, value)
    with pytest.raises(DamagedError):
        declaration.expect_format(value, "app.json")


def test_formats() -> None:
    assert declaration.expect_format(FULL, "app.json") == FULL
    with pytest.raises(DamagedError) as error:
        declaration.expect_format({**FULL, "format": 5}, "app.json")
    assert str(error.value) == (
        "app.json was written by a newer flask_apache: its format is 5, and this engine reads 4. "
        "Use that version of the role, or a newer one"
    )
    for old in ({"app": "shop"}, {"format": 1}, {"format": "x"}, {"format": None}):
        with pytest.raises(DamagedError, match=r"^app\.json was written by an older flask_apache: run the role"):
            declaration.expect_format(old, "app.json")
    with pytest.raises(DamagedError, match="must be a mapping, got list"):
        declaration.expect_format([], "app.json")


@pytest.mark.parametrize("number", range(declaration.EARLIEST, declaration.FORMAT))
def test_an_earlier_format_has_defaults_for_what_came_later(number: int) -> None:
    later = {
        name: value for since, names in declaration.SINCE.items() if since > number for name, value in names.items()
    }
    before = {name: value for name, value in FULL["site"].items() if name not in later}
    found = declaration.expect_format({**FULL, "format": number, "site": before}, "app.json")
    assert found == {**FULL, "site": {**before, **later}}
    declaration.read(Site, found["site"], "site")


@pytest.mark.parametrize("name", ["irreversible", "index_private", "installer", "uv_version", "build_timeout"])
def test_how_a_release_was_built_is_no_input(name: str) -> None:
    assert name not in declaration.read(Spec, FULL["spec"], "spec").inputs


def test_all_else_is_an_input() -> None:
    assert len(declaration.read(Spec, FULL["spec"], "spec").inputs) == len(fields(Spec)) - 5
