"""The map that tells Apache which pool gets a request."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_apachectl import paths, routing
from flask_apachectl.host import files
from flask_apachectl.routing import Routes

if TYPE_CHECKING:
    from flask_apachectl.app import App

SLOT = st.sampled_from(["blue", "green"])
HEX = string.digits + "abcdef"
IDS = st.builds("{}-{}".format, st.text(HEX, min_size=12, max_size=40), st.text(HEX, min_size=6, max_size=6))
SECRETS = st.text(HEX, min_size=32, max_size=32)


READY = st.sampled_from(["", "/", "/shop/healthz"])


@st.composite
def routes(draw: st.DrawFn) -> Routes:
    """Return routes as the commands make them."""
    live = draw(SLOT)
    canary: dict[str, Any] = {}
    if draw(st.booleans()):
        releases = tuple(zip(paths.SLOTS, draw(st.tuples(IDS, IDS)), strict=True))
        canary = {"canary": routing.other(live), "percent": draw(st.integers(1, 99)), "releases": releases}
    probe = draw(st.one_of(st.just(("", "")), st.tuples(SECRETS, SLOT)))
    maintenance = draw(st.one_of(st.just(""), SECRETS))
    return Routes(
        live=live, probe=probe, maintenance=maintenance, drain=draw(st.booleans()), ready=draw(READY), **canary
    )


@given(routes())
def test_written_routes_are_read_back(one: Routes) -> None:
    """Everything except a probe's token, because its probe has ended."""
    assert Routes.parse(one.render()) == replace(one, probe=("", ""))


@given(routes())
def test_apache_can_read_the_map(one: Routes) -> None:
    """mod_rewrite reads lines of up to 1024 bytes, each with a key and a value, and uses the first of equal keys."""
    text = one.render()
    assert text.endswith("\n")
    assert all(len(line.encode()) < 1024 for line in text.splitlines())
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert all(len(line) == 2 for line in lines)
    entries = dict(lines)
    assert len(entries) == len(lines) or len({release for _, release in one.releases}) == 1
    assert ("maintenance" in entries) == any(key.startswith("bypass-") for key in entries) == bool(one.maintenance)
    assert all("|" not in value for key, value in lines if key != "live")  # Apache would choose one at random


@given(routes())
def test_a_canary_gets_its_percent_exactly(one: Routes) -> None:
    """Apache chooses one of the alternatives with equal chance."""
    entries = dict(line.split() for line in one.render().splitlines()[1:])
    shares = entries["live"].split("|")
    assert set(shares) <= {one.live, one.canary}
    assert 100 * shares.count(one.canary) == one.percent * len(shares)
    assert entries["base"] == one.live
    assert entries.get("canary", "") == one.canary
    for slot, release in one.releases if len({release for _, release in one.releases}) > 1 else ():
        assert (entries[f"release-{slot}"], entries[f"pin-{release}"]) == (release, slot)


DAMAGE = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["base", "live", "canary", "release-", "bypass-", "drain", "#"]),
            st.sampled_from([" ", "", "  ", "\t"]),
            st.text(max_size=8),
        ),
        max_size=8,
    ).map("\n".join),
)


@given(DAMAGE)
def test_a_damaged_map_never_raises(text: str) -> None:
    found = Routes.parse(text)
    assert Routes.parse(found.render()).live == found.live or found.live not in paths.SLOTS


@given(routes(), st.data())
def test_a_map_that_a_crash_cut_off_never_raises(one: Routes, data: st.DataObject) -> None:
    text = one.render()
    found = Routes.parse(text[: data.draw(st.integers(0, len(text)))])
    assert found.live in ("", one.live, one.live[: len(found.live)])


@pytest.mark.parametrize("percent", ["x", "-1", "1e3", "100000", "9" * 5000], ids=lambda text: text[:6])
def test_a_damaged_percentage_never_raises(percent: str) -> None:
    """It writes no line that Apache cannot read."""
    found = Routes.parse(f"base blue\ncanary green\npercent {percent}\n")
    assert 0 <= found.percent <= 100
    assert all(len(line) < 1024 for line in found.render().splitlines())


def test_a_map_of_other_bytes_never_raises(app: App) -> None:
    app.map.write_bytes(b"base blue\n\xff\xfe\0")
    assert routing.live_slot(app) == "blue"


def test_no_map_routes_to_nowhere(app: App) -> None:
    assert routing.read(app) == Routes(live="")
    assert Routes.parse("# base x\n\nbase blue\nprobe-1\na b c\n  \n") == Routes(live="blue")


@pytest.mark.parametrize(("live", "idle"), [("blue", "green"), ("green", "blue"), (None, "blue")])
def test_the_other_slot(live: str | None, idle: str) -> None:
    assert routing.other(live) == idle


@pytest.mark.parametrize(
    ("text", "slot"),
    [
        ("base green\nlive green\n", "green"),
        ("probe-1 green\nbase blue\nlive blue\n", "blue"),
        ("base blue\nlive green|blue\ncanary green\npercent 50\n", "blue"),
        ("live green\n", None),
        ("base red\n", None),
        ("base shop-blue\n", None),
        ("", None),
        (None, None),
    ],
)
def test_the_live_slot_is_the_maps(app: App, text: str | None, slot: str | None) -> None:
    if text is not None:
        app.map.write_text(text)
    assert routing.live_slot(app) == slot


def test_the_release_in_a_slot(app: App) -> None:
    (app.releases / "r1").mkdir(parents=True)
    (app.home / "empty/green").mkdir(parents=True)
    files.replace_link(app.home / "blue", app.releases / "r1")
    files.replace_link(app.home / "green", app.home / "empty/green")
    assert [routing.slot_release(app, slot) for slot in ("blue", "green", None)] == ["r1", None, None]
