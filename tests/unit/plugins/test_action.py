"""Each step sends what it should, and nothing where nothing is to be done."""

from __future__ import annotations

import base64
import json
import zlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import requests
from tests.unit.programs import ROLE, load
from tests.unit.role.cases import CONSTANTS, variables_of

if TYPE_CHECKING:
    from collections.abc import Iterator

plugin = load("action_plugins/flask_apache_engine.py")
SOURCE = {"id": "aaaaaaaaaaaa", "archive": None}
INSPECTED: dict[str, Any] = {
    "distribution": "Debian",
    "distribution_version": "12",
    "mod_wsgi_package": "4.9.4",
    "python": "3.11",
    "packages_missing": [],
    "python_apt": True,
    "salt": "salt",
    "digest": "",
    "drift": [],
    "live": None,
    "sources": [],
    "wheelhouses": [],
    "build_user": {"uid": 990},
}


class Step:
    """An action with a fake connection: what it sends is kept."""

    def __init__(self, *, check: bool = False, host: str = "one", **variables: object) -> None:
        self.sent: list[tuple[list[str], dict[str, Any]]] = []
        self.answers: list[dict[str, Any]] = []
        self.shown: list[str] = []
        action = object.__new__(plugin.ActionModule)
        action._task = SimpleNamespace(check_mode=check, diff=True, args={})
        action._templar = SimpleNamespace(template=lambda value: value)
        action._display = SimpleNamespace(display=self.shown.append)
        action._execute_module = self.execute
        action.role = ROLE
        action.task_vars = {
            **variables_of("defaults"),
            **{f"flask_apache_{name}": value for name, value in variables.items()},
            **CONSTANTS,
            "inventory_hostname": host,
            "ansible_play_hosts": ["one", "two"],
        }
        self.action = action

    def execute(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Keep what is sent; answer what a test says, or that it was done."""
        assert (module_name, task_vars) == ("flask_apache_engine", self.action.task_vars)
        assert zlib.decompress(base64.b64decode(module_args["engine"])).startswith(b"#!")
        request = json.loads(zlib.decompress(base64.b64decode(module_args["request"])))
        self.sent.append((module_args["command"], request))
        return self.answers.pop(0) if self.answers else {"changed": True, "msg": "done"}

    def request(self, host: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the app is to have."""
        request: dict[str, Any] = self.action.declaration({"host": host or INSPECTED}, SOURCE)
        return request

    def plan(self, **changes: object) -> dict[str, Any]:
        """Return a plan for a host that has all that is declared, but for some changes."""
        request = self.request()
        live = requests.release_ids(request, SOURCE["id"] or "")[0]
        return {"host": {**INSPECTED, "digest": request["digest"], "live": live, **changes}}


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Build the engine once."""
    with pytest.MonkeyPatch.context() as patch:
        from controller import artefact  # noqa: PLC0415

        built = artefact.build(ROLE / "files")
        patch.setattr(artefact, "build", lambda _files: built)
        yield


HOOKS = [{"at": "before_start", "run": "flask db upgrade"}]


def test_a_host_that_serves_what_is_declared_is_not_asked() -> None:
    step = Step()
    plan = step.plan()
    prepared = step.action.step_prepare(plan, SOURCE)
    assert prepared == {
        "changed": False,
        "release": plan["host"]["live"],
        "msg": f"{plan['host']['live']} is live already",
    }
    assert step.action.step_apply(plan, SOURCE) == {"changed": False, "msg": "app: nothing to change"}
    assert step.action.step_before_start(plan, SOURCE, "r1") == {"changed": False, "msg": "there are no such hooks"}
    assert step.sent == []


@pytest.mark.parametrize("changes", [{"digest": "other"}, {"digest": ""}, {"drift": ["/etc/flask-apache/app/env"]}])
def test_a_host_that_differs_is_asked(changes: dict[str, Any]) -> None:
    step = Step()
    plan = step.plan(**changes)
    step.action.step_prepare(plan, SOURCE)
    step.action.step_apply(plan, SOURCE)
    (prepare, request), (apply, same) = step.sent
    assert prepare == ["--app", "app", "prepare", SOURCE["id"], "--request"]
    assert apply == ["--app", "app", "apply"]
    assert request.pop("archives") == {}
    assert request == same == step.request()


def test_another_live_release_is_no_reason_to_apply() -> None:
    step = Step()
    plan = step.plan(live="bbbbbbbbbbbb-123456")
    step.action.step_prepare(plan, SOURCE)
    step.action.step_apply(plan, SOURCE)
    assert [command[2] for command, _ in step.sent] == ["prepare"]


ACME: dict[str, Any] = {"tls": "acme", "acme_directory": "https://acme.example.net/dir", "acme_wait": 5}
FLAG = "/srv/flask-apache/.https/www.example.com-443-20f361a3"


def test_a_certificate_is_awaited_unless_it_is_there() -> None:
    step = Step(**ACME)
    derived = step.action.step_await_certificate({"host": {**INSPECTED, "certified": ""}})
    assert derived == {"changed": True, "msg": "done"}
    assert step.sent == [(["--app", "app", "await-certificate", "5"], {})]
    other = step.action.step_await_certificate({"host": {**INSPECTED, "certified": f"{FLAG[:-1]}x"}})
    assert other["changed"], "that of another authority"
    checked = Step(check=True, **ACME)
    assert checked.action.step_await_certificate({"host": {**INSPECTED, "certified": ""}})["changed"]
    assert checked.sent == []


def test_a_certificate_that_does_not_come_is_a_warning() -> None:
    step = Step(**ACME)
    step.answers = [{"changed": False, "pending": True, "msg": "no certificate"}]
    assert step.action.step_await_certificate({"host": {**INSPECTED, "certified": ""}})["warnings"] == [
        "no certificate"
    ]


def test_a_check_only_plans() -> None:
    step = Step(check=True, hooks=HOOKS)
    plan = step.plan(digest="other", live="bbbbbbbbbbbb-123456")
    release = requests.release_ids(step.request(), SOURCE["id"] or "")[0]
    prepared = step.action.step_prepare(plan, SOURCE)
    assert prepared == {"changed": True, "release": release, "msg": f"{release} would be made"}
    unknown = step.action.step_prepare(plan, {"id": "unknown", "archive": None})
    assert unknown["release"] == "unknown-?"
    step.action.step_apply(plan, SOURCE)
    step.action.step_before_start(plan, SOURCE, release)
    step.action.step_activate(plan, SOURCE, release)
    step.action.step_rollback()
    step.action.step_remove()
    assert len(step.sent) == 5
    assert all(command[-1] == "--plan" for command, _ in step.sent)
    first = step.plan(digest="")
    assert step.action.step_activate(first, SOURCE, release) == {
        "changed": True,
        "msg": f"{release} would be the first release of app",
    }


def test_what_is_activated_is_what_was_declared() -> None:
    for host, once in (("one", []), ("two", ["--skip-once"])):
        step = Step(host=host, hooks=HOOKS, canary=10)
        plan, digest = step.plan(), step.request()["digest"]
        step.action.step_before_start(plan, SOURCE, "r1")
        step.action.step_activate(plan, SOURCE, "r1")
        end = [*once, "--declaration", digest]
        assert [command[2:] for command, _ in step.sent] == [
            ["before-start", "r1", *end],
            ["activate", "r1", "--canary", "10", *end],
        ]


def test_a_source_from_the_host_needs_git_first() -> None:
    step = Step(check=True, source_type="git", git_on="host")
    for missing in ({"packages_missing": ["git"]}, {"build_user": None}):
        assert step.action.step_fetch_on_host(step.plan(**missing))["id"] == "unknown"
    assert step.sent == []
    step.action.step_fetch_on_host(step.plan())
    ((command, request),) = step.sent
    assert (command, set(request)) == (["fetch"], {"wanted", "directories", "app", "lock_wait"})
    assert step.action.step_fetch(step.plan())["id"] is None


def test_a_check_installs_nothing_that_ansible_needs() -> None:
    step = Step(check=True)
    lacking = step.plan(packages_missing=["apache2", "git"], python_apt=False)
    said = step.action.step_await_packages(lacking)
    assert said == {"changed": True, "msg": "would be installed: python3-apt, apache2, git"}
    assert step.sent == []
    step.action.step_await_packages(step.plan(packages_missing=["git"]))
    run = Step(check=False)
    run.action.step_await_packages(lacking)
    assert step.sent == run.sent == [(["await-packages"], {})]


def test_a_rollback_and_a_removal() -> None:
    step = Step(rollback_to="r1", rollback_force=True, remove_data=True)
    step.action.step_rollback()
    step.action.step_remove()
    (rollback, _), (remove, request) = step.sent
    assert rollback == ["--app", "app", "rollback", "r1", "--force"]
    assert (remove, request["data"]) == (["--app", "app", "remove"], True)


@pytest.mark.parametrize("name", ["", "vhosts", "../etc", "App", "a" * 33])
def test_nothing_is_removed_by_a_name_that_is_no_apps(name: str) -> None:
    step = Step(app=name)
    answer = step.action.step_remove()
    assert answer["failed"] is True
    assert answer["msg"].startswith("flask_apache_app must be a lower-case letter")
    assert step.sent == []


def test_a_long_command_is_asked_until_it_ends_and_shows_its_steps() -> None:
    step = Step()
    step.answers = [
        {"running": "/run/flask-apachectl.x", "progress": ["stage   r1"]},
        {"running": "/run/flask-apachectl.x", "progress": ["stage   r1", "build   r1"]},
        {"changed": True, "progress": ["stage   r1", "build   r1", "start   r1"]},
    ]
    assert step.action.engine(["inspect"], {})["changed"] is True
    assert [line.rstrip() for line in step.shown] == ["  one: stage   r1", "  one: build   r1", "  one: start   r1"]
    assert len(step.sent) == 3


# --- Plain data


class Tagged(str):
    """A string of a type of Ansible's."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return something else, as a secret of a vault may."""
        return "tagged"


class Vault:
    """A secret of a vault, as older versions of Ansible have it."""

    def __str__(self) -> str:
        """Return the text."""
        return "opened"


class Mapping:
    """A mapping that is no dict."""

    def items(self) -> list[tuple[str, int]]:
        """Return its items."""
        return [("a", 1)]


class Unsafe(str):
    """As the results of tasks are, before ansible-core 2.19."""

    __slots__ = ()


def test_a_step_gets_the_results_of_others_as_plain_data(monkeypatch: pytest.MonkeyPatch) -> None:
    action = Step().action
    monkeypatch.setattr(plugin.ActionBase, "run", lambda *_: {})
    monkeypatch.setattr(plugin.ActionModule, "_import_from_role", lambda _: None)
    action._task.args = {"step": "probe", "plan": {"host": [Unsafe("a text")]}}  # noqa: SLF001
    action.step_probe = lambda plan: {"types": [type(each) for each in plan["host"]], "plan": plan}
    answer = action.run(task_vars={"role_path": str(ROLE), "flask_apache_app": "shop"})
    assert answer == {"app": "shop", "types": [str], "plan": {"host": ["a text"]}}


def test_plain_data_has_no_types_of_ansibles() -> None:
    found = plugin.plain({Tagged("key"): [Tagged("value"), (1, None, True, 0.5)], "vault": Vault(), "m": Mapping()})
    assert found == {"key": ["value", [1, None, True, 0.5]], "vault": "opened", "m": {"a": 1}}
    assert {type(name) for name in found} == {str}
    assert type(found["key"][0]) is str


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)


@given(JSON)
def test_plain_data_stays_as_it_is(value: object) -> None:
    assert plugin.plain(value) == value
