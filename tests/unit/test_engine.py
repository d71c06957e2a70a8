"""What flask-apachectl decides, and how it handles files, so that a crash at any moment does no harm."""

from __future__ import annotations

import http.server
import io
import json
import os
import re
import signal
import string
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.commands import ROOT, is_root
from tests.unit.programs import DECLARED, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

engine = load("flask-apachectl")

App = Any  # engine.App, which mypy does not see

SLOT = st.sampled_from(["blue", "green"])


def listed(directory: Path) -> list[str]:
    """Return the names in a directory."""
    return sorted(path.name for path in directory.iterdir())


as_root = pytest.mark.skipif(not is_root(), reason="only root may give files away")


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """Return an app whose directories are the test's."""
    for name in ("ETC", "SRV", "VAR_LIB", "CACHE"):
        monkeypatch.setattr(engine, name, tmp_path / name.lower())
        (tmp_path / name.lower() / "shop").mkdir(parents=True)
    return engine.App("shop", DECLARED)


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return a list that gets the owner and group of each written file, instead of the file."""
    given_to: list[tuple[int, int]] = []
    monkeypatch.setattr(engine.os, "fchown", lambda _file, owner, group: given_to.append((owner, group)))
    return given_to


# --- Which release, which virtual environment ------------------------------------------------------------------------


def test_a_release_is_named_by_its_source_and_a_digest() -> None:
    assert re.fullmatch(r"0123456789ab-[0-9a-f]{6}", engine.release_id("0123456789ab", DECLARED, {}, "3.11"))


def test_the_order_of_the_environment_does_not_matter() -> None:
    one, two = ({"A": "1", "B": "2"}, {"B": "2", "A": "1"})
    assert engine.release_id("s", DECLARED, one, "3.11") == engine.release_id("s", DECLARED, two, "3.11")


CHANGES_OF_A_RELEASE = [
    {"wsgi": "app:other"},
    {"requirements": []},
    {"pip_args": ["--pre"]},
    {"static": [{"url": "/static", "path": "static"}]},
]


@pytest.mark.parametrize("change", CHANGES_OF_A_RELEASE, ids=repr)
def test_what_the_app_runs_with_makes_another_release(change: dict[str, Any]) -> None:
    assert engine.release_id("s", DECLARED, {}, "3.11") != engine.release_id("s", DECLARED | change, {}, "3.11")


def test_environment_python_and_source_make_another_release() -> None:
    ids = {
        engine.release_id("s", DECLARED, {}, "3.11"),
        engine.release_id("s", DECLARED, {"A": "1"}, "3.11"),
        engine.release_id("s", DECLARED, {"A": "2"}, "3.11"),
        engine.release_id("s", DECLARED, {}, "3.12"),
        engine.release_id("t", DECLARED, {}, "3.11"),
    }
    assert len(ids) == 5


def test_another_interpreter_makes_another_release() -> None:
    other_python = DECLARED | {"python": "/opt/python3.11/bin/python3"}
    assert engine.release_id("s", DECLARED, {}, "3.11") != engine.release_id("s", other_python, {}, "3.11")


@pytest.mark.parametrize("change", [{"mount": "/x"}, {"health_path": "/x"}, {"port": 81}], ids=repr)
def test_what_only_apache_needs_makes_no_other_release(change: dict[str, Any]) -> None:
    assert engine.release_id("s", DECLARED, {}, "3.11") == engine.release_id("s", DECLARED | change, {}, "3.11")


PLAN: dict[str, Any] = {"lines": [], "steps": [], "makings": ["flask==3.1"], "tied": False}


def key(source: Path, source_id: str = "s", python: str = "3.11", plan: dict[str, Any] = PLAN, **change: object) -> str:
    found: str = engine.venv_key(plan, source, source_id, DECLARED | change, python)
    return found


def test_a_virtual_environment_is_shared_by_sources_with_the_same_requirements(tmp_path: Path) -> None:
    assert re.fullmatch(r"[0-9a-f]{12}", key(tmp_path))
    assert key(tmp_path, "one") == key(tmp_path, "two")
    assert key(tmp_path, "one", plan=PLAN | {"tied": True}) != key(tmp_path, "two", plan=PLAN | {"tied": True})


@pytest.mark.parametrize(
    "change",
    [
        {"python": "/opt/python"},
        {"pip_args": ["--pre"]},
        {"index_url": "https://pypi.example.com"},
        {"extra_index_urls": ["https://pypi.example.com"]},
        {"wheelhouse": "0123456789ab"},
    ],
    ids=str,
)
def test_what_the_installer_gets_makes_another_virtual_environment(tmp_path: Path, change: dict[str, Any]) -> None:
    assert len({key(tmp_path), key(tmp_path, **change), key(tmp_path, python="3.12")}) == 3
    assert key(tmp_path, plan=PLAN | {"makings": ["flask==3.2"]}) != key(tmp_path)


@pytest.mark.parametrize("change", [{"installer": "uv"}, {"uv_version": "9.9"}, {"index_private": True}], ids=str)
def test_who_installs_makes_no_other_virtual_environment(tmp_path: Path, change: dict[str, Any]) -> None:
    assert key(tmp_path, **change) == key(tmp_path)
    assert engine.release_id("s", DECLARED | change, {}, "3.11") == engine.release_id("s", DECLARED, {}, "3.11")


def test_a_file_of_the_source_among_pips_arguments_ties_the_virtual_environment_to_the_source(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("flask==3.1\n")
    own, elsewhere = ["-c", "constraints.txt"], ["-c", "/etc/constraints.txt"]
    assert key(tmp_path, "one", pip_args=own) != key(tmp_path, "two", pip_args=own)
    assert key(tmp_path, "one", pip_args=elsewhere) == key(tmp_path, "two", pip_args=elsewhere)


def test_credentials_are_read_from_addresses() -> None:
    urls = ["https://user:p%40ss%2Fword@pypi.example.com:8443/simple", "https://packages.example.org/simple", ""]
    assert engine.credentials(urls) == [("pypi.example.com", "user", "p@ss/word")]


def test_no_secret_gets_into_a_message() -> None:
    forms = engine.secret_forms("user", "p@ss/word")
    said = "user:p@ss/word p%40ss%2Fword dXNlcjpwQHNzL3dvcmQ= https://a:b@example.com/x git+ssh://git@example.com"
    assert engine.redact(said, forms) == "**** **** **** https://****@example.com/x git+ssh://****@example.com"
    assert engine.redact("a package", engine.secret_forms("user", "a")) == "a package"


def test_a_wheelhouse_is_asked_instead_of_an_index(tmp_path: Path) -> None:
    config = DECLARED | {"index_url": "https://a", "extra_index_urls": ["https://b"]}
    assert engine.index_arguments(DECLARED, None) == []
    assert engine.index_arguments(config, None) == ["--index-url", "https://a", "--extra-index-url", "https://b"]
    assert engine.index_arguments(config, tmp_path) == ["--no-index", "--find-links", str(tmp_path)]


# --- The map, the slots, the history ---------------------------------------------------------------------------------

WORDS = st.text(string.ascii_letters + string.digits + "-_.:", min_size=1, max_size=40)
RELEASES = st.lists(WORDS, unique=True, max_size=12)


HEX = string.digits + "abcdef"
IDS = st.builds("{}-{}".format, st.text(HEX, min_size=12, max_size=40), st.text(HEX, min_size=6, max_size=6))
SECRETS = st.text(HEX, min_size=32, max_size=32)


@st.composite
def routes(draw: st.DrawFn) -> Any:  # noqa: ANN401 - engine.Routes
    """Return routes as the commands make them."""
    live = draw(SLOT)
    canary: dict[str, Any] = {}
    if draw(st.booleans()):
        releases = tuple(zip(engine.SLOTS, draw(st.tuples(IDS, IDS)), strict=True))
        canary = {"canary": engine.other(live), "percent": draw(st.integers(1, 99)), "releases": releases}
    probe = draw(st.one_of(st.just(("", "")), st.tuples(SECRETS, SLOT)))
    maintenance = draw(st.one_of(st.just(""), SECRETS))
    return engine.Routes(live=live, probe=probe, maintenance=maintenance, drain=draw(st.booleans()), **canary)


@given(routes())
def test_written_routes_are_read_back(one: Any) -> None:  # noqa: ANN401
    """All but a probe's token: its probe has ended."""
    assert engine.Routes.parse(one.render()) == replace(one, probe=("", ""))


@given(routes())
def test_apache_can_read_the_map(one: Any) -> None:  # noqa: ANN401
    """mod_rewrite reads lines of up to 1024 bytes, a key and a value each, and takes the first of equal keys."""
    text = one.render()
    assert text.endswith("\n")
    assert all(len(line.encode()) < 1024 for line in text.splitlines())
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert all(len(line) == 2 for line in lines)
    entries = dict(lines)
    assert len(entries) == len(lines) or len({release for _, release in one.releases}) == 1
    assert ("maintenance" in entries) == any(key.startswith("bypass-") for key in entries) == bool(one.maintenance)
    assert all("|" not in value for key, value in lines if key != "live")  # Apache would choose at random


@given(routes())
def test_a_canary_gets_its_percent_exactly(one: Any) -> None:  # noqa: ANN401
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
    found = engine.Routes.parse(text)
    assert engine.Routes.parse(found.render()).live == found.live or found.live not in engine.SLOTS


@given(routes(), st.data())
def test_a_map_that_a_crash_cut_off_never_raises(one: Any, data: st.DataObject) -> None:  # noqa: ANN401
    text = one.render()
    found = engine.Routes.parse(text[: data.draw(st.integers(0, len(text)))])
    assert found.live in ("", one.live, one.live[: len(found.live)])


@pytest.mark.parametrize("percent", ["x", "-1", "1e3", "100000", "9" * 5000], ids=lambda text: text[:6])
def test_a_damaged_percentage_never_raises(percent: str) -> None:
    """And it makes no line that Apache cannot read."""
    found = engine.Routes.parse(f"base blue\ncanary green\npercent {percent}\n")
    assert 0 <= found.percent <= 100
    assert all(len(line) < 1024 for line in found.render().splitlines())


def test_a_map_of_other_bytes_never_raises(app: App) -> None:
    app.map.write_bytes(b"base blue\n\xff\xfe\0")
    assert engine.live_slot(app) == "blue"


def test_no_map_routes_to_nowhere(app: App) -> None:
    assert engine.read_routes(app) == engine.Routes(live="")
    assert engine.Routes.parse("# base x\n\nbase blue\nprobe-1\na b c\n  \n") == engine.Routes(live="blue")


@pytest.mark.parametrize(("live", "idle"), [("blue", "green"), ("green", "blue"), (None, "blue")])
def test_the_other_slot(live: str | None, idle: str) -> None:
    assert engine.other(live) == idle


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
    assert engine.live_slot(app) == slot


def test_the_release_in_a_slot(app: App) -> None:
    (app.releases / "r1").mkdir(parents=True)
    (app.home / "empty/green").mkdir(parents=True)
    engine.point(app.home / "blue", app.releases / "r1")
    engine.point(app.home / "green", app.home / "empty/green")
    assert [engine.slot_release(app, slot) for slot in ("blue", "green", None)] == ["r1", None, None]


def history(*releases: str) -> list[dict[str, str]]:
    return [{"action": "deploy", "release": release} for release in releases]


@pytest.mark.parametrize(
    ("went_live", "live", "kept", "expected"),
    [
        ([], None, [], None),
        (["a"], "a", ["a"], None),
        (["a", "b"], "b", ["a", "b"], "a"),
        (["a", "b", "a"], "a", ["a", "b"], "b"),
        (["a", "b", "c"], "c", ["a", "c"], "a"),  # b is pruned
        (["a", "b", "b"], "b", ["a", "b"], "a"),
        (["a"], "b", ["a", "b"], "a"),  # b went live, and its record was lost
    ],
)
def test_the_release_to_go_back_to(went_live: list[str], live: str, kept: list[str], expected: str | None) -> None:
    assert engine.last_live(history(*went_live), live, kept) == expected


@pytest.mark.parametrize(
    ("entries", "live", "expected"),
    [
        ([("deploy", "a"), ("refused", "b")], "a", None),
        ([("deploy", "a"), ("deploy", "b"), ("refused", "c")], "b", "a"),
        ([("deploy", "a"), ("canary 5 %", "b")], "a", None),
        ([("deploy", "a"), ("deploy", "b"), ("canary 50 %", "c"), ("abort", None)], "b", "a"),
        ([("deploy", "a"), ("canary 50 %", "b"), ("promote", "b")], "b", "a"),
        ([("deploy", "a"), ("promote", "b"), ("rollback", "a")], "a", "b"),
        ([("deploy", "a"), ("deploy", "b"), ("maintenance on", None), ("drain off", None)], "b", "a"),
    ],
)
def test_only_what_served_all_visitors_is_gone_back_to(
    entries: list[tuple[str, str | None]], live: str, expected: str | None
) -> None:
    log = [{"action": action, "release": release} for action, release in entries]
    assert engine.last_live(log, live, ["a", "b", "c"]) == expected


ENTRIES = st.builds(
    lambda action, release: {"action": action, "release": release},
    st.sampled_from([*engine.MADE_LIVE, "refused", "canary 5 %", "abort", "maintenance on"]),
    st.sampled_from(["a", "b", "c", None]),
)


@given(st.lists(ENTRIES), st.sampled_from(["a", "b", "c", None]), st.lists(st.sampled_from("abc")))
def test_the_release_to_go_back_to_was_live_is_kept_and_is_not_live(
    log: list[dict[str, Any]], live: str | None, kept: list[str]
) -> None:
    found = engine.last_live(log, live, kept)
    could_be = [
        entry["release"]
        for entry in log
        if entry["action"] in engine.MADE_LIVE and entry["release"] != live and entry["release"] in kept
    ]
    assert found == (could_be[-1] if could_be else None)


@given(RELEASES, st.integers(0, 15), st.data())
def test_pruning(by_age: list[str], keep: int, data: st.DataObject) -> None:
    protected = data.draw(st.lists(st.sampled_from([*by_age, None, "gone"]), max_size=4))
    pruned = engine.prunable(by_age, keep, protected)
    stay = [release for release in by_age if release not in pruned]
    guarded = {release for release in by_age if release in protected}
    assert not guarded & set(pruned)
    assert len(stay) == min(len(by_age), max(keep, len(guarded)))
    assert pruned == [release for release in by_age if release in pruned]  # each once, in order
    free = [release for release in by_age if release not in guarded]
    assert pruned == free[len(free) - len(pruned) :]  # the oldest ones
    assert engine.prunable(stay, keep, protected) == []


def test_a_line_of_the_history_that_a_crash_cut_off_is_skipped(app: App) -> None:
    assert engine.read_history(app) == []
    lines = [json.dumps(entry) + "\n" for entry in history("a", "b")]
    app.history.write_text("".join(lines) + lines[0][:9])
    assert engine.read_history(app) == history("a", "b")


def test_a_cut_off_line_does_not_take_the_next_one_with_it(app: App) -> None:
    app.history.write_text('{"release": "a"}\n{"relea')
    engine.record(app, "deploy", "b", "a")
    assert [entry["release"] for entry in engine.read_history(app)] == ["a", "b"]


def test_what_is_recorded_is_read_back(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    engine.record(app, "deploy", "a", None)
    engine.record(app, "rollback", "b", "a")
    first, second = engine.read_history(app)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.pop("time"))
    assert first == {"action": "deploy", "release": "a", "previous": None, "by": "alice"}
    assert (second["action"], second["release"], second["previous"]) == ("rollback", "b", "a")


def test_releases_are_listed_newest_first_and_only_when_complete(app: App) -> None:
    for age, release in enumerate(("new", "middle", "old", ".old.partial")):
        (app.releases / release).mkdir(parents=True)
        (app.releases / release / "release.json").write_text("{}")
        os.utime(app.releases / release / "release.json", ns=(0, 10**18 - age))
    (app.releases / "half").mkdir()
    assert engine.complete_releases(app) == ["new", "middle", "old"]


# --- Which app -------------------------------------------------------------------------------------------------------


def declare(app: App, name: str, text: str) -> None:
    path = app.conf.with_name(name) / "app.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_the_only_app_needs_no_name(app: App) -> None:
    with pytest.raises(engine.RefusedError, match="on this host: none"):
        engine.load_app(None)
    declare(app, "shop", json.dumps(DECLARED))
    assert engine.load_app(None) == engine.load_app("shop") == app
    declare(app, "blog", json.dumps(DECLARED))
    with pytest.raises(engine.RefusedError, match="blog, shop"):
        engine.load_app(None)
    with pytest.raises(engine.RefusedError, match="no app wiki on this host; there is: blog, shop"):
        engine.load_app("wiki")


def test_a_damaged_declaration_is_named(app: App) -> None:
    declare(app, "shop", '{"app": ')
    with pytest.raises(engine.RefusedError, match=r"shop/app\.json is damaged .*: run the role again"):
        engine.load_app("shop")


@pytest.mark.parametrize(
    ("change", "url", "path"),
    [
        ({}, "http://www.example.com/", "/"),
        ({"port": 8080, "mount": "/shop"}, "http://www.example.com:8080/shop/", "/shop/"),
        ({"mount": "/a/b", "health_path": "/healthz"}, "http://www.example.com/a/b/", "/a/b/healthz"),
    ],
)
def test_addresses(change: dict[str, Any], url: str, path: str) -> None:
    app = engine.App("shop", DECLARED | change)
    assert (app.url, app.url_path) == (url, path)


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(engine.os, "geteuid", lambda: 1000)
    assert engine.main(["--json", "status"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["failed"] is True
    assert "root" in answer["msg"]
    assert engine.main(["status"]) == 1
    assert capsys.readouterr().err.startswith("flask-apachectl: ")


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        engine.main(["destroy"])
    assert exit_.value.code == 2
    assert "destroy" in capsys.readouterr().err


# --- Files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_with_mode_and_group(tmp_path: Path, owners: list[tuple[int, int]]) -> None:
    path = tmp_path / "live.map"
    path.write_text("old")
    inode = path.stat().st_ino
    engine.write(path, "new ☃\n", mode=0o640, group=33)
    assert path.read_text(encoding="utf-8") == "new ☃\n"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.stat().st_ino != inode
    assert owners == [(0, 33)]
    assert listed(tmp_path) == ["live.map"]


@pytest.mark.parametrize("ahead", [-(10**9), 0, 1, 5_000_000, 3600 * 10**9], ids=lambda ahead: f"{ahead}ns")
def test_apache_sees_every_replacement(tmp_path: Path, owners: list[Any], ahead: int) -> None:  # noqa: ARG001
    path = tmp_path / "live.map"
    before = time.time_ns() + ahead
    for _ in range(3):
        engine.write(path, "x", newer_than=before)
        after = path.stat().st_mtime_ns
        assert after // 1000 > before // 1000  # Apache compares microseconds
        before = after


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "live.map"
    path.write_text("old")
    monkeypatch.setattr(engine.os, "fsync", fail)
    monkeypatch.setattr(engine.os, "fchown", lambda *_: None)
    with pytest.raises(OSError, match="No space left"):
        engine.write(path, "new")
    assert path.read_text() == "old"
    assert listed(tmp_path) == ["live.map"]


def test_a_link_is_moved_without_a_gap(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "releases" / name).mkdir(parents=True)
    link = tmp_path / "blue"
    (tmp_path / ".blue.new").symlink_to("left by a crash")
    engine.point(link, tmp_path / "releases/a")
    assert str(link.readlink()) == "releases/a"
    gaps = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if not link.is_symlink():
                gaps.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    for name in "ba" * 20:
        engine.point(link, tmp_path / "releases" / name)
    done.set()
    watcher.join()
    assert gaps == []
    assert listed(tmp_path) == ["blue", "releases"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    (path / "bin").mkdir(parents=True)
    (path / "bin/run").write_text("#!/bin/sh\n")
    (path / "bin/run").chmod(0o4777)
    (path / "data.txt").write_text("x")
    (path / "data.txt").chmod(0o666)
    (path / "closed").mkdir(mode=0o000)
    (tmp_path / "outside").write_text("nobody's business")
    (path / "link").symlink_to("../outside")
    return path


@as_root
def test_a_tree_becomes_roots_and_readable_to_the_group(tree: Path) -> None:
    outside = (tree.parent / "outside").stat()
    engine.hand_over(tree, 12345)
    found = {path.relative_to(tree).as_posix(): path.lstat() for path in [tree, *tree.rglob("*")]}
    assert {(stat.st_uid, stat.st_gid) for stat in found.values()} == {(0, 12345)}
    modes = {name: stat.st_mode & 0o7777 for name, stat in found.items() if name != "link"}
    assert modes == {".": 0o750, "bin": 0o750, "bin/run": 0o750, "data.txt": 0o640, "closed": 0o750}
    assert (tree.parent / "outside").stat() == outside


def test_a_tree_is_removed(tree: Path) -> None:
    (tree / "closed").chmod(0o700)
    engine.remove(tree)
    assert listed(tree.parent) == ["outside"]
    engine.remove(tree)  # what is gone is gone


def test_debris_is_removed(tree: Path) -> None:
    (tree / "closed").chmod(0o700)
    debris = tree.rename(tree.with_name(".tree.removed"))
    engine.remove(debris)
    assert listed(tree.parent) == ["outside"]


def test_half_of_a_removed_tree_is_never_taken_for_the_whole(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        engine.remove(tree)
    assert listed(tree.parent) == [".tree.removed", "outside"]


def test_a_tree_is_removed_over_the_half_of_an_earlier_one(tree: Path) -> None:
    (tree / "closed").chmod(0o700)
    half = tree.with_name(".tree.removed")
    (half / "lib").mkdir(parents=True)
    engine.remove(tree)
    assert "tree" not in listed(tree.parent)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """Return a member of an archive; it is this user's, so that anybody may unpack it."""
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.uid, found.gid = kind, link, os.getuid(), os.getgid()
    return found


def unpack(tmp_path: Path, *members: tarfile.TarInfo) -> Path:
    """Unpack an archive two directories below ``tmp_path``, and return where."""
    destination = tmp_path / "partial/app"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for each in members:
            tar.addfile(each)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        engine.extract(tar, destination)
    return destination


LINK, HARD_LINK = tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    ("name", "kind", "link"),
    [
        ("../x", tarfile.REGTYPE, ""),
        ("..", tarfile.DIRTYPE, ""),
        ("../x", tarfile.DIRTYPE, ""),
        ("/nowhere/x", tarfile.REGTYPE, ""),
        ("a/../../x", tarfile.REGTYPE, ""),
        ("./../x", tarfile.REGTYPE, ""),
        ("x", LINK, "/etc/passwd"),
        ("x", LINK, "../outside"),
        ("a/x", LINK, "../../outside"),
        ("x", LINK, "a/../../outside"),
        ("x", HARD_LINK, "y"),
        ("x", HARD_LINK, "/etc/passwd"),
        ("x", tarfile.CHRTYPE, ""),
        ("x", tarfile.BLKTYPE, ""),
        ("x", tarfile.FIFOTYPE, ""),
    ],
)
def test_an_archive_that_leaves_its_place_is_refused(tmp_path: Path, name: str, kind: bytes, link: str) -> None:
    with pytest.raises(engine.RefusedError, match=re.escape(f"{name}, which leads out of it")):
        unpack(tmp_path, member("before"), member(name, kind, link))
    assert listed(tmp_path) == []  # nothing of it, not even what is harmless


@pytest.mark.parametrize(
    "members",
    [
        [member("out", LINK, "inside"), member("out/file")],
        [member("out", LINK, "inside"), member("out/deep/file")],
        [member("out", LINK, "inside"), member("./out/file")],
        [member("out", LINK, "inside"), member("out", tarfile.REGTYPE)],
        [member("a", tarfile.DIRTYPE), member("a/out", LINK, "../inside"), member("a/b/../out/file")],
        [member("out", LINK, "inside"), member("out", LINK, "elsewhere")],
    ],
    ids=lambda members: f"{members[-1].name}-{len(members)}",
)
def test_an_archive_cannot_write_through_its_own_link(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    with pytest.raises(engine.RefusedError, match="leads out of it"):
        unpack(tmp_path, *members)
    assert listed(tmp_path) == []


def test_two_links_that_stay_cannot_leave_together(tmp_path: Path) -> None:
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial/secret").write_text("nobody's business")
    with pytest.raises(engine.RefusedError, match="leads out of it"):
        unpack(tmp_path, member("a/up", LINK, ".."), member("out", LINK, "a/up/../secret"))


def test_files_directories_and_links_that_stay_are_unpacked(tmp_path: Path) -> None:
    destination = unpack(
        tmp_path,
        member("package", tarfile.DIRTYPE),
        member("package/a.py"),
        member("package/b.py", LINK, "a.py"),
        member("c.py", LINK, "./package/../package/a.py"),
        member("package/top", LINK, ".."),
        member("dangling", LINK, "package/none"),
    )
    assert listed(destination) == ["c.py", "dangling", "package"]
    assert (destination / "c.py").resolve() == (destination / "package/b.py").resolve() == destination / "package/a.py"


def test_a_source_is_staged_from_what_was_shipped(app: App) -> None:
    app.releases.mkdir()
    (app.home / "incoming").mkdir()
    with pytest.raises(engine.RefusedError, match="the source s is not on this host: run the role"):
        engine.stage(app, "s", app.releases / ".r0.partial")
    with tarfile.open(app.home / "incoming/s.tar.gz", "w:gz") as tar:
        tar.addfile(member("app.py"))
    engine.stage(app, "s", app.releases / ".r1.partial")
    assert listed(app.releases / ".r1.partial/app") == ["app.py"]


def test_a_source_is_staged_from_a_release_of_it(app: App) -> None:
    (app.home / "incoming").mkdir()
    for release in ("s-1", "s-2", "t-1"):
        (app.releases / release / "app").mkdir(parents=True)
        (app.releases / release / "app" / f"{release}.py").write_text("")
    (app.releases / "s-2/app/link").symlink_to("nowhere")
    for complete in ("s-2", "t-1"):
        (app.releases / complete / "release.json").write_text("{}")
    engine.stage(app, "s", app.releases / ".s-3.partial")
    assert listed(app.releases / ".s-3.partial/app") == ["link", "s-2.py"]  # links stay links


# --- Static files ----------------------------------------------------------------------------------------------------


def test_what_visitors_may_have(tmp_path: Path) -> None:
    top = tmp_path / "static"
    for name in ("a.css", "deep/b.js", ".env", ".git/config", "views.py", "__pycache__/x", "deep/x.pyc", "pyx.txt"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    (tmp_path / "secret").write_text("")
    for name, target in {"in.css": "a.css", "out": "../secret", "far": "/etc/passwd", "to": "deep", "no": "x"}.items():
        (top / name).symlink_to(target)
    os.mkfifo(top / "pipe")
    assert sorted(name for _, name in engine.published(top)) == ["a.css", "deep/b.js", "in.css", "pyx.txt"]
    assert list(engine.published(top / "a.css")) == [(top / "a.css", "")]


@pytest.mark.parametrize("path", ["none", "out", "far", "site-packages/none"])
def test_static_files_are_the_releases_own(app: App, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(engine, "python_version", lambda _app: "3.11")
    source = app.releases / ".r.partial/app"
    source.mkdir(parents=True)
    (source / "out").symlink_to("../../..")
    (source / "far").symlink_to("/etc")
    with pytest.raises(engine.RefusedError, match=f"flask_apache_static: {path} is not in release r: write a path"):
        engine.static_source(app, "r", source.parent, path)


# --- The access log --------------------------------------------------------------------------------------------------

BEFORE = '192.0.2.1 - - [23/Nov/2026:06:26:43 +0000] "GET / HTTP/1.1" 500 12 "-" "curl/8"\n'


@pytest.mark.parametrize(
    ("request_line", "status", "rest", "counts"),
    [
        ("GET / HTTP/1.1", 500, '12 "-" "curl/8"', True),
        ("GET / HTTP/1.1", 503, '- "-" "-"', True),
        ("GET / HTTP/1.1", 599, '0 "-" "-"', True),
        ("GET / HTTP/1.1", 200, '500 "-" "-"', False),
        ("GET / HTTP/1.1", 404, '12 "-" "a 500 b"', False),
        ("GET / HTTP/1.1", 200, r'12 "-" "\" 500 \""', False),
        ("GET / HTTP/1.1", 200, '12 "http://x/?\\" 503 " "-"', False),
        (r"GET /?q=\"a\" HTTP/1.1", 500, '12 "-" "-"', True),
        (r"GET /?q=\"a\" HTTP/1.1", 200, '12 "-" "-"', False),
        (r"GET /\" 500 \" HTTP/1.1", 200, '12 "-" "-"', False),
        (r"GET /\\", 500, '12 "-" "-"', True),
        (r"GET /\\\" 500 HTTP/1.1", 200, '12 "-" "-"', False),
        (r"\x16\x03\x01", 400, '0 "-" "-"', False),
        ("-", 408, '0 "-" "-"', False),
        ("", 500, '0 "-" "-"', True),
    ],
)
def test_what_visitors_got_is_counted(
    app: App, tmp_path: Path, request_line: str, status: int, rest: str, *, counts: bool
) -> None:
    line = f'192.0.2.1 - alice [23/Nov/2026:06:26:43 +0000] "{request_line}" {status} {rest}\n'
    path = tmp_path / "access.log"
    path.write_text(BEFORE)
    log = engine.AccessLog(replace(app, config={**DECLARED, "access_log": str(path)}))
    assert log.errors() == 0  # what was before is no fault of the new release
    with path.open("a") as file:
        file.write(3 * line)
    assert log.errors() == (3 if counts else 0)
    with path.open("a") as file:
        file.write(BEFORE[:60])  # half of a line is none yet
    assert log.errors() == (3 if counts else 0)


def test_a_visitor_without_a_name_is_counted(app: App, tmp_path: Path) -> None:
    """Apache writes an empty user name as two quotes."""
    path = tmp_path / "access.log"
    log = engine.AccessLog(replace(app, config={**DECLARED, "access_log": str(path)}))
    path.write_text('192.0.2.1 - "" [23/Nov/2026:06:26:43 +0000] "GET / HTTP/1.1" 500 12 "-" "-"\n')
    assert log.errors() == 1


def test_a_burst_of_errors_names_the_release(app: App, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = engine.AccessLog(replace(app, config={**DECLARED, "access_log": str(path)}))
    log.refuse_more_than(0, "r1")  # there may be no log yet
    path.write_bytes(b"\xff\n" + 5 * BEFORE.encode())
    log.refuse_more_than(5, "r1")
    with pytest.raises(engine.RefusedError, match="release r1 answered 5 requests of visitors with 5xx"):
        log.refuse_more_than(4, "r1")


@pytest.mark.parametrize("rotation", ["a new file a day", "moved away", "emptied"])
def test_errors_are_counted_across_a_rotation(app: App, tmp_path: Path, rotation: str) -> None:
    """A soak may last beyond midnight; nothing is counted twice, and no line of the old file is missed."""
    path, old, new = (tmp_path / name for name in ("access.log", "access.1", "access.2"))
    old.write_text(10 * BEFORE)
    path.hardlink_to(old)  # as rotatelogs -L does
    log = engine.AccessLog(replace(app, config={**DECLARED, "access_log": str(path)}))
    with path.open("a") as file:
        file.write(2 * BEFORE)
        file.flush()
        assert log.errors() == 2
        file.write(BEFORE)
        file.flush()
        if rotation == "emptied":
            assert log.errors() == 3  # what comes between the last look and a truncation is lost
            os.truncate(path, 0)
        else:
            path.unlink()
            assert log.errors() == 3
            new.write_text(2 * BEFORE)
            path.hardlink_to(new) if rotation == "a new file a day" else new.rename(path)
            file.write(BEFORE[:10])
    if rotation == "emptied":
        path.write_text(2 * BEFORE)
    assert (log.errors(), log.errors()) == (5, 5)
    with path.open("a") as file:
        file.write(BEFORE)
    assert log.errors() == 6


def test_only_what_is_new_is_read(app: App, tmp_path: Path) -> None:
    """A look costs what came since the last one, not the whole soak."""
    path = tmp_path / "access.log"
    log = engine.AccessLog(replace(app, config={**DECLARED, "access_log": str(path)}))
    path.write_text(1000 * BEFORE)
    assert log.errors() == 1000
    assert list(log.log.lines()) == []


# --- The lock --------------------------------------------------------------------------------------------------------

HOLDER = """
import pathlib, sys, time
from tests.unit.programs import DECLARED, load
engine = load("flask-apachectl")
engine.SRV = engine.ETC = pathlib.Path(sys.argv[1])
with engine.locked(engine.App("shop", {})):
    print("locked", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def holder(app: App, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """Start another process that holds the lock, for a minute, or for as many seconds as the test says."""
    command = [sys.executable, "-c", HOLDER, str(app.home.parent), str(getattr(request, "param", 60))]
    environment = os.environ | {"SUDO_USER": "alice", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield process
        process.kill()


def test_the_second_is_told_who_holds_the_lock_and_since_when(app: App, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(engine.RefusedError) as refusal, engine.locked(app):
        pass
    who_and_when = rf"alice \(pid {holder.pid}\) since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(f"shop is being changed by {who_and_when}: try again later", str(refusal.value))


def test_the_lock_goes_with_a_killed_holder(app: App, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with engine.locked(app):
        assert f"(pid {os.getpid()})" in (app.home / "lock").read_text()


def test_the_lock_is_taken_again_after_a_failure(app: App) -> None:
    for _ in range(2):
        with pytest.raises(engine.RefusedError, match="no luck"), engine.locked(app):
            raise engine.RefusedError("no luck")


def waiting(app: App, seconds: float) -> App:
    return replace(app, config={**DECLARED, "lock_wait": seconds})


@pytest.mark.parametrize("holder", [0.3], indirect=True)
def test_a_holder_that_ends_in_time_is_waited_for(app: App, holder: subprocess.Popen[str]) -> None:
    with engine.locked(waiting(app, 30)):
        assert holder.wait() == 0
        assert f"(pid {os.getpid()})" in (app.home / "lock").read_text()
    assert (app.home / "lock").read_text() == ""


def test_a_holder_that_does_not_end_is_named_after_the_wait(app: App, holder: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    with (
        pytest.raises(engine.RefusedError, match=rf"by alice \(pid {holder.pid}\) since 20"),
        engine.locked(waiting(app, 0.3)),
    ):
        pass
    assert 0.3 <= time.monotonic() - began < 5
    assert f"(pid {holder.pid})" in (app.home / "lock").read_text()  # as it was


def test_who_may_not_change_the_app_sweeps_nothing(app: App, holder: subprocess.Popen[str]) -> None:
    assert holder.poll() is None
    (app.releases / ".r.partial").mkdir(parents=True)  # the holder is working on it
    with pytest.raises(engine.RefusedError), engine.locked(app):
        pass
    assert listed(app.releases) == [".r.partial"]


def test_what_a_killed_run_left_is_swept(app: App, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("")
    for path in (app.releases / ".r1.partial/app", app.releases / "r0/app", app.venvs / ".v.removed", app.venvs / "v"):
        path.mkdir(parents=True)
    (app.releases / ".link").symlink_to(tmp_path / "outside")
    (app.home / ".blue.new").symlink_to("releases/r0")
    for name in (".live.map.abc123", ".secret_key.x", "live.map", "secret_key", ".env.swp", "env"):
        (app.conf / name).write_text("")
    with engine.locked(app):
        assert listed(app.releases) == ["r0"]
        assert listed(app.venvs) == ["v"]
        assert listed(app.home) == ["lock", "releases", "venvs"]
        assert listed(app.conf) == [".env.swp", "env", "live.map", "secret_key"]
    assert listed(tmp_path / "outside") == ["file"]
    engine.sweep(app)  # with nothing to do


# --- The command line ------------------------------------------------------------------------------------------------


def commands() -> list[str]:
    """Return the names of all commands."""
    (action,) = (action for action in engine.parser()._actions if action.choices)  # noqa: SLF001
    return list(action.choices)


def test_there_are_the_commands_of_the_manual() -> None:
    assert {"status", "releases", "history", "deploy", "rollback", "canary", "promote", "abort"} <= set(commands())
    assert {"maintenance", "drain", "run", "shell", "doctor", "probe", "prune", "prepare", "activate"} <= set(
        commands()
    )


@pytest.mark.parametrize("command", [None, *commands()])
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str | None) -> None:
    with pytest.raises(SystemExit) as exit_:
        engine.main([*([command] if command else []), "--help"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("usage: flask-apachectl")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["destroy"],
        ["status", "more"],
        ["status", "--json"],  # it stands before the command
        ["canary"],
        ["canary", "0"],
        ["canary", "100"],
        ["canary", "many"],
        ["activate"],
        ["activate", "r", "--canary", "100"],
        ["maintenance"],
        ["maintenance", "maybe"],
        ["drain", "ON"],
        ["prune", "--keep", "all"],
        ["prepare"],
        ["--app"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_apart_from_failure(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        engine.main(words)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("usage: flask-apachectl")


@pytest.mark.parametrize("text", ["1", "50", "99"])
def test_a_percentage(text: str) -> None:
    assert engine.percentage(text) == int(text)


@pytest.mark.parametrize("text", ["0", "100", "-1", "1000"])
def test_no_percentage(text: str) -> None:
    with pytest.raises(engine.argparse.ArgumentTypeError, match="write 1 to 99"):
        engine.percentage(text)


@pytest.mark.parametrize("words", [["run", "--", "flask", "--help"], ["run", "flask", "routes", "--all"]])
def test_a_command_of_the_app_keeps_its_own_options(words: list[str]) -> None:
    options = engine.parser().parse_args(words)
    assert [word for word in options.command if word != "--"] == [word for word in words[1:] if word != "--"]


def test_options_that_a_command_lacks_have_their_defaults() -> None:
    for words in (["rollback"], ["activate", "r"], ["prepare", "s"], ["prune"], ["status"]):
        options = engine.parser().parse_args(words)
        assert (options.app, options.json, options.plan, options.canary) == (None, False, False, 0)


@pytest.mark.parametrize(
    "error",
    [
        engine.RefusedError("no luck"),
        OSError(28, "No space left on device"),
        subprocess.CalledProcessError(1, ["python3"]),
        pytest.param(ValueError("release.json is damaged")),
        pytest.param(KeyError("getpwnam(): name not found: 'shop'")),
        pytest.param(tarfile.ReadError("unexpected end of data")),
        pytest.param(EOFError("Compressed file ended")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_is_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(_options: object) -> None:
        raise error

    monkeypatch.setattr(engine, "answer", fail)
    assert engine.main(["--json", "status"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found.pop("seconds") >= 0
    assert found == {"failed": True, "msg": str(error)}
    assert engine.main(["status"]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"flask-apachectl: {error}\n")


def test_success_is_one_json_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(engine, "answer", lambda _options: {"changed": False, "msg": "ü\nb"})
    assert engine.main(["--json", "status"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["msg"], found["changed"], set(found)) == ("ü\nb", False, {"msg", "changed", "seconds"})
    assert engine.main(["status"]) == 0
    assert capsys.readouterr() == ("ü\nb\n", "")


@pytest.fixture
def as_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.os, "geteuid", lambda: 0)


@pytest.mark.usefixtures("app", "as_operator")
@pytest.mark.parametrize("words", [["prepare", "s", "--plan"], ["activate", "s-?", "--plan"]], ids=" ".join)
def test_a_check_on_a_bare_host_tells_what_would_be(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert engine.main(["--json", "--app", "new", *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["changed"], found["msg"]) == (True, "s-? would be the first release of new")


@pytest.mark.usefixtures("as_operator")
def test_a_plan_needs_no_name_where_there_is_one_app(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    declare(app, "shop", json.dumps(DECLARED))
    assert engine.main(["rollback", "--plan"]) == 1
    assert "there is no release to go back to" in capsys.readouterr().err


@pytest.mark.usefixtures("app", "as_operator")
def test_no_rollback_is_planned_for_an_app_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert engine.main(["--app", "new", "rollback", "--plan"]) == 1
    assert "no app new on this host" in capsys.readouterr().err


def test_a_table_is_aligned() -> None:
    rows = [{"a": "x", "b": None, "c": 1}, {"a": "longer", "b": True, "c": ""}]
    assert engine.table(("a", "b", "c"), rows).splitlines() == ["a       b     c", "x       None  1", "longer  True"]
    assert engine.table(("a", "b"), []) == "a  b"


@given(st.lists(st.fixed_dictionaries({"a": WORDS, "b": st.integers(), "c": st.none()}), max_size=5))
def test_a_table_has_a_line_for_each_row(rows: list[dict[str, Any]]) -> None:
    heading, *lines = engine.table(("a", "b", "c"), rows).splitlines()
    assert [line.split() for line in lines] == [[str(row[column]) for column in "abc"] for row in rows]
    assert all(line[heading.index("c") :] == "None" for line in lines)


# --- What a failed health check says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said"),
    [("text/plain", " (the queue is full)"), ("application/json", " (the queue is full)"), ("text/html", "")],
)
def test_a_wrong_answer_is_quoted_unless_it_is_a_page(kind: str, said: str) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(b"the queue is\n full")

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request).start()
        more = {"health_host": "", "health_request_timeout": 5, "health_body": "", "health_status": [200]}
        app = engine.App("shop", {**DECLARED, **more, "port": server.server_port})
        answer = engine.ask(app)
    assert engine.explain(app, answer, "r") == f"/ answered 503{said}; expected is one of [200]"


# --- Secrets, irreversible releases, data ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "patterns", "expected"),
    [
        ("API_TOKEN", ["*TOKEN*"], True),
        ("api_token", ["*TOKEN*"], True),
        ("API_TOKEN", ["*token"], True),
        ("COLOUR", ["*TOKEN*"], False),
        ("SECRET_KEY", [], True),  # always
        ("DATABASE_URL", ["*DATABASE_UR[IL]*"], True),
        ("BASE_URL", ["*DATABASE_UR[IL]*"], False),
    ],
)
def test_secrets_are_known_by_their_names(name: str, patterns: list[str], expected: bool) -> None:  # noqa: FBT001
    assert engine.is_secret(name, patterns) == expected


@given(
    mine=st.dictionaries(st.sampled_from("AB") | st.sampled_from(["X_KEY", "Y_KEY"]), st.text()),
    current=st.dictionaries(st.sampled_from("AB") | st.sampled_from(["X_KEY", "Y_KEY"]), st.text()),
)
def test_a_release_keeps_its_own_and_gets_the_current_secrets(mine: dict[str, str], current: dict[str, str]) -> None:
    found = engine.with_secrets(mine, current, ["*KEY"])
    for name in ("A", "B"):
        assert found.get(name) == mine.get(name)
    for name in ("X_KEY", "Y_KEY"):
        assert found.get(name) == current.get(name)


def entry(action: str, release: str) -> dict[str, str]:
    """Return a line of the audit log."""
    return {"action": action, "release": release}


@pytest.mark.parametrize(
    ("history", "target", "expected"),
    [
        ([("deploy", "1"), ("deploy", "2")], "1", "2"),
        ([("deploy", "1"), ("deploy", "2"), ("deploy", "3")], "1", "2"),
        ([("deploy", "1"), ("deploy", "2"), ("deploy", "3")], "2", None),
        ([("deploy", "1"), ("deploy", "2"), ("rollback", "1"), ("deploy", "3")], "1", None),  # it was forced
        ([("deploy", "1"), ("deploy", "2"), ("deploy", "3"), ("rollback", "2")], "3", None),  # forward
        ([("deploy", "1"), ("refused", "2")], "1", None),
        ([("deploy", "1"), ("canary 10 %", "2"), ("promote", "2")], "1", "2"),
    ],
)
def test_what_cannot_be_undone(history: list[tuple[str, str]], target: str, expected: str | None) -> None:
    assert engine.crossed([entry(*line) for line in history], target, ["2"]) == expected


@pytest.fixture
def staged(app: App, tmp_path: Path) -> Path:
    """Return a staged source; it wants two of its paths to lead to the app's data."""
    wanted = [{"name": "own", "link": "instance"}, "uploads", {"name": "media/pictures", "link": "static/pictures"}]
    app.config["data_directories"] = wanted
    source = tmp_path / "source"
    source.mkdir()
    (source / "app.py").write_text("")
    (source / "inner").symlink_to("app.py")
    return source


def test_links_lead_to_the_data(app: App, staged: Path) -> None:
    (staged / "instance").mkdir()
    (staged / "instance/.gitkeep").write_text("")
    for _ in range(2):  # a release may be copied from another one
        engine.link_data(app, staged)
        assert (staged / "instance").readlink() == app.data / "own"
        assert (staged / "static/pictures").readlink() == app.data / "media/pictures"
    app.config["data_directories"] = []
    engine.link_data(app, staged)
    assert [path.name for path in staged.rglob("*") if path.is_symlink()] == ["inner"]


def test_content_where_the_data_should_be_is_refused(app: App, staged: Path) -> None:
    (staged / "instance").mkdir()
    (staged / "instance/shop.sqlite").write_text("")
    with pytest.raises(
        engine.RefusedError, match=r"instance .*has shop.sqlite there: leave it out \(flask_apache_source"
    ):
        engine.link_data(app, staged)
    (staged / "instance/shop.sqlite").unlink()
    (staged / "static").write_text("")
    with pytest.raises((engine.RefusedError, OSError)):
        engine.link_data(app, staged)


@pytest.mark.parametrize(("link", "target"), [("instance", "inner"), ("static", "..")])
def test_a_link_of_the_source_in_the_way_is_refused(app: App, staged: Path, link: str, target: str) -> None:
    (staged / link).symlink_to(target)
    with pytest.raises(engine.RefusedError, match="lead"):
        engine.link_data(app, staged)


def test_links_make_another_release_and_other_directories_do_not() -> None:
    def made(*directories: object) -> str:
        found: str = engine.release_id("s", DECLARED | {"data_directories": list(directories)}, {}, "3.11")
        return found

    assert made() == made("uploads") == made({"name": "uploads"})
    assert len({made(), made({"name": "a", "link": "b"}), made({"name": "a", "link": "c"})}) == 3
