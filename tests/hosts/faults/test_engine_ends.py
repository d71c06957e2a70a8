"""The engine is killed, out of memory, or meets what nobody has foreseen, in a play and from the command line."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from controller import artefact
from tests.hosts.faults.shared import NAME, change, ctl, ship, variables
from tests.support.commands import ROOT
from tests.support.parallel import each
from tests.support.playbooks import GROUP, Play, apply_role, play

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.hosts import Host

SECRET = "correct horse battery staple"
# Appended to a module of the engine, in place of one of its functions.
ENDING = """

def {function}(app, *_arguments, **_options):
    import os, signal, time
    from flask_apachectl import environments
    {statement}
"""
ONE_LINE = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_CALLBACK_FORMAT_PRETTY": "false"}
ANSWER = re.compile(r"(?m)^ok: \[(.*?)\] => (\{.*\})$")
SLOW = 11  # seconds, longer than a step that is not silent meanwhile


class Ending(NamedTuple):
    """How the engine ends, and what is said of that, on a host that serves a release."""

    module: str
    function: str
    statement: str
    says: str


ENDINGS = {
    "memory": Ending(
        "build/preparation.py",
        "check",
        "raise MemoryError",
        r"out of memory, at the step `stage \S+` \(preparation\.py:\d+\)\s+Still serving {live}\b",
    ),
    "unforeseen": Ending(
        "build/preparation.py",
        "describe",
        "raise LookupError(environments.wanted(app))",
        r"LookupError: \{{.*'TOKEN': '\*\*\*\*'.*\}}, at the step `stage \S+` \(preparation\.py:\d+\)\s+"
        r"Still serving {live}\b",
    ),
    "killed": Ending(
        "serve/start.py",
        "probe",
        f"time.sleep({SLOW}); os.kill(os.getpid(), signal.SIGKILL)",
        r"The engine was ended by SIGKILL \(out of memory\?\) at the step `start \S+ in \S+`\. Still serving {live}\b",
    ),
}


class Ended(NamedTuple):
    """What a play said in which the engine ended in each way, and what each host served before."""

    play: Play
    live: dict[str, str]


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the role's directory with an engine that ends in each way."""
    made = {}
    for name, ending in ENDINGS.items():
        made[name] = tmp_path_factory.mktemp(name) / "flask_apache"
        shutil.copytree(ROOT / "roles/flask_apache", made[name], ignore=shutil.ignore_patterns("__pycache__"))
        with (made[name] / "files/flask_apachectl" / ending.module).open("a") as file:
            file.write(ENDING.format(function=ending.function, statement=ending.statement))
    return made


@pytest.fixture(scope="module")
def ended(hosts: list[Host], source: Path, roles: dict[str, Path]) -> Ended:
    """Deploy with each of these engines, in one play, which goes on afterwards."""
    change(source, "ended")
    live = {host.name: str(ctl(host, "status")["release"]) for host in hosts}
    tasks: list[dict[str, Any]] = []
    for name, role in roles.items():
        declared = variables(source, environment={"TOKEN": SECRET})
        include = {"ansible.builtin.include_role": {"name": str(role)}, "vars": declared}
        rescue = {"ansible.builtin.debug": {"msg": f"{name}: {{{{ ansible_failed_result.msg }}}}"}}
        tasks.append({"block": [include], "rescue": [rescue]})
    done = play(hosts, [{"hosts": GROUP, "become": True, "gather_facts": False, "tasks": tasks}], env=ONE_LINE)
    return Ended(done, live)


def sentence(ending: str, live: str) -> str:
    """Return the pattern of what is said."""
    return ENDINGS[ending].says.format(live=live)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_play_says_what_happened(ended: Ended, ending: str) -> None:
    """It says in a sentence what, at which step, and what is still served; and nothing is censored."""
    messages = [(name, json.loads(answer)["msg"]) for name, answer in ANSWER.findall(ended.play.stdout)]
    said = {name: message for name, message in messages if message.startswith(f"{ending}: ")}
    assert set(said) == set(ended.live), ended.play.output
    for name, message in said.items():
        assert re.search(sentence(ending, ended.live[name]), message), message
    assert "censored" not in ended.play.output
    assert "Traceback" not in ended.play.output


def test_a_play_tells_no_secret(ended: Ended) -> None:
    """Not even one that an unforeseen error names."""
    assert SECRET not in ended.play.output


def test_a_step_that_takes_long_is_not_silent(ended: Ended) -> None:
    """After ten seconds the play shows how far the step is, on each host."""
    for name in ended.live:
        assert re.search(rf"(?m)^  {name}: start +\S+ in \S+ *$", ended.play.stdout), ended.play.stdout


@pytest.mark.usefixtures("ended")
@pytest.mark.parametrize("ending", ["memory", "unforeseen"])
def test_the_command_line_says_what_happened(
    hosts: list[Host], source: Path, roles: dict[str, Path], tmp_path: Path, ending: str
) -> None:
    """It says the same, and the live release serves on; of a killed engine only the shell can tell."""
    (tmp_path / "engine").write_bytes(artefact.build(roles[ending] / "files"))
    change(source, f"{ending} by hand")

    def end(host: Host) -> None:
        live, before = str(ctl(host, "status")["release"]), host.http("/", NAME).text
        host.put(tmp_path / "engine", "/opt/engine-of-the-command")
        command = ["python3", "-I", "/opt/engine-of-the-command", "--app", "faults", "deploy", ship(host, source)]
        done = host.run(command, check=False)
        assert done.returncode == 1
        assert re.search(rf"(?ms)^flask-apachectl: {sentence(ending, live)}", done.stderr), done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert host.http("/", NAME).text == before

    each(hosts, end)


@pytest.mark.usefixtures("ended")
def test_the_next_run_goes_on(hosts: list[Host], source: Path) -> None:
    """With an engine that does not end, it deploys."""
    change(source, "goes on")
    apply_role(hosts, variables(source))
    assert [host.http("/", NAME).text for host in hosts] == ["marker goes on"] * 2
