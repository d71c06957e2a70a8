"""Any string in any variable is refused with one clear error, or arrives byte for byte where it should."""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import access, declaration, requests, source, tls
from controller.checks.values import HIDDEN
from flask_apachectl.host import programs
from tests.unit import readers
from tests.unit.controller import places
from tests.unit.controller.given import errors
from tests.unit.controller.places import KEY, ON_THE_CONTROL_NODE, Place
from tests.unit.programs import ROLE, load
from tests.unit.role.cases import CONSTANTS, host

if TYPE_CHECKING:
    from pathlib import Path

PLACES = list(places.places())
PARTS = [
    *("\n", "\r\n", "\t", "\0", "\x1b[31m", "\x7f", "\x85", "\u2028", "\ufeff", "\u202e", "\ud800", "\udc80", "ü"),
    *("\U0001f600", "\u212a", '"', "'", "\\", "\\\\", "\\n", "\\x41", "\\\n", "$", "$HOME", "${HOME}", "$$", "%", "%i"),
    *(
        "%{HTTP_HOST}",
        "{{ 7 * 7 }}",
        "{% raw %}",
        "{instance}",
        "#",
        "; ",
        " # ",
        "&&",
        "|",
        "<",
        ">",
        "</VirtualHost>",
    ),
    *("-", "/", "/../", "//", ":", "=", ",", " ", "*", "?", "[", "]", "(", ")", "@"),
]
FIRST = ("\n", '"', "\\", "%", "${HOME}", "#", "-", "/", "*", " ", "@")  # which mean something at the beginning
# Whole strings that belong in no such variable, or that another program could read as something else.
STRINGS = ["", " ", "-x", "--help", "a" * 150_000, "ä" * 60_000, "NULL", "null", "None", "omit"]
# What is between the variables and the host's Apache, systemd and processes is on the control node, or in a task.
LOWERED = ("server_name", "server_aliases")
ELSEWHERE = ("system_packages", "rollback_to", *ON_THE_CONTROL_NODE)
PLUGIN: Any = load("action_plugins/flask_apache_engine.py")
PLUGIN.Environment = functools.cache(PLUGIN.Environment)  # templates are compiled once
PLUGIN.FileSystemLoader = functools.cache(PLUGIN.FileSystemLoader)


@pytest.fixture(scope="module")
def source_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a source on the control node, with everything that the variables name."""
    return places.write_source(tmp_path_factory.mktemp("hostile") / "source")


def request(variables: dict[str, Any]) -> dict[str, Any]:
    """Return what the host is sent for the variables."""
    inspected = {**host(), "salt": "salt"}
    derived = declaration.derive(variables, inspected, CONSTANTS)
    render = PLUGIN.renderer(ROLE / "templates", derived.as_app(), PLUGIN.MANAGED)
    pages = variables["flask_apache_error_pages"]
    files: dict[str, Any] = {
        "engine": b"1",
        "entry": "2",
        "completion": "3",
        "certificate": tls.material(variables, str),
    }
    made = requests.declaration_of(variables, inspected, CONSTANTS, render, pages=pages, **files)
    key = variables["flask_apache_git_key"]
    made["fetch"] = source.fetch_request(variables, git_key=key, have=[], plan=False, cache="")
    return made


def received(sent: dict[str, Any]) -> dict[str, Any]:
    """Return what the host makes of a request: the arguments of processes, units and Apache's directives."""
    sent = json.loads(json.dumps(sent, ensure_ascii=False).encode())
    for name in ("digest", "salt", "engine"):
        del sent[name]
    sent["site"]["shared"] = sorted(sent["site"]["shared"])  # without the digests
    spec = sent["spec"]
    spec["units"] = {name: unit(name, text) for name, text in spec["units"].items()}
    for hook in spec["hooks"]:
        hook["run"] = programs.split(hook["run"])
    apache = sent["apache"]
    for part in (apache["pools"], *apache["fragments"].values()):
        part["content"] = readers.apache(part["content"])
    for variants in apache["vhosts"].values():
        variants |= {variant: readers.apache(text) for variant, text in variants.items()}
    for part in ("server", "wsgi_load"):
        apache[part] = readers.apache(apache[part])
    return dict(sent)


def unit(name: str, text: str) -> list[tuple[str, str, Any]]:
    """Return a unit's settings, with the command that is run in the end."""
    instance = "7" if "@" in name else None
    return [
        (section, key, readers.command(value, instance) if key == "ExecStart" else value)
        for section, key, value in readers.unit(text)
    ]


Texts = dict[str, str]
Words = tuple[list[str], list[str]]


def substituted(value: object, texts: Texts, words: Words | None = None) -> object:
    """Return a value in which texts, or a list of words, are replaced, however deep."""
    if isinstance(value, dict):
        return {substituted(key, texts): substituted(each, texts, words) for key, each in value.items()}
    if words and value == words[0]:
        return words[1]
    if isinstance(value, (list, tuple)):
        return [substituted(each, texts, words) for each in value]
    if not isinstance(value, str):
        return value
    value = re.sub(r"/\d{3}-(?=[^/]*\.conf$)", "/000-", value)  # it counts a mount's characters
    value = re.sub(r"(?<=/users-)[0-9a-f]{8}\b", "", value)  # it stands for a path
    value = re.sub(r"(?<=-443-)[0-9a-f]{8}\b", "", value)  # it stands for an authority
    if not texts:
        return value
    return re.sub("|".join(map(re.escape, texts)), lambda found: texts[found[0]], value)


def forms(before: str, after: str) -> Texts:
    """Return in which forms a text arrives, and another one instead: as it is, in a pattern, in names."""
    made = (str, re.escape, access.escaped, in_pattern, str.lower, lambda text: text.upper().replace("-", "_"))
    return {form(before): form(after) for form in reversed(made)}


def in_pattern(text: str) -> str:
    """Return a path in the pattern of all that an app may understand as it."""
    return access.escaped(text.rstrip("/")).replace("/", "/+")


def difference(found: object, wanted: object, place: str = "") -> str:
    """Return where two values differ, or nothing."""
    if isinstance(found, dict) and isinstance(wanted, dict) and found.keys() == wanted.keys():
        pairs = [(key, found[key], wanted[key]) for key in found]
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        pairs = [(number, *pair) for number, pair in enumerate(zip(found, wanted, strict=True))]
    else:
        return "" if found == wanted else f"{place}: {str(found)[:300]!r}, wanted {str(wanted)[:300]!r}"
    return next((text for key, one, two in pairs if (text := difference(one, two, f"{place}.{key}"))), "")


class Expectation:
    """What is expected of any string at a place, in variables of which all others are accepted."""

    def __init__(self, place: Place, source: Path) -> None:
        self.place, self.base = place, places.base(place, source)
        self.before = (
            places.at(self.base, place) if place.way[-1] is not KEY or place.way[-2] in ("environment", "users") else ""
        )
        self.sent = substituted(received(request(self.base)), {})
        self.is_command = place.way[2:] in (("run",), ("command",))

    def errors(self, value: str) -> list[str]:
        """Return the errors of a string at the place: none, or one that is as it should be."""
        found = errors(places.put(self.base, self.place, value), apps=[])
        if found:
            self.expect_one(found)
        return found

    def check_parts(self, parts: list[str]) -> None:
        """Check each part behind what is there: those that are accepted, in one string if that is accepted, too."""
        self.check_accepted([part for part in parts if not self.errors(self.before + part)])

    def check_accepted(self, parts: list[str]) -> None:
        """See that parts arrive, together or in halves."""
        together, half = self.before + "".join(parts), len(parts) // 2
        if len(parts) < 2 or not errors(places.put(self.base, self.place, together), apps=[]):
            self.expect_arrival(together)
        else:
            self.check_accepted(parts[:half])
            self.check_accepted(parts[half:])

    def check(self, value: str) -> None:
        """Fail unless a string at the place has one error, or arrives."""
        if not self.errors(value):
            self.expect_arrival(value)

    def expect_arrival(self, value: str) -> None:
        """Fail unless an accepted string arrives where another did, and changes nothing else."""
        is_line = self.place.name == "directives"
        if is_line and (not value.strip() or value.strip().startswith(("#", "<"))):
            pass  # a trial start of Apache tells whether a section has its end
        elif value not in ("", self.before) and self.place.name not in ELSEWHERE:
            assert not self.place.is_choice
            expected = value.replace("{instance}", "7") if self.place.name == "workers" else value
            expected = expected.lower() if self.place.name in LOWERED else expected
            texts = forms(self.before, expected)
            words = (programs.split(self.before), programs.split(expected)) if self.is_command else None
            if is_line:
                words = (list(*readers.apache(self.before)), list(*readers.apache(value)))
            wanted = substituted(self.sent, {} if words else texts, words)
            sent = received(request(places.put(self.base, self.place, value)))
            assert not difference(substituted(sent, {}), wanted)

    def expect_one(self, found: list[str]) -> None:
        """Fail unless there is one error, which names the place, and of which a reader sees all."""
        (line,) = found
        allowed = [str(self.place), re.sub(r"\[\d+\]$", "", str(self.place))]  # a word of a command: the command
        if self.place.name in HIDDEN:
            allowed.append(self.place.name)
        assert line.partition(" must ")[0].removeprefix("flask_apache_") in allowed
        assert line.isprintable()
        assert len(line) < 500

    def sees_arrival(self) -> bool:
        """Tell whether the string that is there now is found in what the host gets."""
        if self.is_command or self.place.name == "directives":
            words = list(*readers.apache(self.before)) if not self.is_command else programs.split(self.before)
            return substituted(self.sent, {}, (words, [])) != self.sent
        return substituted(self.sent, forms(self.before, "")) != self.sent


@functools.cache
def expected_at(place: Place, source: Path) -> Expectation:
    """Return what is expected at a place."""
    return Expectation(place, source)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_string_of_other_programs_is_refused_or_arrives(place: Place, source_directory: Path) -> None:
    expectation = expected_at(place, source_directory)
    before = expectation.before
    assert expectation.sees_arrival() or not before or place.is_choice or place.name in ELSEWHERE
    expectation.check_parts(PARTS)
    for value in [*(part + before for part in FIRST), *STRINGS]:
        expectation.check(value)


@settings(max_examples=100)
@given(st.data())
def test_any_string_is_refused_or_arrives(source_directory: Path, data: st.DataObject) -> None:
    expectation = expected_at(data.draw(st.sampled_from(PLACES)), source_directory)
    before = expectation.before
    text = data.draw(st.text(st.characters(exclude_categories=[]), max_size=8))
    at = data.draw(st.integers(0, len(before)))
    expectation.check(before[:at] + text + before[at:])
