"""The host gets what was declared: nothing more, also after a kill, and Apache loads it."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_apachectl import history, paths, routing
from flask_apachectl.apache import hardening, others, server, users
from flask_apachectl.commands import apply, inspect
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, files
from flask_apachectl.host.desired import Directory, File, Link
from tests.unit.flask_apachectl.commands.conftest import Machine, fresh_machine
from tests.unit.flask_apachectl.kills import Killed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask_apachectl.host.desired import Wanted


def test_the_host_gets_what_was_declared(machine: Machine) -> None:
    answer = machine.apply("shop", environment={"KEY": "secret"})
    assert (answer["changed"], answer["reloaded"]) == (True, True)
    assert answer["msg"].startswith("shop: changed ")
    conf = paths.ETC / "shop"
    assert (conf / "entry.wsgi").read_text() == "entry\n"
    assert json.loads((conf / "env").read_text()) == {"KEY": "secret"}
    assert ((conf / "env").stat().st_mode & 0o777, (conf / "app.json").stat().st_mode & 0o777) == (0o640, 0o640)
    assert (paths.ENGINE.read_text(), paths.ENGINE.stat().st_mode & 0o777) == ("the engine", 0o755)
    assert (machine.proofs, machine.loads, machine.diverted) == (1, [False], True)
    assert machine.drift("shop") == []


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    machine.apply("shop")
    before = machine.tree()
    answer = machine.apply("shop")
    assert answer == {
        "changed": False,
        "paths": [],
        "diff": [],
        "msg": "shop: nothing to change",
        "reloaded": False,
    }
    assert (machine.tree(), machine.proofs, machine.loads) == (before, 1, [False])


def test_no_secret_is_in_an_answer_nor_in_the_declaration(machine: Machine) -> None:
    for secret in ("battery", "staple"):
        answer = machine.apply("shop", environment={"KEY": secret})
        assert str(paths.ETC / "shop/env") in answer["paths"]
        assert not any(word in json.dumps(answer) for word in ("battery", "staple"))
        assert secret not in (paths.ETC / "shop/app.json").read_text()


def test_a_plan_changes_nothing(machine: Machine) -> None:
    before = machine.tree()
    first = machine.apply("shop", plan=True)
    assert (first["changed"], machine.proofs, machine.loads, machine.diverted) == (True, 0, [], False)
    assert set(machine.tree()) - set(before) == {"srv/shop"}  # by the test itself
    assert first["msg"].startswith("shop: would change ")
    done = machine.apply("shop")
    assert (first["paths"], first["diff"]) == (done["paths"], done["diff"])
    before = machine.tree()
    assert machine.apply("shop", plan=True)["changed"] is False
    assert machine.apply("shop", plan=True, mount="/shop", digest="2")["changed"] is True
    assert machine.tree() == before


def test_apache_is_not_reloaded_for_what_it_does_not_read(machine: Machine) -> None:
    machine.apply("shop")
    answer = machine.apply("shop", health_path="/healthz", environment={"A": "b"}, digest="2")
    assert (answer["changed"], answer["reloaded"]) == (True, False)
    assert (machine.proofs, machine.loads) == (1, [False])


def test_a_changed_password_needs_no_reload(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither does one that is gone, and its file goes only when Apache does not need it any more."""
    monkeypatch.setattr(users, "GROUP", "root")
    monkeypatch.setattr(users, "content", lambda _path, names: "".join(f"{each}\n" for each in names))
    first, second = (paths.ETC / f"shop/users-{number}" for number in (1, 2))
    declared = {str(first): {"alice": "battery"}, str(second): {"bob": "staple"}}
    planned = machine.apply("shop", users=declared, plan=True)
    answer = machine.apply("shop", users=declared)
    assert planned["paths"] == answer["paths"]
    assert {str(first), str(second)} <= set(answer["paths"])
    assert not any(secret in json.dumps([planned, answer]) for secret in ("battery", "staple"))
    assert machine.apply("shop", users=declared)["changed"] is False
    assert first.stat().st_mode & 0o777 == 0o640
    answer = machine.apply("shop", users={**declared, str(first): {"alice": "horse"}}, digest="2")
    assert (answer["paths"], answer["reloaded"]) == ([str(first), str(paths.ETC / "shop/app.json")], False)
    assert machine.drift("shop") == []
    second.write_text("mallory")
    assert machine.drift("shop") == [str(second)]
    kept: list[bool] = []
    machine.patch.setattr(server, "loaded", lambda _app: str(kept.append(first.exists())))  # type: ignore[func-returns-value]
    assert str(first) in machine.apply("shop", users={str(second): {"bob": "staple"}}, digest="3", plan=True)["paths"]
    answer = machine.apply("shop", users={str(second): {"bob": "staple"}}, digest="3")
    assert set(kept) == {True}
    assert {str(first), str(second)} <= set(answer["paths"])
    assert (first.exists(), second.exists()) == (False, True)


def test_what_apache_has_not_loaded_is_loaded(machine: Machine) -> None:
    """Such as by a reload that failed, or a configuration that somebody put back."""
    machine.apply("shop")
    machine.configuration = {}
    assert machine.drift("shop") == ["Apache has not loaded shop's configuration"]
    answer = machine.apply("shop")
    assert (answer["changed"], answer["reloaded"]) == (True, True)
    assert answer["msg"] == "Apache had not loaded its configuration; it has now"
    assert machine.drift("shop") == []


@pytest.mark.parametrize("changes", [{"running": False}, {"manage_service": False}])
def test_an_apache_that_does_not_run_or_is_not_ours_is_left(machine: Machine, changes: dict[str, Any]) -> None:
    machine.running = changes.pop("running", True)
    assert machine.apply("shop", **changes)["reloaded"] is False
    assert machine.loads == []


def test_another_mod_wsgi_needs_a_restart(machine: Machine) -> None:
    machine.apply("shop")
    machine.apply("shop", wsgi_load="LoadModule\n", digest="2")
    machine.apply("shop", wsgi_load="LoadModule other\n", digest="3")
    machine.apply("shop", wsgi_load="LoadModule other\n", mount="/shop", digest="4")
    assert machine.loads[1:] == [True, True, False]


@pytest.fixture
def sandboxed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Let systemd run the machine; return what is known of it: whether others are served, and the sandbox in effect."""
    known = {"alone": True, "in effect": False}
    paths.SYSTEMD.mkdir()
    monkeypatch.setattr(hardening, "problem_of", lambda _settings: "")
    monkeypatch.setattr(others, "are_none", lambda: known["alone"])
    monkeypatch.setattr(hardening, "is_in_effect", lambda _pid: known["in effect"])
    machine.apply("shop", sandbox="always")
    return known


@pytest.mark.parametrize(
    ("known", "changes", "restarts"),
    [
        ({"in effect": True}, {"sandbox_writable": ["/srv/media"]}, True),
        ({"in effect": True}, {"sandbox": "none"}, True),
        ({"in effect": True}, {"mount": "/shop"}, False),
        ({"in effect": True, "alone": False}, {"sandbox_writable": ["/srv/media"]}, True),
        ({"in effect": True, "alone": False}, {"sandbox": "auto"}, False),  # it goes at the next start
        ({"in effect": False}, {"sandbox_writable": ["/srv/media"]}, False),  # it comes at the next start
    ],
)
def test_apache_restarts_for_its_sandbox_only_if_it_must(
    machine: Machine,
    sandboxed: dict[str, bool],
    monkeypatch: pytest.MonkeyPatch,
    known: dict[str, bool],
    changes: dict[str, Any],
    *,
    restarts: bool,
) -> None:
    assert machine.loads == [True], "nobody was served before"
    monkeypatch.setattr(routing, "slot_release", lambda *_: "r1")
    sandboxed |= known
    machine.apply("shop", **{"sandbox": "always", "digest": "2", **changes})
    assert machine.loads[1:] == [restarts]


def test_what_cannot_be_proved_is_not_installed(machine: Machine) -> None:
    machine.apply("shop")
    before, machine.refusal = machine.tree(), "Apache does not start:\n  Syntax error"
    with pytest.raises(RefusedError) as error:
        machine.apply("shop", mount="/shop", digest="2")
    assert machine.tree() == before
    assert str(error.value) == (
        "Apache does not start:\n  Syntax error\n"
        "None of it has been installed. No release was live before, and none is now."
    )
    assert machine.drift("shop") == []
    (refused,) = history.read(machine.app("shop"))
    assert (refused["action"], refused["reason"]) == ("deploy refused", "Apache does not start … Syntax error")


def test_a_new_entry_script_makes_processes_outdated(machine: Machine) -> None:
    machine.apply("shop")
    slot = paths.SRV / "shop/blue"
    (paths.SRV / "shop/releases/r1").mkdir(parents=True)
    slot.symlink_to("releases/r1")
    machine.apply("shop", health_path="/healthz", digest="2")
    assert not (paths.SRV / "shop/blue.since").exists()
    machine.apply("shop", entry="other\n", digest="3")
    assert (paths.SRV / "shop/blue.since").exists()
    assert str(slot.readlink()) == "releases/r1"


def test_a_name_is_reserved(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.apply("blog")
    monkeypatch.setattr(inspect, "inspect", lambda _options: {"msg": "the host as it is then"})
    assert inspect.reserve(type("Options", (), {"app": "shop"})()) == {"msg": "the host as it is then"}
    assert (paths.ETC / "shop").is_dir()


# --- What is drifted

DRIFTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a file": ("shop/entry.wsgi", lambda path: path.write_text("mine\n")),
    "a mode": ("shop/env", lambda path: path.chmod(0o644)),
    "a lost file": ("shop/pages/503.html", lambda path: path.unlink()),
    "a link": ("shop/entry.wsgi", lambda path: files.replace_link(path, "/etc/passwd")),
    "a directory's mode": ("shop/pages", lambda path: path.chmod(0o777)),
    "of Apache": ("vhosts/www.example.com-80/998-shop.conf", lambda path: path.write_text('"mine"\n')),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_drift_is_named_and_healed(machine: Machine, drift: str) -> None:
    machine.apply("shop")
    before, (name, damage) = machine.tree(), DRIFTS[drift]
    damage(paths.ETC / name)
    assert str(paths.ETC / name) in machine.drift("shop")
    machine.apply("shop")
    assert machine.drift("shop") == []
    assert machine.tree() == before


@pytest.mark.parametrize(
    "installed", [None, {}, [1], [{}], [{"path": "a\0b", "owner": "root", "group": "root", "mode": "0755"}]], ids=repr
)
def test_a_damaged_list_of_what_was_installed_is_drift(machine: Machine, installed: object) -> None:
    machine.apply("shop")
    path = paths.ETC / "shop/app.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "installed": installed}))
    assert machine.drift("shop") == [str(path)]


@st.composite
def things(draw: st.DrawFn) -> tuple[str, bytes, int]:
    """Return a thing without its path."""
    return (
        draw(st.sampled_from(["file", "secret", "link", "nothing", "directory"])),
        draw(st.binary(max_size=20)),
        draw(st.sampled_from([0o600, 0o640, 0o755])),
    )


def of(path: Path, thing: tuple[str, bytes, int]) -> Wanted:
    """Return a thing at a path."""
    kind, content, mode = thing
    if kind == "directory":
        return Directory(path, "root", "root", mode)
    if kind in ("link", "nothing"):
        return Link(path, f"target{mode}" if kind == "link" else "")
    return File(path, content, "root", mode, secret=kind == "secret")


@pytest.mark.usefixtures("as_root")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(installed=things(), there=things())
def test_a_thing_differs_from_what_is_kept_of_it_as_from_itself(
    tmp_path: Path, installed: tuple[str, bytes, int], there: tuple[str, bytes, int]
) -> None:
    path = tmp_path / "one"
    desired.make(Link(path))
    desired.make(of(path, there))
    wanted = of(path, installed)
    kept = json.loads(json.dumps(apply.described(wanted)))
    assert apply.differs(kept) == (desired.difference(wanted) is not None)


# --- Killed at any moment


BEFORE: dict[str, Any] = {"default_server": True, "metrics_textfile": "/nowhere/one"}
CHANGES: dict[str, dict[str, Any]] = {
    "first": {},
    "moved": {
        "server_name": "blog.example.com",
        "environment": {"A": "b"},
        "entry": "other\n",
        "metrics_textfile": "/nowhere/two",
    },
    "no default": {"default_server": False},
}


def killed_at(machine: Machine, moment: int, change: str, *, hard: bool) -> bool:
    """Apply a change, killed at a moment; tell whether it was killed."""
    with contextlib.suppress(Killed), machine.killer.armed(moment, hard=hard):
        machine.apply("shop", **CHANGES[change], digest="2")
        return False
    return True


@pytest.mark.parametrize("change", CHANGES)
def test_a_killed_run_is_completed_by_the_next_one(
    tmp_path_factory: pytest.TempPathFactory, change: str, request: pytest.FixtureRequest
) -> None:
    """Until then the role sees that something is left to do; afterwards the host is as if nothing had happened."""
    wanted: dict[str, str] = {}
    for moment in itertools.chain([10**6], itertools.count(step=2)):
        with pytest.MonkeyPatch.context() as patch:
            machine = fresh_machine(tmp_path_factory.mktemp("host"), patch, request)
            machine.apply("blog", server_name="other.example.com")
            if change != "first":
                machine.apply("shop", **BEFORE)
            was_killed = killed_at(machine, moment, change, hard=moment % 4 == 0)
            if was_killed:
                with contextlib.suppress(RefusedError):  # another app's run in between changes nothing of it
                    machine.apply("blog", server_name="other.example.com")
                finished(machine, change)
            tree = machine.tree() | {"loaded": json.dumps(machine.configuration)}
            wanted = wanted or tree
            assert tree == wanted
        if not was_killed and moment != 10**6:
            break
    assert moment > 10


def finished(machine: Machine, change: str) -> None:
    """Do what the next run of the role does: nothing, if the host says that all is as declared."""
    kept = json.loads(text) if (text := read(paths.ETC / "shop/app.json")) else {}
    if kept.get("digest") != "2" or machine.drift("shop"):
        machine.apply("shop", **CHANGES[change], digest="2")
    assert machine.drift("shop") == []
    assert machine.configuration == machine.on_disk()


def read(path: Path) -> str:
    """Return a file's text, or nothing."""
    return path.read_text() if path.exists() else ""
