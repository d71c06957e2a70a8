"""Bad input gets one clear error, and nothing on the host is changed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import pytest

from tests.support.bad_input import CASES, GOOD, Case
from tests.support.parallel import each
from tests.support.playbooks import apply_role, play
from tests.support.steps import Run, StepError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.hosts import FileState, Host

STATE = ("/etc", "/srv", "/usr/local", "/var/lib/flask-apache", "/var/cache/flask-apache", "/var/www")
FOREIGN_SITE = """
Listen 8090
<VirtualHost *:80 *:8090>
    ServerName somebody.example.com
    DocumentRoot /var/www/html
</VirtualHost>
"""


# These are given to the role in a play, where Ansible checks types and choices first; the others to the role's steps.
IN_A_PLAY = (
    "a port that is a word",
    "another app's mount",
    "a source that is not there",
    "an unknown installer",
    "a repository that is not there",
    "an unknown variable",
    "an unknown source of mod_wsgi",
    "a umask in decimal",
    "a hook of no point",
    "an unsupported distribution",
    "a worker without a command",
    "three at once",
)
ONE_LINE = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_CALLBACK_FORMAT_PRETTY": "false"}
REPORT = re.compile(r"(?ms)^TASK \[report (\d+)\][ *]+$(.*?)\n\n")
ANSWER = re.compile(r"(?m)^ok: \[(.*?)\] => (\{.*\})$")


class Outcome(NamedTuple):
    """What bad inputs did on one host."""

    errors: dict[str, str]
    before: dict[str, FileState]
    after: dict[str, FileState]
    pids: tuple[int, int]


@pytest.fixture(scope="module")
def hosts(start_host: Callable[[str], Host]) -> list[Host]:
    """Return two hosts with a good app, somebody else's site, and a program on port 8099."""
    started = [start_host("debian-12-hot"), start_host("debian-13-hot")]
    for host in started:
        host.write("/etc/apache2/sites-enabled/somebody.conf", FOREIGN_SITE)
        host.write("/opt/other-python", "#!/bin/sh\necho 3.99\n", mode=0o755)
        host.run("systemctl reload apache2")
        host.run("systemd-run --quiet --unit=other python3 -m http.server --bind 127.0.0.1 8099")
    apply_role(started, GOOD)
    return started


class Remembered(Run):
    """A run whose engine is asked the same question once: no case changes the host."""

    answers: ClassVar[dict[tuple[str, str], dict[str, Any]]] = {}

    def _execute(self, *, module_name: str, module_args: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401
        question = (self.host.name, json.dumps([module_args["command"], module_args["request"]]))
        if question not in self.answers:
            self.answers[question] = super()._execute(module_name=module_name, module_args=module_args)
        return dict(self.answers[question])


@pytest.fixture(scope="module")
def outcomes(hosts: list[Host]) -> dict[str, Outcome]:
    """Give every bad input to the role, and compare the hosts before and after."""
    before = {host.name: (host.snapshot(STATE), host.pid_of_apache()) for host in hosts}
    in_a_play = errors_of_a_play(hosts)
    found = {}
    for host, errors in zip(hosts, each(hosts, errors_of_steps), strict=True):
        state, pid = before[host.name]
        all_errors = errors | in_a_play[host.name]
        found[host.distribution] = Outcome(all_errors, state, host.snapshot(STATE), (pid, host.pid_of_apache()))
    return found


def errors_of_a_play(hosts: list[Host]) -> dict[str, dict[str, str]]:
    """Give bad inputs to the role in one play; return the errors by host."""
    tasks = [task for number, name in enumerate(IN_A_PLAY) for task in tasks_for(CASES[name], number)]
    playbook = [{"hosts": "flask_apache", "become": True, "gather_facts": False, "tasks": tasks}]
    done = play(hosts, playbook, env=ONE_LINE, timeout=1800)
    said: dict[str, dict[str, str]] = {host.name: {} for host in hosts}
    for number, text in REPORT.findall(done.stdout):
        for host, answer in ANSWER.findall(text):
            error = json.loads(json.loads(answer)["msg"])
            said[host][IN_A_PLAY[int(number)]] = "\n".join([*error.get("argument_errors", []), error["msg"]])
    return said


def errors_of_steps(host: Host) -> dict[str, str]:
    """Give the other bad inputs to the role's steps; return the errors."""
    errors = {}
    for name in set(CASES) - set(IN_A_PLAY):
        given = {**GOOD, **CASES[name].variables}
        errors[name] = "the role accepted it"
        try:
            Remembered(host, {key.removeprefix("flask_apache_"): value for key, value in given.items()}).deploy()
        except StepError as error:
            errors[name] = str(error)
    return errors


def tasks_for(bad: Case, number: int) -> list[dict[str, Any]]:
    """Return the tasks that give one bad input to the role and print its error."""

    def report(content: str) -> dict[str, Any]:
        return {"name": f"report {number}", "ansible.builtin.debug": {"msg": content}}

    run = {"ansible.builtin.include_role": {"name": "flask_apache"}, "vars": {**GOOD, **bad.variables}}
    accepted = report("{{ {'msg': 'the role accepted it'} | to_json }} ")
    return [{"block": [run, accepted], "rescue": [report("{{ ansible_failed_result | to_json }} ")]}]


@pytest.mark.parametrize("distribution", ["debian-12-hot", "debian-13-hot"])
@pytest.mark.parametrize("name", CASES)
def test_is_refused_with_a_clear_error(outcomes: dict[str, Outcome], distribution: str, name: str) -> None:
    """The error names the variable, the value and what to write."""
    for text in CASES[name].says:
        assert text in outcomes[distribution].errors[name]


@pytest.mark.parametrize("distribution", ["debian-12-hot", "debian-13-hot"])
def test_nothing_is_changed(outcomes: dict[str, Outcome], distribution: str) -> None:
    """No bad input touched a file, or Apache's process."""
    outcome = outcomes[distribution]
    assert outcome.after == outcome.before
    assert outcome.pids[0] == outcome.pids[1]


def test_without_root(hosts: list[Host]) -> None:
    """A play that forgot become: true is told so."""
    for host in hosts:
        host.run("useradd --create-home visitor")
        before = host.snapshot(STATE)
        result = play(
            host,
            [{"hosts": "flask_apache", "gather_facts": False, "vars": GOOD, "roles": ["flask_apache"]}],
            {
                "ansible_user": "visitor",
                "ansible_docker_extra_args": "",
                "ansible_remote_tmp": "/home/visitor/.ansible",
            },
            check=False,
        )
        assert result.rc != 0
        assert "host: the role must run as root; set become: true" in result.output
        assert {path: state for path, state in host.snapshot(STATE).items() if path in before} == before
