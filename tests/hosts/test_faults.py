"""Whatever is killed, and whenever: the live release goes on answering, and the next run converges."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import venv
from tests.support.commands import ROOT
from tests.support.hosts import attach
from tests.support.load import Client, visitors
from tests.support.parallel import each
from tests.support.playbooks import GROUP, apply_role, play, play_until
from tests.support.releases import apache_process, reloads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.hosts import Host
    from tests.support.playbooks import Play

APP = "/srv/flask-apache/faults"
NAME = "faults.example.com"
SOURCE = """
import time
import flask

time.sleep({import_seconds})
app = flask.Flask(__name__)

@app.get("/")
def index() -> str:
    return "marker {marker}"

@app.get("/slow")
def slow() -> dict[str, str]:
    time.sleep(float(flask.request.args["seconds"]))
    return {{"marker": "{marker}"}}
"""
HOLD_THE_LOCK_OF_PACKAGES = """
import fcntl, time
with open("/var/lib/dpkg/lock-frontend", "w") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    time.sleep(15)
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
engine.STAYS_FOR, engine.ENDS_WITHIN = 0.2, 1.0  # they are not what is asked for here, and there are many runs

def killing(name, function):
    def step(*arguments, **options):
        global count
        count += 1
        if count == limit:
            print(name, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return step

for name in sys.argv.pop(1).split(","):
    setattr(engine, name, killing(name, getattr(engine, name)))
sys.exit(engine.main())
"""
STEPS = (
    *("write", "point", "remove", "hand_over", "stage", "build", "describe", "check", "start", "probe", "switch"),
    *("confirm", "record", "prune", "sync_directory"),
)
ENDING = ("locked", "sweep", "end_all", "own_processes", "stop")
AS_OFTEN_AS_NEEDED = ("stop",)  # how often it is called depends on the moment


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
        while self.answers + len(self.wrong) == 0 or not self.end.wait(0.05):
            try:
                answer = self.host.http("/", NAME, timeout=20)
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


def change(source: Path, marker: str, *, import_seconds: float = 0) -> None:
    """Make another release of the app."""
    (source / "app.py").write_text(SOURCE.format(marker=marker, import_seconds=import_seconds))


def variables(source: Path, **more: object) -> dict[str, object]:
    """Return the role's variables for the app."""
    return {
        "flask_apache_app": "faults",
        "flask_apache_source": str(source),
        "flask_apache_server_name": NAME,
        **{f"flask_apache_{name}": value for name, value in more.items()},
    }


@pytest.fixture(scope="module")
def first_plays(start_host: Callable[[str], Host], source: Path) -> tuple[list[Host], list[Play]]:
    """Deploy two apps of one server name at once to two hosts that have neither, nor all of the packages."""
    started = [start_host("debian-12-hot"), start_host("debian-13-hot")]
    for host in started:
        host.run("a2enmod --quiet ssl && dpkg --remove --force-depends python3-venv")
        host.run(["systemd-run", "--quiet", "python3", "-c", HOLD_THE_LOCK_OF_PACKAGES])
    both = [variables(source), variables(source, app="neighbour", mount="/neighbour")]
    return started, each(both, lambda declared: apply_role(started, declared, check=False))


@pytest.fixture(scope="module")
def hosts(first_plays: tuple[list[Host], list[Play]]) -> list[Host]:
    """Return two hosts that serve the app, and another one beside it."""
    started, plays = first_plays
    for play_ in plays:
        assert play_.rc == 0, play_.output[-6000:]
    return started


@contextlib.contextmanager
def asked(hosts: list[Host]) -> Iterator[None]:
    """Ask the hosts meanwhile, and expect nothing but right answers."""
    asking = [Visitor(host) for host in hosts]
    yield
    for visitor in asking:
        visitor.stop()


@pytest.fixture(autouse=True)
def steady_visitors(request: pytest.FixtureRequest, hosts: list[Host]) -> Iterator[None]:
    """Ask both hosts during each test, but for a reboot."""
    with asked([] if "reboot" in request.node.name else hosts):
        yield


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


def ctl(host: Host, *arguments: str) -> dict[str, Any]:
    """Run the engine as it is, and return its answer."""
    answer: dict[str, Any] = json.loads(
        host.run(["flask-apachectl", "--json", "--app", "faults", *arguments], check=False).stdout
    )
    return answer


def engine(
    host: Host, *arguments: str, kill_at: int = 0, steps: tuple[str, ...] = STEPS, app: str = "faults"
) -> subprocess.CompletedProcess[str]:
    """Run the engine, killed at the n-th of its steps unless that is 0."""
    command = ["python3", "-", str(kill_at), ",".join(steps), "--app", app, *arguments]
    return host.run(command, check=False, stdin=KILL_AT)


def shares(hosts: list[Host]) -> list[tuple[Host, int]]:
    """Return the hosts with the first of the steps at which each is killed: every other one, all of them together."""
    return [(host, 1 + number) for number, host in enumerate(hosts)]


def report(hosts: list[Host], what: str, killed: list[list[str]]) -> list[str]:
    """Say how many kills were survived, given the steps at which each host was killed; return them all."""
    steps = [step for each_ in killed for step in each_]
    count = len(steps)
    print(f"{what}: {count} of {count} kills survived, in turn on {' and '.join(host.distribution for host in hosts)}")
    return steps


def test_two_apps_at_once(first_plays: tuple[list[Host], list[Play]], hosts: list[Host]) -> None:
    """Two first deploys at the same time share Apache, the lists of packages and a virtual host; both succeed."""
    assert [play_.changed > 20 for play_ in first_plays[1]] == [True, True]
    for host in hosts:
        assert [host.http(path, NAME).status for path in ("/", "/neighbour/")] == [200, 200]
        assert host.run(["dpkg", "--verify", "python3-venv"]).stdout == ""


def test_the_engine_killed_at_each_step_of_a_deploy(hosts: list[Host], source: Path) -> None:
    """N of N: killed, still serving; the same command again succeeds, and nothing is left over."""

    def matrix(share: tuple[Host, int]) -> list[str]:
        host, step = share
        steps: list[str] = []
        while True:
            mine = Path(shutil.copytree(source, tempfile.mkdtemp() + "/app"))
            change(mine, f"{host.name} {len(steps)}")
            identity = ship(host, mine)
            if steps:
                killed = engine(host, "deploy", identity, kill_at=step)
                step += len(hosts)
            else:
                killed = engine(host, "deploy", identity, kill_at=1, steps=AS_OFTEN_AS_NEEDED)
            if killed.returncode == 0:
                return steps
            assert killed.returncode in {137, -signal.SIGKILL}, killed.stderr
            steps += killed.stdout.split()
            again = engine(host, "deploy", identity)
            assert again.returncode == 0, f"after a kill at {killed.stdout.strip()}: {again.stderr}"
            assert host.http("/", NAME).text == f"marker {host.name} {len(steps) - 1}"
            assert_no_debris(host)

    steps = report(hosts, "deploy", each(shares(hosts), matrix))
    assert len(steps) > 30
    assert set(steps) == {*STEPS, *AS_OFTEN_AS_NEEDED}, sorted(steps)


def test_the_engine_killed_at_each_step_of_a_rollback(hosts: list[Host]) -> None:
    """The live release answers, and the next rollback succeeds."""

    def matrix(share: tuple[Host, int]) -> list[str]:
        host, step = share
        steps: list[str] = []
        while True:
            target = next(row["release"] for row in ctl(host, "releases")["releases"] if row["state"] == "previous")
            killed = engine(host, "rollback", target, kill_at=step)
            if killed.returncode == 0:
                return steps
            steps += killed.stdout.split()
            again = json.loads(engine(host, "--json", "rollback", target).stdout)
            assert not again.get("failed"), again
            assert_no_debris(host)
            step += len(hosts)

    steps = report(hosts, "rollback", each(shares(hosts), matrix))
    assert {"write", "start", "probe", "switch", "confirm", "record", "prune"} <= set(steps)


def test_the_engine_killed_at_each_step_of_a_prune(hosts: list[Host]) -> None:
    """What must stay stays whole, the next run removes the rest, and half of a release is never taken for one."""

    def matrix(share: tuple[Host, int]) -> list[str]:
        host, step = share
        steps: list[str] = []
        ctl(host, "prune", "--keep", "1")
        stay = {row["release"] for row in ctl(host, "releases")["releases"] if row["state"] in ("live", "previous")}
        while True:
            live = ctl(host, "status")["release"]
            for copy in ("old1", "old2"):  # with a virtual environment of their own each
                venv_ = f"{APP}/venvs/{copy}"
                host.run(
                    f"cp -a {APP}/releases/{live} {APP}/releases/{copy} && cp -a {APP}/releases/{live}/venv/. {venv_} "
                    f"&& ln -sfn {venv_} {APP}/releases/{copy}/venv"
                )
            killed = engine(host, "prune", "--keep", "1", kill_at=step)
            if killed.returncode != 0:
                assert killed.returncode in {137, -signal.SIGKILL}, killed.stderr
                steps += killed.stdout.split()
                kept = {row["release"] for row in ctl(host, "releases")["releases"]}
                assert stay <= kept <= {*stay, "old1", "old2"}
                engine(host, "prune", "--keep", "1")
            assert {row["release"] for row in ctl(host, "releases")["releases"]} == stay
            assert host.run(f"ls -A {APP}/releases").stdout.split() == sorted(stay)
            assert len(host.run(f"ls -A {APP}/venvs").stdout.split()) == 1
            assert_no_debris(host)
            if killed.returncode == 0:
                return steps
            step += len(hosts)

    steps = report(hosts, "prune", each(shares(hosts), matrix))
    assert (steps.count("prune"), steps.count("remove")) == (1, 8)  # two releases, each with an environment of its own


def test_the_controller_killed_at_each_task(hosts: list[Host], source: Path) -> None:
    """Every run gets past the task at which the one before was killed; the last succeeds, the next changes nothing."""
    change(source, "killed")
    playbook = [{"hosts": GROUP, "become": True, "gather_facts": False, "roles": ["flask_apache"]}]

    def matrix(share: tuple[Host, int]) -> list[str]:
        host, task = share
        tasks: list[str] = []
        while play_until(host, playbook, variables(source), task):
            tasks.append(str(task))
            task += len(hosts)
        return tasks

    tasks = sorted(map(int, report(hosts, "tasks of the role", each(shares(hosts), matrix))))
    assert tasks == list(range(1, len(tasks) + 1))
    assert len(tasks) > 25
    for host in hosts:
        assert host.http("/", NAME).text == "marker killed"
    again = apply_role(hosts, variables(source))
    assert again.changed == 0, again.changed_tasks
    for host in hosts:
        assert_no_debris(host)


def test_two_deploys_of_one_app_at_once(hosts: list[Host], source: Path) -> None:
    """One runs, and the other says who holds the lock since when; or it waits, and then both succeed."""
    for wait, name in ((0, "refused"), (90, "waited")):
        sources = [Path(shutil.copytree(source, tempfile.mkdtemp() + "/app")) for _ in range(2)]
        for number, path in enumerate(sources):
            change(path, f"{name} {number}", import_seconds=4)
        declared = [variables(path, lock_wait=wait) for path in sources]
        plays = each(declared, lambda each_: apply_role(hosts, each_, check=False))
        for host in hosts:
            failed = [play_.recap[host.name].failed for play_ in plays]
            assert sorted(failed) == ([0, 0] if wait else [0, 1]), plays[0].output[-3000:] + plays[1].output[-3000:]
            won = f"marker {name} {failed.index(0)}"
            assert host.http("/", NAME).text in ({f"marker {name} 0", f"marker {name} 1"} if wait else {won})
        if not wait:
            said = "".join(play_.output for play_ in plays)
            assert re.search(r"faults is being changed by root \(pid \d+\) since 20\S+Z: try again later", said)


# --- Full disks ------------------------------------------------------------------------------------------------------


COUNT = """
import os, sys
paths = [os.path.join(top, name) for top, below, files in os.walk(sys.argv[1]) for name in below + files]
sizes = [os.path.getsize(path) for path in paths if os.path.isfile(path) and not os.path.islink(path)]
print(sum(-(-size // 4096) for size in sizes), len(paths) + 1)
"""


@contextlib.contextmanager
def full(host: Host, path: str, kind: str, room: int) -> Iterator[None]:
    """Let a directory be a file system of its own with little room beside what it holds: so many pages, or inodes."""
    kept = f"/var/tmp/kept{path.replace('/', '-')}"
    pages, inodes = map(int, host.run(["python3", "-c", COUNT, path]).stdout.split())
    size = f"size={4 * max(1, pages + room)}k" if kind == "room" else f"nr_inodes={inodes + room}"
    host.run(f"cp -a {path} {kept} && mount -t tmpfs -o mode=0755,{size} tmpfs {path} && cp -a {kept}/. {path}/")
    try:
        yield
    finally:
        host.run(f"umount --lazy {path} && rm -rf {kept}")


@pytest.fixture(scope="module")
def full_disks(hosts: list[Host], source: Path) -> dict[str, list[str]]:
    """Deploy on a full disk: no room, or no inodes, for what is copied, built or switched. Return what was said."""
    said: dict[str, list[str]] = {}

    def entries(*names: str) -> list[str]:
        return [host.run(f"cd {APP} && ls -A {' '.join(names)}").stdout for host in hosts]

    def deploy(host: Host, path: str, room: int) -> str:
        with full(host, path, kind, room):
            done = engine(host, "deploy", identities[host.name])
            assert done.returncode == 1
            return done.stderr

    with asked(hosts):
        for kind, more in (("room", "click"), ("inodes", "blinker")):
            live, built, shipped = each(hosts, live_release), entries("releases", "venvs"), entries("incoming")
            change(source, f"no {kind}")
            (source / "requirements.txt").write_text(f"flask\n{more}\n")  # another virtual environment
            (source / "large").write_bytes(os.urandom(500_000))
            with contextlib.ExitStack() as stack:
                for host in hosts:
                    stack.enter_context(full(host, f"{APP}/incoming", kind, 0))
                said[f"fetch, {kind}"] = [apply_role(hosts, variables(source), check=False).output]
            assert entries("incoming") == shipped
            identities = {host.name: ship(host, source) for host in hosts}
            for step, path, room in (
                ("stage", f"{APP}/releases", 3),
                ("build", f"{APP}/venvs", 100),
                ("switch", "/etc/flask-apache/faults", 0),
            ):
                said[f"{step}, {kind}"] = each(hosts, functools.partial(deploy, path=path, room=room))
                assert step == "switch" or entries("releases", "venvs") == built
            assert each(hosts, live_release) == live
    return said


def live_release(host: Host) -> str:
    """Return the live release."""
    return str(ctl(host, "status")["release"])


@pytest.mark.parametrize("kind", ["room", "inodes"])
@pytest.mark.parametrize("step", ["fetch", "stage", "build", "switch"])
def test_a_full_disk(full_disks: dict[str, list[str]], step: str, kind: str) -> None:
    """It is said, the live release stays, and what was half done is gone."""
    for said in full_disks[f"{step}, {kind}"]:
        assert "No space left on device" in said
        if step != "fetch":
            assert "Still serving" in said
            assert "Traceback" not in said


def test_after_a_full_disk(full_disks: dict[str, list[str]], hosts: list[Host], source: Path) -> None:
    """With room again the next run succeeds, and leaves nothing over, not even what was shipped an hour ago."""
    assert len(full_disks) == 8
    for host in hosts:
        host.run(f"touch --date='2 hours ago' {APP}/incoming/*")
    (source / "large").unlink()
    assert [host.http("/", NAME).text for host in hosts] != ["marker no inodes"] * len(hosts)
    apply_role(hosts, variables(source))
    for host in hosts:
        assert host.http("/", NAME).text == "marker no inodes"
        assert_no_debris(host)


# --- Apache's configuration ------------------------------------------------------------------------------------------

PAIR = "/etc/ssl/pair"
TLS = ["SSLEngine on", f"SSLCertificateFile {PAIR}.pem", f"SSLCertificateKeyFile {PAIR}.key"]
DEADLY = {  # each passes `apache2ctl configtest`, and ends Apache at its next start or reload
    "a key of another certificate": ([*TLS[:2], f"SSLCertificateKeyFile {PAIR}-other.key"], "do not match"),
    "a garbage certificate": ([TLS[0], "SSLCertificateFile /etc/ssl/garbage.pem", TLS[2]], "garbage.pem"),
    "a cipher string": ([*TLS, "SSLCipherSuite NO-SUCH-CIPHER"], "cipher"),
    "a TLS group": ([*TLS, "SSLOpenSSLConfCmd Groups no-such-group"], "no-such-group"),
}
BUSY = 8099


@pytest.fixture(scope="module")
def refusals(hosts: list[Host], source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give the role every configuration that would end Apache, in one play; return what each host said."""
    reports = tmp_path_factory.mktemp("refusals")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=faults -keyout {0}.key -out {0}.pem"
    for host in hosts:
        host.run(f"{make.format(PAIR)} && {make.format(PAIR + '-other')} && echo garbage >/etc/ssl/garbage.pem")
        host.run(f"systemd-run --quiet --unit=busy python3 -m http.server --bind 127.0.0.1 {BUSY}")
    bad = {name: variables(source, directives=lines) for name, (lines, _) in DEADLY.items()}
    bad["a busy port"] = variables(source, port=BUSY)
    tasks = []
    for name, declared in bad.items():
        report_ = {
            "ansible.builtin.copy": {
                "content": "{{ ansible_failed_result.msg }}",
                "dest": f"{reports}/{name} {{{{ inventory_hostname }}}}",
                "mode": "0600",
            },
            "delegate_to": "localhost",
            "become": False,
            "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"},
        }
        role = {"ansible.builtin.include_role": {"name": "flask_apache"}, "vars": declared}
        tasks.append({"block": [role], "rescue": [report_]})
    with asked(hosts):
        play(hosts, [{"hosts": "flask_apache", "become": True, "gather_facts": False, "tasks": tasks}])
    return {path.name: path.read_text() for path in reports.iterdir()}


def test_a_configuration_that_would_end_apache_is_refused(hosts: list[Host], refusals: dict[str, str]) -> None:
    """It says why; nothing is installed, and Apache goes on with what it has."""
    for host in hosts:
        for name, (lines, why) in DEADLY.items():
            said = refusals[f"{name} {host.name}"]
            assert why in said
            assert "Nothing of it is installed. Still serving" in said
            assert lines[-1] not in host.run("cat /etc/flask-apache/vhosts/*/*").stdout
        assert (
            f"flask_apache_port must be a port that no other program uses, got {BUSY}; python3"
            in refusals[f"a busy port {host.name}"]
        )
        host.run("apache2ctl configtest")


@pytest.mark.parametrize("name", DEADLY)
def test_configtest_would_have_passed_it(hosts: list[Host], refusals: dict[str, str], name: str) -> None:
    """Otherwise the refusals prove nothing of the start aside."""
    assert refusals
    lines = "\n".join(DEADLY[name][0])
    for host in hosts:
        host.write("/tmp/test.conf", f"<VirtualHost *:80>\nServerName test.example.com\n{lines}\n</VirtualHost>\n")
        host.run("apache2ctl -t -c 'Include /tmp/test.conf'")


def test_requests_outlive_the_one_reload_of_a_new_configuration(hosts: list[Host], source: Path) -> None:
    """Requests of less than 3 seconds are all answered, be they running then or asked meanwhile."""
    before = [reloads(host) for host in hosts]
    clients = [Client("single", 6, 0.1, "/slow?seconds=0"), Client("running", 6, 0.5, "/slow?seconds=2.5")]
    with contextlib.ExitStack() as stack:
        crowds = [stack.enter_context(visitors(host.ip, NAME, clients)) for host in hosts]
        time.sleep(3)
        apply_role(hosts, variables(source, daemon_threads=7))
        time.sleep(1)
    for host, crowd, count in zip(hosts, crowds, before, strict=True):
        print(f"{host.distribution}: {len(crowd.failed())} of {len(crowd.answers)} requests failed")
        assert crowd.failed() == []
        assert len(crowd.answers) > 100
        assert reloads(host) == count + 1


# --- Logs ------------------------------------------------------------------------------------------------------------


def test_rotation_reloads_nothing(hosts: list[Host]) -> None:
    """Forced during a request of 10 seconds; that one is answered, and Apache has not reloaded."""
    for host in hosts:
        host.run("apt-get update -q && apt-get install -q --yes --no-install-recommends logrotate faketime")
    before = [(reloads(host), apache_process(host)) for host in hosts]

    def rotate(host: Host) -> int:
        with ThreadPoolExecutor() as executor:
            answer = executor.submit(host.http, "/slow?seconds=10", NAME)
            time.sleep(1)
            size = int(host.run("stat --format=%s /var/log/apache2/error.log").stdout)
            host.run("logrotate --force /etc/logrotate.d/apache2")
            assert size > 0
            assert host.read("/var/log/apache2/error.log") == ""
            assert "resuming normal operations" in host.read("/var/log/apache2/error.log.1")
            return answer.result().status

    assert each(hosts, rotate) == [200] * len(hosts)
    after = [(reloads(host), apache_process(host)) for host in hosts]
    assert [process for _, process in after] == [process for _, process in before]
    assert [count for count, _ in after] == [0] * len(hosts)  # since the log was emptied


def test_old_logs_go(hosts: list[Host]) -> None:
    """The daily files of the app go when they are older than the days that are declared, not sooner."""
    for host in hosts:
        old = "/var/log/flask-apache/faults/access.2001-01-01.log"
        host.write(old, "")
        clean = "systemd-tmpfiles --clean --prefix=/var/log/flask-apache"
        host.run(f"NO_FAKE_STAT=1 faketime -f +13d {clean}")
        assert host.exists(old)
        host.run(f"NO_FAKE_STAT=1 faketime -f +15d {clean}")
        assert not host.exists(old)


# --- A reboot --------------------------------------------------------------------------------------------------------


def test_the_engine_killed_at_each_step_of_a_removal(hosts: list[Host]) -> None:
    """What it was to end is ended by the next run, and the removal comes to its end; the other app serves."""

    def matrix(host: Host) -> list[str]:
        host.run(
            "rm /etc/flask-apache/vhosts/*/*-neighbour.conf /etc/apache2/conf-enabled/flask-apache-neighbour.conf "
            "&& apache2ctl graceful"
        )
        steps: list[str] = []
        while True:
            host.run("runuser -u neighbour -- sleep 600 >/dev/null 2>&1 &")
            killed = engine(host, "remove", kill_at=len(steps) + 1, steps=ENDING, app="neighbour")
            if killed.returncode == 0:
                return steps
            assert killed.returncode in {137, -signal.SIGKILL}, killed.stderr
            steps += killed.stdout.split()

    steps = report(hosts, "removal", each(hosts, matrix))
    assert set(steps) == set(ENDING)
    for host in hosts:
        assert host.run(["pgrep", "-u", "neighbour"], check=False).stdout == ""
    play(hosts, "playbooks/remove.yml", {"flask_apache_app": "neighbour", "flask_apache_remove_data": True})
    assert play(hosts, "playbooks/remove.yml", {"flask_apache_app": "neighbour"}).changed == 0
    for host in hosts:
        assert host.run("ls -d /etc/flask-apache/neighbour /srv/flask-apache/neighbour", check=False).stdout == ""


def test_a_reboot_serves_again(hosts: list[Host]) -> None:
    """After a reboot, also one in the middle of a deploy, a release serves by itself, and the next run is content."""
    for host in hosts:
        before = host.http("/", NAME).text
        subprocess.run(["docker", "restart", "--time=0", host.name], check=True, capture_output=True)
        rebooted = attach(host.name, host.distribution)
        end = time.monotonic() + 60
        while rebooted.run("systemctl is-active apache2", check=False).returncode and time.monotonic() < end:
            time.sleep(0.2)
        assert rebooted.http("/", "faults.example.com").text == before
