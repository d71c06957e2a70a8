"""What a person reads of a run: the lines that the callback makes of Ansible's events."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import venv
from tests.support.commands import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FILE = ROOT / "plugins/callback/flask_apache_steps.py"
SERVES = "http://shop.example.com/ serves 222222222222-aaaaaa"
BEFORE = "111111111111-aaaaaa"

Result = dict[str, Any]


def load() -> Any:  # noqa: ANN401 - a module
    """Return the callback's module."""
    spec = importlib.util.spec_from_file_location("flask_apache_steps", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # as Ansible does
    spec.loader.exec_module(module)
    return module


class Run:
    """A run of which the callback is told; ``hosts`` are those of the play."""

    def __init__(self, *hosts: str, check: bool = False, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
        self.hosts, self.check, self.lines = hosts or ("web1",), check, list[str]()
        self.clock = 0.0
        module = load()
        if monkeypatch:
            monkeypatch.setattr(module.time, "monotonic", lambda: self.clock)
        self.callback = module.CallbackModule()
        display = SimpleNamespace(display=lambda line, color=None: self.lines.append(line), verbosity=0)  # noqa: ARG005
        self.callback._display = display  # noqa: SLF001
        play = SimpleNamespace(check_mode=check, get_name=lambda: "Deploy the app")
        self.callback.v2_playbook_on_play_start(play)

    def task(
        self, name: str, results: Result | dict[str, Result | None], action: str = "command", **args: object
    ) -> Run:
        """Tell of a task: of one result for all hosts, or of each host's; without a result it is skipped."""
        task = SimpleNamespace(
            _uuid=name, action=action, args=args, check_mode=self.check, loop=None, get_name=lambda: name
        )
        self.callback.v2_playbook_on_task_start(task, is_conditional=False)
        each = results if results and set(results) <= set(self.hosts) else dict.fromkeys(self.hosts, results)
        for host, found in each.items():
            named = SimpleNamespace(get_name=lambda host=host: host)
            event = SimpleNamespace(host=named, task=task, result=dict(found or {}))
            self.tell(event, found)
        return self

    def tell(self, event: SimpleNamespace, found: Result | None) -> None:
        """Tell of a result, as Ansible does."""
        self.clock += float((found or {}).get("seconds", 0))
        if found is None:
            self.callback.v2_runner_on_skipped(event)
        elif found.get("unreachable"):
            self.callback.v2_runner_on_unreachable(event)
        elif found.get("failed"):
            self.callback.v2_runner_on_failed(event, ignore_errors=found.get("ignored", False))
        else:
            if found.get("diff"):
                self.callback.v2_on_file_diff(event)
            self.callback.v2_runner_on_ok(event)

    def deployed(self, **more: object) -> Run:
        """Tell of the engine's last step, and of the task that reports it."""
        answer = {"changed": True, "app": "shop", "msg": SERVES, "previous": BEFORE, **more}
        self.task("flask_apache : release | Switch", answer, "flask_apache_engine", step="activate")
        return self.task("flask_apache : release | Report", {"msg": SERVES}, "ansible.builtin.debug")

    def ended(self) -> list[str]:
        """Return all lines, with a step's time as T."""
        self.callback.v2_playbook_on_stats(None)
        return [re.sub(r"^ *\d+\.\d s  ", "T ", line) for line in self.lines]


def test_the_steps_the_result_and_what_to_do_next_are_shown() -> None:
    run = (
        Run()
        .task("flask_apache : preflight | Inspect the host", {})
        .task("flask_apache : packages | Never", {"web1": None})
    )
    run.task("flask_apache : users | Create", {"changed": True, "results": [{"changed": True}]})
    assert run.deployed().ended() == [
        "Deploy the app",
        "T Inspect the host",
        "T Create: changed",
        "T Switch: changed",
        "",
        f"web1: {SERVES} (before: {BEFORE})",
        "web1: changed: Create; Switch",
        "",
        "On the host, as root:",
        "  flask-apachectl --app shop status                   shows what visitors get, and from which release",
        "  flask-apachectl --app shop rollback                 makes the previous release live again",
        "  flask-apachectl --app shop logs                     shows what the app and Apache log",
    ]


def test_times_are_those_of_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch=monkeypatch).task("Wait", {"changed": True, "seconds": 1.26}).task("Go", {"seconds": 12})
    run.ended()
    assert run.lines[1:3] == ["   1.3 s  Wait: changed", "  12.0 s  Go"]


def test_hosts_that_are_alike_are_shown_together() -> None:
    run = Run("web1", "web2", "web3").task("Look", {})
    lines = run.task("Create", {"web1": {}, "web2": {"changed": True}, "web3": {}}).deployed().ended()
    assert "T Create: changed on web2" in lines
    assert f"web1, web3: {SERVES} (before: {BEFORE})" in lines
    assert "web2: changed: Create; Switch" in lines
    many = [f"web{number}" for number in range(8)]
    changed = {host: {"changed": host != "web0"} for host in many}
    assert "T Create: changed on 7 of 8 hosts" in Run(*many).task("Create", changed).ended()


def test_a_failure_says_why() -> None:
    failure = {"failed": True, "msg": "non-zero return code", "rc": 3, "stderr": "the reason\n", "stdout": ""}
    lines = Run().task("release | Build", failure).ended()
    assert lines[1:4] == ["T Build: failed", "          web1: non-zero return code", "          the reason"]
    assert "web1: failed; -v shows all" in lines
    assert not [line for line in lines if "flask-apachectl" in line]


def test_a_failure_that_does_not_count_and_a_host_that_is_away() -> None:
    lines = Run().task("Try", {"failed": True, "msg": "no", "ignored": True}).deployed().ended()
    assert "          the play goes on" in lines
    assert "web1: failed; -v shows all" not in lines
    lines = Run().task("Look", {"unreachable": True, "msg": "no route"}).ended()
    assert "          web1 cannot be reached: no route" in lines
    assert "web1: failed; -v shows all" in lines


def test_each_item_of_a_loop_that_fails_is_named() -> None:
    items = [
        {"failed": name != "eve", "msg": f"no {name}", "_ansible_item_label": name} for name in ("ann", "bob", "eve")
    ]
    text = "\n".join(Run().task("users | Create", {"failed": True, "results": items}).ended())
    assert "web1 (ann): no ann" in text
    assert "web1 (bob): no bob" in text
    assert "eve" not in text


def test_nothing_changed_and_nothing_would_change() -> None:
    assert "web1: nothing changed" in Run().task("Look", {}).ended()
    check = Run(check=True).task("Look", {}).ended()
    assert check[0] == "Deploy the app (check mode: nothing is changed)"
    assert "web1: nothing would change" in check
    check = Run(check=True).deployed().ended()
    assert "T Switch: would change" in check
    assert "web1: would change: Switch" in check
    assert not [line for line in check if "flask-apachectl" in line], "nothing is there yet"


def test_a_difference_is_as_long_as_a_person_reads() -> None:
    old, new = ("".join(f"{word} {number}\n" for number in range(200)) for word in ("old", "new"))
    heads = {"before_header": "/etc/x", "after_header": "/etc/x"}
    differences = [
        {**heads, "before": "", "after": new},
        {**heads, "before": "directory owner=root\n", "after": ""},
        {**heads, "before": "a\nb\n", "after": "a\nc\n"},
        {**heads, "before": old, "after": new},
        {"prepared": new},
    ]
    lines = [line.strip() for line in Run(check=True).task("Apply", {"changed": True, "diff": differences}).ended()]
    assert "+ /etc/x  (200 lines)" in lines
    assert "- /etc/x  (directory owner=root)" in lines
    assert lines[lines.index("-b") + 1] == "+c"
    assert len([line for line in lines if re.fullmatch(r"… \d+ more lines: -v shows them", line)]) == 2
    assert len(lines) < 90


def test_messages_of_other_tasks_are_shown() -> None:
    lines = Run().task("status | Report", {"msg": ["blue  live", "green idle"]}, "debug").ended()
    assert lines[1:4] == ["          web1:", "            blue  live", "            green idle"]


def test_what_a_step_waits_for_is_told_now_and_then() -> None:
    run = Run()
    task = SimpleNamespace(_uuid="1")
    for attempt in range(1, 13):
        found = {"attempts": attempt, "retries": 13, "msg": "failed\nthe lock is held"}
        host = SimpleNamespace(get_name=lambda: "web1")
        run.callback.v2_runner_retry(SimpleNamespace(host=host, task=task, result=found))
    assert run.lines[1:] == [f"  web1: trying again, {tries} more times at most: the lock is held" for tries in (12, 2)]


PLAY = """
- name: Deploy the app
  hosts: all
  gather_facts: false
  tasks:
    - {name: 'flask_apache : packages | Never', ansible.builtin.command: /bin/false, when: false}
    - {name: 'flask_apache : users | Create', ansible.builtin.debug: {msg: it is so}, changed_when: true}
"""


@pytest.mark.parametrize("option", ["", "-v"])
def test_with_v_ansible_prints_all_as_usual(tmp_path: Path, option: str) -> None:
    (tmp_path / "play.yml").write_text(PLAY)
    env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    env |= {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(tmp_path), "ANSIBLE_STDOUT_CALLBACK": "flask_apache_steps"}
    env |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    command = [str(venv.PYTHON), "-m", "ansible", "playbook", "--inventory=web1,", str(tmp_path / "play.yml")]
    shown = subprocess.check_output([*command, *([option] if option else [])], env=env, text=True)
    assert ("TASK [flask_apache : packages | Never]" in shown) == bool(option)
    assert bool(re.search(r"(?m)^web1 +: ok=1 +changed=1 ", shown)) == bool(option)
    assert ("web1: changed: Create" in shown) == (not option)
    assert "it is so" in shown
