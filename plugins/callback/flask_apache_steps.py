# MIT License (see LICENSE) or, as Ansible: GNU General Public License v3.0+ (https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a person reads of a deploy: its steps with their times, what failed and why, and the result at its end."""

from __future__ import annotations

DOCUMENTATION = """
---
name: flask_apache_steps
type: stdout
short_description: Show the steps of a deploy, their times, and what it changed
description:
  - Prints one line for each step that did something, and at the end what each host serves, what changed, and which
    commands help next. Steps that were skipped are not shown.
  - With C(--diff), a new file is one line, and a long difference is cut.
  - With C(-v), prints all that Ansible's own callback C(default) prints.
author:
  - flask_apache developers (@flask-apache)
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout callback in the configuration
"""

import sys
import textwrap
import time
from dataclasses import dataclass, field
from typing import Any

from ansible import constants
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.utils.display import Display

ENGINE = "flask_apache_engine"
REPORTING = ("activate", "rollback", "remove")  # steps of the engine whose message is a host's result
HIDDEN = ("include_role", "include_tasks", "import_role", "import_tasks", "meta")
WIDTH = 110
MOST_LINES = 40  # of one difference
MOST_OUTPUT = 20  # lines of what a program prepared, such as apt's list of packages
MOST_HOSTS = 5  # that are named in a line
EVERY_TRY = 10  # of a step that waits, after the first one
NEXT = (
    ("status", "shows what visitors get, and from which release"),
    ("rollback", "makes the previous release live again"),
    ("logs", "shows what the app and Apache log"),
)


@dataclass
class Step:
    """A task, and what became of it on the hosts."""

    name: str
    action: str
    began: float
    ended: float = 0.0
    check: bool = False
    ok: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    details: list[tuple[str, str | None]] = field(default_factory=list)  # lines below the step's, with their colors

    @property
    def is_shown(self) -> bool:
        """Whether it did something that a person wants to know."""
        hidden = self.action in HIDDEN or (self.action == "debug" and not self.failed)
        return bool(self.failed or self.details or ((self.ok or self.changed) and not hidden))


@dataclass
class Outcome:
    """What a run did on a host."""

    reports: dict[str, str] = field(default_factory=dict)  # by app
    messages: list[str] = field(default_factory=list)  # of the engine, which a task may show once more
    changed: list[str] = field(default_factory=list)  # names of steps
    failed: bool = False


def plain_name(name: str) -> str:
    """Return a task's name without the role and the file.

    >>> plain_name("flask_apache : packages | Install missing packages")
    'Install missing packages'
    """
    return name.rpartition(" : ")[2].rpartition(" | ")[2].strip()


def hosts_in_words(names: list[str], of: int) -> str:
    """Return the names of hosts, or how many they are."""
    return ", ".join(names) if len(names) <= MOST_HOSTS else f"{len(names)} of {of} hosts"


def why(result: dict[str, Any]) -> str:
    """Return what a failed task says: its message, and what its program printed."""
    said = [result.get("msg"), result.get("reason")]
    if "rc" in result or "module_stdout" in result:
        said += [result.get(name) for name in ("stderr", "stdout", "module_stderr", "module_stdout")]
    lines = [str(text).strip() for text in said if text and str(text).strip()]
    return "\n".join(dict.fromkeys(lines)) or str(result.get("censored") or "no reason was given: -v shows all")


def parts(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results of a task: one for each item of a loop."""
    items = result.get("results")
    return [each for each in items if isinstance(each, dict)] if isinstance(items, list) else [result]


def shorten(lines: list[str], most: int) -> list[str]:
    """Return the first lines, and how many more there are."""
    if len(lines) <= most + 1:
        return lines
    return [*lines[:most], f"… {len(lines) - most} more lines: -v shows them"]


class Steps(Default):  # type: ignore[misc] # Ansible has no types
    """Collects a step's results until the next step starts, and prints it then."""

    def __init__(self) -> None:
        super().__init__()
        self.step: Step | None = None
        self.started: dict[str, float] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.retried: dict[tuple[str, str], int] = {}
        self.check = False
        self.is_terminal = sys.stdout.isatty()

    # --- Ansible's events

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Print the play's name."""
        self._finish()
        self._play = play
        self.check = bool(play.check_mode)
        note = " (check mode: nothing is changed)" if self.check else ""
        self._print(f"{play.get_name().strip()}{note}", "bright blue")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: ARG002, FBT001
        """Print the step before, and start this one."""
        self._finish()
        self._begin(task)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Do the same for a handler."""
        self._finish()
        self._begin(task)

    def v2_playbook_on_cleanup_task_start(self, task: Any) -> None:
        """Do the same for what cleans up."""
        self._finish()
        self._begin(task)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Print nothing: the included tasks are shown."""

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Print nothing: what counts is the end."""

    def v2_runner_on_ok(self, result: Any) -> None:
        """Keep what a step did on a host."""
        step, host, found = self._ended(result)
        self._handle_warnings(found)
        step.ok.append(host)
        outcome = self.outcomes.setdefault(host, Outcome())
        if found.get("changed"):
            step.changed.append(host)
            outcome.changed.append(step.name)
        task = _of(result, "task")
        if step.action == ENGINE and task.args.get("step") in REPORTING:
            outcome.reports[str(found.get("app", ""))] = self._report(found)
            outcome.messages.append(str(found.get("msg", "")))
        elif step.action == "debug":
            self._add_message(step, host, found)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: FBT001, FBT002
        """Keep why a step failed on a host."""
        step, host, found = self._ended(result)
        self._handle_warnings(found)
        failed = [part for part in parts(found) if part.get("failed")] or [found]
        step.failed.append(host)
        color = constants.COLOR_SKIP if ignore_errors else constants.COLOR_ERROR
        for part in failed:
            item = f" ({part['_ansible_item_label']})" if part.get("_ansible_item_label") else ""
            self._add(step, f"{host}{item}: {why(part)}", color)
        if ignore_errors:
            self._add(step, "the play goes on", color)
        else:
            self.outcomes.setdefault(host, Outcome()).failed = True

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Keep why a host cannot be reached."""
        step, host, found = self._ended(result)
        step.failed.append(host)
        self.outcomes.setdefault(host, Outcome()).failed = True
        self._add(step, f"{host} cannot be reached: {why(found)}", constants.COLOR_UNREACHABLE)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Print nothing."""

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Print nothing: the whole loop is one step."""

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """Print nothing: the whole loop tells it."""

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        """Print nothing."""

    def v2_runner_retry(self, result: Any) -> None:
        """Tell, now and then, what a step waits for."""
        host, found = _of(result, "host").get_name(), _of(result, "result")
        tries = int(found.get("retries", 0)) - int(found.get("attempts", 0))
        key = (host, str(_of(result, "task")._uuid))
        self.retried[key] = self.retried.get(key, -1) + 1
        if self.retried[key] % EVERY_TRY == 0:
            reason = why(found).splitlines()[-1]
            self._print(f"  {host}: trying again, {tries} more times at most: {reason}", constants.COLOR_SKIP)

    def v2_on_file_diff(self, result: Any) -> None:
        """Keep what differs."""
        step, _host, found = self._ended(result)
        for part in parts(found):
            if part.get("changed") and part.get("diff"):
                differences = part["diff"] if isinstance(part["diff"], list) else [part["diff"]]
                for difference in differences:
                    self._add_difference(step, difference)

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Tell that the play had nothing to do."""
        self._print("  no host of the inventory belongs to this play", constants.COLOR_ERROR)

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        """Print nothing: the end tells it."""
        self._finish()

    def v2_playbook_on_stats(self, stats: Any) -> None:  # noqa: ARG002
        """Print what became of each host, and what to do next."""
        self._finish()
        alike: dict[tuple[Any, ...], list[str]] = {}
        for host, outcome in self.outcomes.items():
            key = (outcome.failed, tuple(outcome.reports.items()), tuple(dict.fromkeys(outcome.changed)))
            alike.setdefault(key, []).append(host)
        for (failed, reports, changed), hosts in alike.items():
            self._print("")
            self._print_outcome(hosts, dict(reports), list(changed), failed=failed)
        self._print_next()

    # --- Steps

    def _begin(self, task: Any) -> None:
        now = time.monotonic()
        self.step = self._new_step(task, now)
        self.started[task._uuid] = now
        if self.is_terminal and self.step.action not in (*HIDDEN, "debug"):
            # Until its end is known. What is printed meanwhile overwrites it.
            sys.stdout.write(f"   …      {self.step.name}\r")
            sys.stdout.flush()

    def _new_step(self, task: Any, began: float) -> Step:
        action = str(task.action).rpartition(".")[2]
        return Step(plain_name(task.get_name()), action, began, check=bool(task.check_mode))

    def _ended(self, result: Any) -> tuple[Step, str, dict[str, Any]]:
        """Return the step of a result, the host, and the result itself."""
        task = _of(result, "task")
        if self.step is None or self.step.name != plain_name(task.get_name()):
            # Without the strategy `linear`, hosts are at different steps.
            self._finish()
            self.step = self._new_step(task, self.started.get(task._uuid, time.monotonic()))
        self.step.ended = time.monotonic()
        found: dict[str, Any] = _of(result, "result")
        return self.step, _of(result, "host").get_name(), found

    def _finish(self) -> None:
        """Print the step, if it is worth a line."""
        if self.is_terminal:
            sys.stdout.write("\x1b[K")
            sys.stdout.flush()
        step, self.step = self.step, None
        if step is None or not step.is_shown:
            return
        words, color = "", constants.COLOR_OK
        hosts = len(self.outcomes)
        if step.changed:
            verb = "would change" if step.check else "changed"
            words, color = f": {verb}{self._on(step.changed, hosts)}", constants.COLOR_CHANGED
        if step.failed:
            words, color = f": failed{self._on(step.failed, hosts)}", constants.COLOR_ERROR
        if step.action != "debug":
            self._print(f"{max(step.ended - step.began, 0):6.1f} s  {step.name}{words}", color)
        for line, line_color in step.details:
            self._print(f"          {line}".rstrip(), line_color)

    @staticmethod
    def _on(names: list[str], hosts: int) -> str:
        return f" on {hosts_in_words(names, hosts)}" if hosts > 1 else ""

    @staticmethod
    def _add(step: Step, text: str, color: str | None = None) -> None:
        step.details += [(line, color) for line in text.splitlines()]

    def _add_message(self, step: Step, host: str, found: dict[str, Any]) -> None:
        """Add the message of a task `debug`, unless the end tells it."""
        message = found.get("msg")
        lines = [str(line) for line in message] if isinstance(message, list) else str(message).splitlines()
        if message is not None and message not in self.outcomes[host].messages:
            self._add(step, "\n".join([f"{host}:", *(f"  {line}" for line in lines)]))

    def _add_difference(self, step: Step, difference: dict[str, Any]) -> None:
        """Add a difference: a new or a removed file in one line, another one cut to what a person reads."""
        before, after = difference.get("before"), difference.get("after")
        path = str(difference.get("after_header") or difference.get("before_header") or "")
        if path and isinstance(before, str) and isinstance(after, str) and bool(before) != bool(after):
            sign, text, color = (
                ("+", after, constants.COLOR_DIFF_ADD) if after else ("-", before, constants.COLOR_DIFF_REMOVE)
            )
            lines = text.splitlines()
            what = lines[0] if len(lines) == 1 else f"{len(lines)} lines"
            self._add(step, f"{sign} {path}  ({what})", color)
            return
        lines = self._get_diff(difference).splitlines()
        for line in shorten(lines, MOST_OUTPUT if "prepared" in difference else MOST_LINES):
            self._add(step, line)

    # --- The end

    @staticmethod
    def _report(found: dict[str, Any]) -> str:
        previous = found.get("previous")
        return str(found.get("msg", "")) + (f" (before: {previous})" if previous else "")

    def _print_outcome(self, hosts: list[str], reports: dict[str, str], changed: list[str], *, failed: bool) -> None:
        """Print the result of hosts on which the run did the same."""
        names = hosts_in_words(hosts, len(self.outcomes))
        if failed:
            self._print(f"{names}: failed; -v shows all", constants.COLOR_ERROR)
        for report in reports.values():
            self._print(f"{names}: {report}", constants.COLOR_OK)
        verbs = ("would change", "nothing would change") if self.check else ("changed", "nothing changed")
        words = f"{verbs[0]}: {'; '.join(changed)}" if changed else verbs[1]
        for line in textwrap.wrap(f"{names}: {words}", WIDTH, subsequent_indent="  ", break_on_hyphens=False):
            self._print(line, constants.COLOR_CHANGED if changed else constants.COLOR_OK)

    def _print_next(self) -> None:
        """Print the commands that are useful now: of each app that is on a host."""
        apps = dict.fromkeys(app for outcome in self.outcomes.values() for app in outcome.reports if app)
        if not apps or self.check:
            return
        self._print("")
        self._print("On the host, as root:")
        for app in apps:
            for command, purpose in NEXT:
                self._print(f"  {f'flask-apachectl --app {app} {command}':<50}  {purpose}")

    def _print(self, line: str, color: str | None = None) -> None:
        self._display.display(line, color=color if line else None)


def _of(result: Any, name: str) -> Any:
    """Return a part of a task's result; before ansible-core 2.19 its name began with an underscore."""
    return getattr(result, name) if hasattr(result, name) else getattr(result, f"_{name}")


class CallbackModule(Default if Display().verbosity else Steps):  # type: ignore[misc] # chosen by the option -v
    """The callback, as Ansible looks for it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "flask_apache_steps"
