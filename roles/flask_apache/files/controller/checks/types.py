"""Types and choices, as meta/argument_specs.yml declares them.

Ansible has checked them before, but it lets pass what it merely finds convertible, such as 'yes' for a flag or 200 for
a list, and the role would use that as it is. Numbers are checked with their ranges: see ranges.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from controller.checks import values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables

Options = dict[str, dict[str, Any]]

# Besides those whose default is null: with null the role does what it does with an empty string, or leaves an option
# of the daemon processes to mod_wsgi.
NULLABLE = ("access_log", "error_log", "mod_wsgi_telemetry")
LITERAL = ("hooks",)  # goes to the host as it is, so 'yes' or '60' would be strings there
LISTS = {"str": " such as [a, b]", "path": " such as [/a, /b]", "int": " of numbers", "dict": " of mappings"}
SIMPLE = (str, int, float)


def options_of(specs: dict[str, Any]) -> Options:
    """Return the options of all entry points in meta/argument_specs.yml, without the prefix of their names."""
    return {
        name.removeprefix("flask_apache_"): option
        for entry_point in specs["argument_specs"].values()
        for name, option in entry_point["options"].items()
    }


def may_be_null(name: str, option: dict[str, Any]) -> bool:
    """Tell whether a variable may have no value."""
    is_daemon_option = name.startswith("daemon_") and name != "daemon_processes"
    return option.get("default", "") is None or name in NULLABLE or is_daemon_option


def check(own: Variables, options: Options) -> Iterator[str]:
    """Report values of another type than their variable's."""
    for name, option in options.items():
        if own[name] is not None or not may_be_null(name, option):
            yield from value_errors(name, own[name], option)


def usable(own: Variables, options: Options) -> Variables:
    """Return the variables, with an empty value instead of each one that is not the list or mapping that it must be.

    An item of a wrong type stays in its list, as the other items' places count it.
    """
    found = dict(own)
    for name, option in options.items():
        kind = {"list": list, "dict": dict}.get(option["type"])
        if kind and not isinstance(own[name], kind) and (own[name], option.get("default", "")) != (None, None):
            found[name] = option.get("default") or kind()
    return found


def value_errors(place: str, value: object, option: dict[str, Any]) -> Iterator[str]:
    """Report a value, or values in it, of another type than declared."""
    kind = option.get("type", "str")
    if "choices" in option:
        if value not in option["choices"]:
            yield values.error(place, f"be {values.listed(option['choices'])}", value)
    elif kind in ("str", "path"):
        if not isinstance(value, str):
            yield values.error(place, "be a string", value, "put it in quotes" if isinstance(value, SIMPLE) else "")
    elif kind == "bool":
        yield from flag_errors(place, value)
    elif kind == "dict":
        if not isinstance(value, dict):
            yield values.error(place, "be a mapping such as {NAME: 'value'}", value)
    elif kind == "list":
        yield from list_errors(place, value, option)


def flag_errors(place: str, value: object) -> Iterator[str]:
    """Report what is neither true nor false."""
    is_literal = place.startswith(LITERAL)
    if not (isinstance(value, bool) if is_literal else values.is_flag(value)):
        advice = "write it without quotes" if is_literal and values.is_flag(value) else ""
        yield values.error(place, "be true or false", value, advice)


def list_errors(place: str, value: object, option: dict[str, Any]) -> Iterator[str]:
    """Report values that are not a list, and items of another type than declared."""
    if not isinstance(value, list):
        must = f"be a list{LISTS.get(option.get('elements', 'str'), '')}"
        yield values.error(place, must, value, "use [] for none" if value is None else "")
        return
    elements = {key: item for key, item in option.items() if key in ("options", "choices")}
    elements["type"] = option.get("elements", "str")
    for index, item in enumerate(value):
        if "options" in option:
            yield from mapping_errors(f"{place}[{index}]", item, option["options"])
        else:
            yield from value_errors(f"{place}[{index}]", item, elements)


def mapping_errors(place: str, item: object, options: Options) -> Iterator[str]:
    """Report what is not the mapping that was declared, and values in it of another type."""
    required = [key for key, option in options.items() if option.get("required")]
    if not isinstance(item, dict) or not set(required) <= set(item):
        yield values.error(place, f"be a mapping with the keys {values.listed(required, 'and')}", item)
        return
    if not set(item) <= set(options):
        yield values.error(place, f"have no keys other than {values.listed(options, 'and')}", item)
    for key, option in options.items():
        if key in item:
            yield from value_errors(f"{place}.{key}", item[key], option)
