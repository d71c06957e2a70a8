"""A hostile app gets nothing of another app on the same host, and can write nowhere but in its own data.

What every user of a host can read, such as other processes' command lines, is not claimed to be hidden.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.parallel import each
from tests.support.playbooks import play
from tests.support.releases import Deployed, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host

VICTIM, FAR, NEAR = "victim", "far", "near"
SECRET, KEY = "the-secret-of-the-victim", "/etc/ssl/private/victim.key"
# Also of the hostile apps: what it serves, it may be; the victim has no idea.
WEB = """
import json, os, subprocess, sys
import attack
def app(environ, start_response):
    headers = [("Content-Type", "application/json")]
    if environ["PATH_INFO"] == "/redirect":
        headers.append(("Location", "/private"))
    start_response("200 OK", headers)
    if environ["PATH_INFO"] == "/attack":
        return [json.dumps(attack.result(os.environ["FLASK_APACHE_DATA"] + "/target.json")).encode()]
    return [json.dumps({"app": os.environ["FLASK_APACHE_APP"], "pid": os.getpid()}).encode()]
"""
WORKER = """
import json, os, time
import attack
data = os.environ["FLASK_APACHE_DATA"]
while True:
    if os.path.exists(data + "/target.json") and not os.path.exists(data + "/worker.json"):
        with open(data + "/worker.json.new", "w") as file:
            json.dump(attack.result(os.environ["FLASK_APACHE_DATA"] + "/target.json"), file)
        os.rename(data + "/worker.json.new", data + "/worker.json")
    time.sleep(0.2)
"""
# An attempt is a function that raises OSError when it is refused. Root, who may do it all, shows that it can succeed.
ATTACK = """
import glob, json, os, socket, stat, subprocess, sys

def read(path):
    with open(path, "rb") as file:
        return repr(file.read(100))

def opened(path, flags=os.O_RDONLY):
    os.close(os.open(path, flags))

def add_to(directory):
    path = os.path.join(directory, ".attack")
    opened(path, os.O_WRONLY | os.O_CREAT)
    os.unlink(path)

def connect(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)

def attempts(target):
    me, victim = target["me"], target["victim"]
    places = ("/etc", "/srv", "/var/lib", "/var/log", "/var/cache")
    etc, srv, var, log, cache = (f"{place}/flask-apache" for place in places)
    for path in (
        *(f"{etc}/{victim}/{name}" for name in ("env", "secret_key", "app.json", "live.map")),
        *(f"{srv}/{victim}/{name}" for name in ("history.jsonl", "units.json", "lock")),
        *(f"{srv}/{victim}/current/{name}" for name in ("app/web.py", "env", "release.json", "venv/pyvenv.cfg")),
        f"{var}/{victim}/diary", f"{log}/{victim}/access.log", target["key"], "/etc/shadow",
        f"{etc}/{me}/secret_key", f"{etc}/{me}/live.map", f"{log}/{me}/access.log", "/var/log/apache2/error.log",
    ):
        yield read, path
    for path in (
        f"{srv}/{victim}", f"{srv}/{victim}/releases", f"{var}/{victim}", f"{log}/{victim}", f"{cache}/{victim}",
        f"{log}/{me}", f"{srv}/{me}/incoming", "/var/log/apache2", "/etc/ssl/private",
        *(f"/proc/{pid}/fd" for pid in target["pids"]),
    ):
        yield os.listdir, path
    for pid in target["pids"]:
        yield (lambda number: os.kill(int(number), 0)), str(pid)
        for name in ("environ", "maps", "mem"):
            yield opened, f"/proc/{pid}/{name}"
        for name in ("cwd", "exe", "root"):
            yield os.readlink, f"/proc/{pid}/{name}"
    for path in (
        etc, f"{etc}/{me}", f"{etc}/{victim}", f"{etc}/vhosts", srv, f"{srv}/{me}", f"{srv}/{me}/incoming",
        f"{srv}/{me}/releases", f"{srv}/{me}/current/app", f"{srv}/{me}/current/venv/bin", f"{srv}/{victim}",
        f"{srv}/{victim}/current/app", var, f"{var}/{victim}", log, f"{log}/{me}", f"{log}/{victim}",
        cache, f"{cache}/{me}", "/var/www/html", "/var/spool", "/var/spool/cron", "/etc/cron.d", "/etc/systemd/system",
        "/etc/apache2/sites-enabled", "/usr/local/bin", "/run/apache2", "/run", "/root", "/var/lib",
    ):
        yield add_to, path
    for path in (
        f"{srv}/{me}/current/app/web.py", f"{srv}/{me}/current/env", f"{etc}/{me}/entry.wsgi", f"{etc}/{me}/live.map",
        f"{srv}/{me}/history.jsonl", f"{log}/{me}/access.log",
    ):
        yield (lambda path: opened(path, os.O_WRONLY | os.O_APPEND)), path
    for path in target["sockets"]:
        yield connect, path

def succeeded(target):
    for attempt, path in attempts(target):
        try:
            attempt(path)
        except OSError:
            yield False, attempt.__name__ + " " + path
        else:
            yield True, attempt.__name__ + " " + path

def listening():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                with socket.socket(fileno=os.dup(int(name))) as held:
                    if held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found.append(str(held.getsockname()))
        except OSError:
            pass
    return found

def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()

def result(path):
    with open(path) as file:
        target = json.load(file)
    tried = list(succeeded(target))
    places = ("/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/local", "/var")
    processes = glob.glob("/proc/[0-9]*/environ") + glob.glob("/proc/[0-9]*/cmdline")
    pattern = target["secret"][:-1] + "[" + target["secret"][-1] + "]" # does not find itself
    not_files = "( -path /proc -o -path /sys -o -path /dev ) -prune -o ( -type f -o -type d ) -writable -print"
    return {
        "user": os.getuid(),
        "got": [name for done, name in tried if done],
        "refused": [name for done, name in tried if not done],
        "listening": listening(),
        "writable": output("find", "/", *not_files.split()),
        "holding": output("grep", "-rls", "--devices=skip", pattern, *places, *processes),
    }

if __name__ == "__main__":
    print(json.dumps(result(sys.argv[1])))
"""


EVERYBODYS = ("/tmp", "/var/tmp", "/run/lock")  # every user of a host may write there


class Situation(NamedTuple):
    """A hostile app on a host, and what it found from each place that it runs in."""

    host: Host
    app: str
    found: dict[str, dict[str, Any]]


def declared(app: str, source: Path, server_name: str, mount: str) -> dict[str, Any]:
    """Return the role's variables of one of the apps."""
    return {
        "flask_apache_app": app,
        "flask_apache_source": str(source),
        "flask_apache_wsgi": "web:app",
        "flask_apache_requirements": [],
        "flask_apache_server_name": server_name,
        "flask_apache_mount": mount,
        "flask_apache_environment": {"SECRET": SECRET if app == VICTIM else f"own of {app}"},
        "flask_apache_workers": [{"name": "worker", "command": "python worker.py"}],
        "flask_apache_daemon_processes": 1,
    }


@pytest.fixture(scope="module")
def hosts(start_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> list[Host]:
    """Return two hosts with a victim, and two hostile apps: one under its server name, one under another."""
    started = [start_host("debian-12-hot"), start_host("debian-13-hot")]
    source = tmp_path_factory.mktemp("isolation")
    for name, text in (("web", WEB), ("worker", WORKER), ("attack", ATTACK)):
        (source / f"{name}.py").write_text(text)
    apps = ((VICTIM, "victim.example.com", "/"), (NEAR, "victim.example.com", "/near"), (FAR, "far.example.com", "/"))
    role = {"ansible.builtin.include_role": {"name": "flask_apache"}}
    tasks = [{**role, "vars": declared(app, source, *where)} for app, *where in apps]
    play(started, [{"hosts": "flask_apache", "become": True, "gather_facts": False, "tasks": tasks}])
    for host in started:
        host.run("mkdir -p /var/spool/cron /etc/cron.d")
        host.write(KEY, f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n", mode=0o600)
        host.run(["tee", f"/var/lib/flask-apache/{VICTIM}/diary"], user=VICTIM, stdin=f"Dear diary, {SECRET}\n")
        host.http(f"/?{SECRET}", "victim.example.com")
    return started


@pytest.fixture(scope="module")
def situations(hosts: list[Host]) -> dict[str, Situation]:
    """Let both hostile apps try everything on both hosts: as a web process, as a worker, and as a command."""

    def attack(host: Host) -> list[Situation]:
        return [Situation(host, app, try_everything(host, app)) for app in (NEAR, FAR)]

    return {f"{found.host.distribution} {found.app}": found for each_host in each(hosts, attack) for found in each_host}


def try_everything(host: Host, app: str) -> dict[str, dict[str, Any]]:
    """Let a hostile app try everything, and root, too."""
    status = Deployed(host, VICTIM).ctl("status")
    pids = [*(pool["pids"][0] for pool in status["pools"].values()), int(status["units"][0]["pid"]), status["apache"]]
    data = f"/var/lib/flask-apache/{app}"
    sockets = host.run("ls /run/apache2/wsgi*.sock").stdout.split()
    assert len(sockets) == 6
    target = {"me": app, "victim": VICTIM, "key": KEY, "secret": SECRET, "pids": pids, "sockets": sockets}
    host.write(f"{data}/target.json", json.dumps(target))
    name, path = ("victim.example.com", "/near") if app == NEAR else ("far.example.com", "")
    found = {
        "web": host.http(f"{path}/attack", name).json(),
        "command": json.loads(
            host.run(["flask-apachectl", "--app", app, "run", "python", "attack.py", f"{data}/target.json"]).stdout
        ),
        "root": json.loads(
            host.run(["python3", f"/srv/flask-apache/{app}/current/app/attack.py", f"{data}/target.json"]).stdout
        )
        if app == FAR
        else {},
    }
    assert wait_until(lambda: host.exists(f"{data}/worker.json"), 60)
    return {**found, "worker": json.loads(host.read(f"{data}/worker.json"))}


PLACES = [
    (distribution, app, place)
    for distribution in ("debian-12-hot", "debian-13-hot")
    for app in (NEAR, FAR)
    for place in ("web", "command", "worker")
]


@pytest.mark.parametrize(("distribution", "app", "place"), PLACES)
def test_nothing_is_got(situations: dict[str, Situation], distribution: str, app: str, place: str) -> None:
    """Nothing of the victim's can be read, signalled or connected to, and only the own data can be written."""
    situation = situations[f"{distribution} {app}"]
    found, data = situation.found[place], f"/var/lib/flask-apache/{app}"
    assert found["user"] == int(situation.host.run(["id", "-u", app]).stdout)
    assert found["got"] == []
    assert len(found["refused"]) > 80
    assert [path for path in found["listening"] if f".u{found['user']}." not in path] == []  # its own pool's
    assert [path for path in found["holding"] if not path.startswith(data)] == []
    outside = [path for path in found["writable"] if not path.startswith((data, *EVERYBODYS))]
    assert outside == []
    assert data in found["writable"]


@pytest.mark.parametrize("distribution", ["debian-12-hot", "debian-13-hot"])
def test_it_could_be_got(situations: dict[str, Situation], distribution: str) -> None:
    """The same attempts by root succeed, all of them: each finds what it looks for."""
    found = situations[f"{distribution} {FAR}"].found["root"]
    no_right_in_a_container = [name for name in found["refused"] if "/proc/" in name and "environ" not in name]
    assert found["refused"] == no_right_in_a_container
    assert {f"/var/lib/flask-apache/{VICTIM}/diary", f"/etc/flask-apache/{VICTIM}/env", KEY} <= set(found["holding"])
    assert "/etc/flask-apache" in found["writable"]


def test_a_closed_app_stays_closed(hosts: list[Host]) -> None:
    """Another app of the server name cannot let a visitor into one that is closed for maintenance."""
    for host in hosts:
        victim = Deployed(host, VICTIM)
        assert host.http("/near/redirect", "victim.example.com").json()["app"] == VICTIM
        victim.ctl("maintenance", "on")
        assert host.http("/near/", "victim.example.com").json()["app"] == NEAR
        assert host.http("/near/redirect", "victim.example.com").status == 503
        victim.ctl("maintenance", "off")
