"""The role's public interface says the same everywhere, and the role keeps to its own rules."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from controller.daemon_options import DAEMON
from tests.support.commands import ROOT
from tests.unit.programs import ROLE, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPECS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
OPTIONS = {name: option for spec in SPECS.values() for name, option in spec["options"].items()}
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
STAGES = ["preflight", "source", "packages", "users", "release"]  # of a deploy, in its order
ENGINE = "flask_apache_engine"
TASK_FILES = sorted((ROLE / "tasks").glob("*.yml"))
PLUGIN = load("action_plugins/flask_apache_engine.py").ActionModule
STEPS = {name.removeprefix("step_"): getattr(PLUGIN, name) for name in vars(PLUGIN) if name.startswith("step_")}
TYPES: dict[str, type] = {
    "str": str,
    "path": str,
    "int": int,
    "float": float,
    "bool": bool,
    "list": list,
    "dict": dict,
}
# Of a task, what is no module.
KEYWORDS = {
    *(
        "any_errors_fatal",
        "become",
        "block",
        "changed_when",
        "check_mode",
        "delegate_to",
        "diff",
        "environment",
        "failed_when",
        "listen",
    ),
    *("loop", "loop_control", "name", "no_log", "notify", "register", "rescue", "retries", "run_once", "tags", "until"),
    *("vars", "when", "always", "delay"),
}


def tasks(path: Path) -> Iterator[dict[str, Any]]:
    """Yield a file's tasks, also those in blocks."""
    waiting = list(yaml.safe_load(path.read_text()))
    while waiting:
        task = waiting.pop(0)
        yield task
        for block in ("block", "rescue", "always"):
            waiting += task.get(block, [])


ALL_TASKS = [pytest.param(path, task, id=f"{path.stem}-{task['name']}") for path in TASK_FILES for task in tasks(path)]


def of_module(task: dict[str, Any]) -> set[str]:
    """Return the modules that a task calls."""
    return set(task) - KEYWORDS


def values(of: object, key: str) -> Iterator[Any]:
    """Yield the values that stand under a key, however deep."""
    if isinstance(of, dict):
        for name, value in of.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(of, list):
        for item in of:
            yield from values(item, key)


# --- Variables -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry_point", SPECS)
def test_defaults_and_specification_are_one_thing(entry_point: str) -> None:
    options = {name: option["default"] for name, option in SPECS[entry_point]["options"].items()}
    assert list(options.items()) == [(name, value) for name, value in DEFAULTS.items() if name in options]


def test_every_default_is_specified() -> None:
    assert set(DEFAULTS) == set(OPTIONS)


def test_the_entry_points() -> None:
    assert list(SPECS) == ["main", "remove", "rollback"]
    assert list(SPECS["remove"]["options"]) == ["flask_apache_app", "flask_apache_remove_data"]
    assert list(SPECS["rollback"]["options"]) == [
        "flask_apache_app",
        "flask_apache_rollback_to",
        "flask_apache_rollback_force",
    ]
    for name, spec in SPECS.items():
        assert (ROLE / "tasks" / f"{name}.yml").is_file()
        assert set(spec) == {"short_description", "description", "options"}


def test_what_entry_points_share_is_of_one_type() -> None:
    for spec in SPECS.values():
        for name, option in spec["options"].items():
            assert {"type": option["type"], "default": option["default"]} == {
                "type": OPTIONS[name]["type"],
                "default": OPTIONS[name]["default"],
            }


@pytest.mark.parametrize("name", OPTIONS)
def test_every_variable_is_described(name: str) -> None:
    spec = OPTIONS[name]
    assert re.fullmatch(r"flask_apache_[a-z][a-z0-9_]*", name)
    assert set(spec) <= {"type", "elements", "choices", "description", "default", "no_log", "options"}
    assert re.fullmatch(r"[A-Z0-9`Cp].*\.", spec["description"]), "a sentence"
    assert ("elements" in spec) == (spec["type"] == "list")


@pytest.mark.parametrize("name", OPTIONS)
def test_a_default_is_of_its_type(name: str) -> None:
    spec, default = OPTIONS[name], DEFAULTS[name]
    if default is not None:
        assert type(default) is TYPES[spec["type"]]
    for item in default if isinstance(default, list) else []:
        assert type(item) is TYPES[spec["elements"]]


@pytest.mark.parametrize("name", [name for name in OPTIONS if name.startswith("flask_apache_daemon_")])
def test_an_option_of_the_pools_has_the_type_that_mod_wsgi_reads(name: str) -> None:
    words = {
        "umask": "str",  # octal digits
        "lang": "str",
        "locale": "str",
        "switch_interval": "float",
        "server_metrics": "bool",
        "supplementary_groups": "list",
    }
    assert OPTIONS[name]["type"] == words.get(name.removeprefix("flask_apache_daemon_"), "int")


@pytest.mark.parametrize("name", OPTIONS)
def test_no_variable_is_idle(name: str) -> None:
    """Each is used by a task or by the control node's Python; the pools' options by their common beginning."""
    if name.startswith("flask_apache_daemon_"):
        assert DAEMON == "flask_apache_daemon_"
        return
    programs = [*(ROLE / "files/controller").rglob("*.py"), *(ROLE / "action_plugins").glob("*.py")]
    short = f'"{name.removeprefix("flask_apache_")}"'
    assert any(short in path.read_text() for path in programs) or any(
        re.search(rf"\b{name}\b", path.read_text()) for path in [*TASK_FILES, *(ROLE / "action_plugins").glob("*.py")]
    )


def test_no_file_uses_a_variable_that_does_not_exist() -> None:
    found = set()
    for part in ("tasks", "templates", "vars", "defaults", "action_plugins", "library"):
        for path in (path for path in (ROLE / part).rglob("*") if path.is_file()):
            found |= set(re.findall(r"(?<![\w^/])flask_apache_[a-z_]*[a-z]\b", path.read_text()))
    maps = {"flask_apache_unescape", "flask_apache_escape"}
    others = {ENGINE, *maps, "flask_apache_bypass"}  # a module's name, and a query's
    assert found - set(OPTIONS) <= others


def keys(node: yaml.Node) -> Iterator[list[str]]:
    """Yield the keys of each mapping below a node; reading YAML as values would drop those that stand twice."""
    if isinstance(node, yaml.MappingNode):
        yield [key.value for key, _ in node.value]
    children = [child for pair in node.value for child in pair] if isinstance(node, yaml.MappingNode) else node.value
    if not isinstance(node, yaml.ScalarNode):
        for child in children:
            yield from keys(child)


@pytest.mark.parametrize(
    "path",
    [
        *(ROLE / "meta").glob("*.yml"),
        *(ROLE / "defaults").glob("*.yml"),
        *(ROLE / "vars").glob("*.yml"),
        *TASK_FILES,
        ROOT / "galaxy.yml",
    ],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_no_key_is_duplicated(path: Path) -> None:
    document = yaml.compose(path.read_text())
    assert document is not None
    for names in keys(document):
        assert len(names) == len(set(names))


# --- Documents -------------------------------------------------------------------------------------------------------


def test_the_readmes_table_is_the_generated_one() -> None:
    program = [sys.executable, str(ROOT / "docs/variables.py"), "--check"]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", OPTIONS)
def test_the_readme_names_every_variable(name: str) -> None:
    assert f"\n| `{name}` | " in (ROLE / "README.md").read_text()


def test_the_readme_shows_what_each_entry_point_takes() -> None:
    readme = (ROLE / "README.md").read_text()
    parts = re.split(r"<!-- variables: .*-->|### `tasks_from: .*`", readme.partition("<!-- end")[0])
    for part, spec in zip(parts[1:], SPECS.values(), strict=True):
        assert re.findall(r"(?m)^\| `(flask_apache_\w+)` \| ", part) == list(spec["options"])


def test_the_version_is_the_changelogs_newest() -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    newest = re.search(r"(?m)^## \[?v?(\d+\.\d+\.\d+[\w.+-]*)", (ROOT / "CHANGELOG.md").read_text().replace("\\", ""))
    assert newest is not None
    assert newest[1] == version


# --- The role's own rules --------------------------------------------------------------------------------------------


def test_the_budget() -> None:
    assert len(ALL_TASKS) <= 40
    modules = [module for parameters in ALL_TASKS for module in of_module(parameters.values[1])]  # type: ignore[arg-type]
    assert modules.count("ansible.builtin.set_fact") == 0
    assert not any("rescue" in parameters.values[1] for parameters in ALL_TASKS)  # type: ignore[operator]
    assert not (ROLE / "handlers").exists()  # a lost notification would be lost for ever
    assert len((ROLE / "vars/main.yml").read_text().splitlines()) <= 120


def test_nothing_is_computed_in_yaml() -> None:
    for path in [*TASK_FILES, *(ROLE / "vars").glob("*.yml")]:
        assert not re.search(r"from_json|to_json|json_query|failed_when: false|\bdefault\(\{", path.read_text()), path


@pytest.mark.parametrize("path", sorted((ROLE / "tasks").glob("*.yml")), ids=lambda path: f"tasks-{path.stem}")
def test_a_stage_fits_on_a_page(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) <= 65  # "about 60"


def imports(name: str) -> list[str]:
    """Return the task files that a task file imports, in its order, without their suffix."""
    found = (task.get("ansible.builtin.import_tasks") for task in tasks(ROLE / "tasks" / f"{name}.yml"))
    return [file.removesuffix(".yml") for file in found if file]


def test_the_table_of_contents_is_the_deploys_order() -> None:
    assert imports("main") == STAGES
    assert all("import_tasks" in module for task in tasks(ROLE / "tasks/main.yml") for module in of_module(task))


def parts(*entry_points: str) -> set[str]:
    """Return the task files that entry points consist of."""
    reached, waiting = set[str](), list(entry_points)
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += [part for part in imports(name) if part not in reached]
    return reached


def test_every_task_file_is_an_entry_point_or_part_of_one() -> None:
    assert {path.stem for path in (ROLE / "tasks").glob("*.yml")} == parts(*SPECS)


def test_a_deploy_and_a_rollback_end_alike() -> None:
    ends = [list(tasks(ROLE / "tasks" / f"{name}.yml"))[-1] for name in ("release", "rollback")]
    assert [end.pop("name").partition(" | ")[2] for end in ends] == ["Report the live release"] * 2
    said = "__flask_apache_activated.msg"
    told = ["{{ __flask_apache_certified.serves | default(" + said + ") }}", "{{ " + said + " }}"]
    assert ends == [{"ansible.builtin.debug": {"msg": msg}} for msg in told]


@pytest.mark.parametrize(("path", "task"), ALL_TASKS)
def test_a_task(path: Path, task: dict[str, Any]) -> None:
    (module,) = of_module(task) or {"block"}
    assert module.startswith("ansible.builtin.") or module == ENGINE or (module == "block" and "block" in task)
    assert not {"ignore_errors", "failed_when", "notify"} & set(task)
    assert all(isinstance(mode, str) for mode in values(task, "mode"))
    if path.stem != "main":
        assert re.match(rf"{path.stem} \| [A-Z]", task["name"])
    if module in ("ansible.builtin.command", "ansible.builtin.shell"):
        assert "changed_when" in task or {"creates", "removes"} & set(task[module])
    if module in ("ansible.builtin.template", "ansible.builtin.copy"):
        assert "mode" in task[module]
    if "register" in task:
        assert task["register"].startswith("__flask_apache_")
    if "loop" in task:
        assert task["loop_control"]["loop_var"].startswith("__flask_apache_")
    assert not [name for name in task if name.startswith("with_")]


CALLS = [
    parameters.values[1][ENGINE]  # type: ignore[index]
    for parameters in ALL_TASKS
    if ENGINE in parameters.values[1]  # type: ignore[operator]
]


def test_a_deploy_is_the_plugins_steps() -> None:
    deploy = ["plan", "fetch", "await_packages", "fetch_on_host", "prepare", "apply", "before_start", "activate"]
    deploy += ["await_certificate"]
    found = [task[ENGINE]["step"] for name in STAGES for task in tasks(ROLE / f"tasks/{name}.yml") if ENGINE in task]
    assert found == deploy
    assert list(STEPS) == [*deploy, "rollback", "remove"]
    assert {call["step"] for call in CALLS} == set(STEPS)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["step"])
def test_a_step_gets_the_arguments_that_it_takes(call: dict[str, Any]) -> None:
    assert set(inspect.signature(STEPS[call["step"]]).parameters) - {"self"} == set(call) - {"step"}


TEMPLATES = {str(path.relative_to(ROLE / "templates")): path.read_text() for path in (ROLE / "templates").rglob("*.j2")}
INCLUDED = {name for text in TEMPLATES.values() for name in re.findall(r"{%-? include '([^']+)'", text)}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_says_who_owns_the_file(name: str) -> None:
    text = TEMPLATES[name]
    if name == "pages/error.html.j2":  # visitors get it
        assert text.startswith("<!doctype html>\n")
        assert "ansible_managed" not in text
    else:
        assert text.startswith("{{ ansible_managed | comment }}\n") == (name not in INCLUDED)


def test_every_part_of_a_template_is_included() -> None:
    assert set(TEMPLATES) >= INCLUDED
    assert {name for name in TEMPLATES if name.startswith("apache/app/")} <= INCLUDED


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_depends_on_what_is_computed_only(name: str) -> None:
    """Defaults and types are applied once, in Python."""
    assert "__flask_apache" not in TEMPLATES[name]
    for code in re.findall(r"(?s)\{[{%].*?[%}]\}", TEMPLATES[name]):
        assert not re.search(r"default\(|\b(bool|int|lookup|query)\b", code)


def test_the_role_is_complete_without_the_collection() -> None:
    """Galaxy imports it alone; a link out of it would dangle, and plugins would not be found."""
    for path in ROLE.rglob("*"):
        assert not path.is_symlink() or path.resolve().is_relative_to(ROLE)
    names = {path.name for path in ROLE.iterdir()}
    assert {"README.md", "LICENSE", "meta", "defaults", "tasks", "library", "action_plugins"} <= names
    assert not names & {"handlers", "filter_plugins", "lookup_plugins", "module_utils"}


def test_the_collections_plugins_are_links_to_the_roles() -> None:
    links = {
        path.relative_to(ROOT).as_posix(): path.resolve().relative_to(ROLE).as_posix()
        for path in (ROOT / "plugins").rglob("*.py")
        if path.is_symlink()
    }
    assert links == {
        f"plugins/modules/{ENGINE}.py": f"library/{ENGINE}.py",
        f"plugins/action/{ENGINE}.py": f"action_plugins/{ENGINE}.py",
    }
    files = {path for path in (ROOT / "plugins").rglob("*") if path.is_file() and path.suffix != ".pyc"}
    callback = ROOT / "plugins/callback/flask_apache_steps.py"
    assert files == {callback, *(ROOT / link for link in links)}
