"""Whatever is killed, and whenever: the live release goes on answering, and the next run converges."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import venv
from tests.support.commands import ROOT
from tests.support.hosts import attach
from tests.support.parallel import each
from tests.support.playbooks import apply_role, inventory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.hosts import Host

APP = "/srv/flask-apache/faults"
SOURCE = """
import flask

app = flask.Flask(__name__)

@app.get("/")
def index() -> str:
    return "marker {marker}"
"""
# Runs the engine, and kills it with SIGKILL at the start of the n-th call of one of its steps. Prints the step.
KILL_AT = """
import importlib.machinery, importlib.util, os, signal, sys
sys.argv[0] = "flask-apachectl"
loader = importlib.machinery.SourceFileLoader("engine", "/usr/local/bin/flask-apachectl")
engine = importlib.util.module_from_spec(importlib.util.spec_from_loader("engine", loader))
sys.modules["engine"] = engine
loader.exec_module(engine)
limit, count = int(sys.argv.pop(1)), 0

def killing(name, function):
    def step(*arguments, **options):
        global count
        count += 1
        if count == limit:
            print(name, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return step

for name in ("write", "point", "remove", "hand_over", "stage", "build", "describe", "check", "start", "probe", "switch",
             "confirm", "record", "prune", "sync_directory", "stop"):
    setattr(engine, name, killing(name, getattr(engine, name)))
sys.exit(engine.main())
"""


class Visitor:
    """Asks a host all the time, in a thread, and remembers every answer that is not the app's."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.wrong: list[str] = []
        self.answers = 0
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.ask, daemon=True)
        self.thread.start()

    def ask(self) -> None:
        """Ask until told to end."""
        while not self.end.wait(0.05):
            try:
                answer = self.host.http("/", "faults.example.com", timeout=20)
            except OSError as error:
                self.wrong.append(repr(error))
                continue
            self.answers += 1
            if answer.status != 200 or not answer.text.startswith("marker "):
                self.wrong.append(f"{answer.status} {answer.text[:80]}")

    def stop(self) -> None:
        """End, and check that every answer was right."""
        self.end.set()
        self.thread.join(timeout=30)
        assert self.answers > 0
        assert self.wrong == []


@pytest.fixture(scope="module")
def source() -> Iterator[Path]:
    """Return the directory of an app of one file."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "requirements.txt").write_text("flask\n")
        change(Path(scratch), "first")
        yield Path(scratch)


def change(source: Path, marker: str) -> None:
    """Make another release of the app."""
    (source / "app.py").write_text(SOURCE.format(marker=marker))


def variables(source: Path) -> dict[str, object]:
    """Return the role's variables for the app."""
    return {
        "flask_apache_app": "faults",
        "flask_apache_source": str(source),
        "flask_apache_server_name": "faults.example.com",
    }


@pytest.fixture(scope="module")
def hosts(start_host: Callable[[str], Host], source: Path) -> list[Host]:
    """Return two hosts that serve the app."""
    started = [start_host("debian-12-hot"), start_host("debian-13-hot")]
    apply_role(started, variables(source))
    return started


@pytest.fixture(autouse=True)
def visitors(request: pytest.FixtureRequest, hosts: list[Host]) -> Iterator[None]:
    """Ask both hosts during each test, but for a reboot."""
    asking = [] if "reboot" in request.node.name else [Visitor(host) for host in hosts]
    yield
    for visitor in asking:
        visitor.stop()


def assert_no_debris(host: Host) -> None:
    """Nothing half done is left in the app's places."""
    own = f"find {APP} /etc/flask-apache/faults -maxdepth 2 -name '.*' -o -path '*/incoming/*'"
    found = host.run(f"{own}; find /tmp -name 'flask-apache*'").stdout
    assert found == ""


def ship(host: Host, source: Path) -> str:
    """Pack the source and lay it where the role would. Returns its id."""
    with tempfile.TemporaryDirectory() as cache:
        program = ROOT / "roles/flask_apache/files/pack.py"
        done = subprocess.run(
            [venv.PYTHON, program, source, "--cache", cache], check=True, capture_output=True, text=True
        )
        packed = json.loads(done.stdout)
        host.put(Path(packed["archive"]), f"{APP}/incoming/{packed['id']}.tar.gz")
    return str(packed["id"])


def engine(host: Host, *arguments: str, kill_at: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the engine, killed at the n-th of its steps unless that is 0."""
    return host.run(["python3", "-", str(kill_at), "--app", "faults", *arguments], check=False, stdin=KILL_AT)


def test_the_engine_killed_at_each_step_of_a_deploy(hosts: list[Host], source: Path) -> None:
    """N of N: killed, still serving; the same command again succeeds, and nothing is left over."""

    def matrix(host: Host) -> int:
        killed = 0
        while True:
            mine = Path(shutil.copytree(source, tempfile.mkdtemp() + "/app"))
            change(mine, f"{host.name} {killed}")
            identity = ship(host, mine)
            step = engine(host, "deploy", identity, kill_at=killed + 1)
            if step.returncode == 0:
                return killed
            assert step.returncode in {137, -signal.SIGKILL}, step.stderr
            killed += 1
            again = engine(host, "deploy", identity)
            assert again.returncode == 0, f"after a kill at {step.stdout.strip()}: {again.stderr}"
            assert host.http("/", "faults.example.com").text == f"marker {host.name} {killed - 1}"
            assert_no_debris(host)

    counts = each(hosts, matrix)
    for host, count in zip(hosts, counts, strict=True):
        print(f"{host.distribution}: {count} of {count} kills survived")
        assert count > 20


def test_the_engine_killed_at_each_step_of_a_rollback(hosts: list[Host]) -> None:
    """The live release answers, and the next rollback succeeds."""

    def matrix(host: Host) -> int:
        killed = 0
        while True:
            releases = json.loads(host.run("flask-apachectl --json --app faults releases").stdout)["releases"]
            target = next(row["release"] for row in releases if row["state"] == "previous")
            step = engine(host, "rollback", target, kill_at=killed + 1)
            if step.returncode == 0:
                return killed
            killed += 1
            again = json.loads(engine(host, "--json", "rollback", target).stdout)
            assert not again.get("failed"), again
            assert_no_debris(host)

    assert all(count > 4 for count in each(hosts, matrix))


def test_the_controller_killed_at_each_task(hosts: list[Host], source: Path) -> None:
    """Every run gets past the task at which the one before was killed; the last succeeds, the next changes nothing."""
    change(source, "killed")
    task = 0
    while run_until(hosts, source, task := task + 1):
        pass
    print(f"{task - 1} of {task - 1} tasks survived")
    assert task > 25
    for host in hosts:
        assert host.http("/", "faults.example.com").text == "marker killed"
    again = apply_role(hosts, variables(source))
    assert again.changed == 0, again.changed_tasks
    for host in hosts:
        assert_no_debris(host)


def run_until(hosts: list[Host], source: Path, task: int) -> bool:
    """Start a deploy and kill Ansible at the start of its n-th task. Returns False when it ended before, well."""
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "inventory.json").write_text(json.dumps(inventory(hosts)))
        play = [
            {
                "hosts": "flask_apache",
                "become": True,
                "gather_facts": False,
                "vars": variables(source),
                "roles": ["flask_apache"],
            }
        ]
        (Path(scratch) / "play.json").write_text(json.dumps(play))
        process = subprocess.Popen(
            [venv.PYTHON.with_name("ansible-playbook"), "-i", f"{scratch}/inventory.json", f"{scratch}/play.json"],
            cwd=ROOT,
            env=venv.environment(ANSIBLE_ROLES_PATH=str(ROOT / "roles"), PYTHONUNBUFFERED="1"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        seen, output = 0, []
        assert process.stdout is not None
        for line in process.stdout:
            output.append(line)
            seen += line.startswith(("TASK [", "RUNNING HANDLER ["))
            if seen == task:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return True
        assert process.wait() == 0, "".join(output)[-3000:]
        return False


def test_two_deploys_at_once(hosts: list[Host], source: Path) -> None:
    """One runs, the other says who holds the lock since when, or waits; a lock never outlives its holder."""
    for host in hosts:
        holder = subprocess.Popen(
            [
                "docker",
                "exec",
                host.name,
                "flock",
                f"{APP}/lock",
                "sh",
                "-c",
                f"echo somebody since noon >{APP}/lock; sleep 60",
            ]
        )
        while host.read(f"{APP}/lock").strip() != "somebody since noon":
            time.sleep(0.05)
        refused = apply_role(host, variables(source), check=False)
        assert refused.rc != 0
        assert "faults is being changed by somebody since noon" in refused.output
        host.run("pkill -x sleep")
        holder.wait()
        assert apply_role(host, variables(source)).rc == 0


def test_a_full_disk(hosts: list[Host], source: Path) -> None:
    """A release that finds no room is refused with a clear word; the live one stays; the room is given back."""
    for host in hosts:
        live = json.loads(host.run("flask-apachectl --json --app faults status").stdout)["release"]
        change(source, f"small {host.name}")
        (source / "large").write_bytes(os.urandom(2_000_000))
        identity = ship(host, source)
        host.run(
            f"cp -a {APP}/releases {APP}/kept && mount -t tmpfs -o size=700k tmpfs {APP}/releases && "
            f"cp -a {APP}/kept/. {APP}/releases/"
        )
        done = engine(host, "deploy", identity)
        host.run(f"umount {APP}/releases && rm -rf {APP}/kept")
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert json.loads(host.run("flask-apachectl --json --app faults status").stdout)["release"] == live
        assert engine(host, "deploy", identity).returncode == 0
        assert_no_debris(host)


def test_a_reboot_serves_again(hosts: list[Host]) -> None:
    """After a reboot, also one in the middle of a deploy, a release serves by itself, and the next run is content."""
    for host in hosts:
        before = host.http("/", "faults.example.com").text
        subprocess.run(["docker", "restart", "--time=0", host.name], check=True, capture_output=True)
        rebooted = attach(host.name, host.distribution)
        end = time.monotonic() + 60
        while rebooted.run("systemctl is-active apache2", check=False).returncode and time.monotonic() < end:
            time.sleep(0.2)
        assert rebooted.http("/", "faults.example.com").text == before
