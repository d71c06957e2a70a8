"""A hostile app gets nothing of another app on the same host, and can write nowhere but in its own data.

It tries from every place in which its code runs: a build, the import check, a hook, web processes, a worker, a timer, a
command. What every user of a host can read, such as other processes' command lines, is not claimed to be hidden; no
secret is there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support import hostile_app, steps
from tests.support.parallel import each
from tests.support.playbooks import play
from tests.support.releases import Deployed, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host

VICTIM, FAR, NEAR = "victim", "far", "near"
SECRET, KEY = "the-secret-of-the-victim", "/etc/ssl/private/victim.key"
PATIENCE = 600  # seconds
EVERYBODYS = ("/tmp", "/var/tmp", "/run/lock")  # every user of a host may write there
BY_APPS = ("import", "hook", "web", "worker", "timer", "command")
BY_BUILDS = ("build", "build without namespaces")
OF_BUILDS = (
    f"/run/flask-apache/build-{VICTIM}/netrc",
    f"/var/cache/flask-apache/{VICTIM}/tmp/flask-apache-private-1/key",
    f"/var/cache/flask-apache/{VICTIM}/pip/wheel",
)


def declared(app: str, source: Path) -> dict[str, Any]:
    """Return the role's variables of one of the apps, without their prefix."""
    job = {"name": "timer", "command": "python worker.py timer", "calendar": "2100-01-01"}
    return {
        "app": app,
        "source": str(source),
        "wsgi": "web:app",
        "requirements": ["requirements.txt"],
        "server_name": "far.example.com" if app == FAR else "victim.example.com",
        "mount": "/near" if app == NEAR else "/",
        "environment": {"SECRET": SECRET if app == VICTIM else f"own of {app}"},
        "workers": [{"name": "worker", "command": "python worker.py worker"}],
        "timers": [job],
        "hooks": [{"at": "before_start", "run": "python worker.py hook"}],
        "daemon_processes": 1,
        "health_timeout": PATIENCE,  # to try everything takes long
        "daemon_request_timeout": PATIENCE,
        "daemon_socket_timeout": PATIENCE,
    }


class Situation(NamedTuple):
    """A host with a hostile app, and what it found from each place that it runs in."""

    host: Host
    found: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def hosts(start_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> list[Host]:
    """Return two hosts with a victim, and two hostile apps: one under its server name, one under another."""
    started = [start_host("debian-12-hot"), start_host("debian-13-hot")]
    source = hostile_app.write(tmp_path_factory.mktemp("isolation"))
    role = {"ansible.builtin.include_role": {"name": "flask_apache"}}
    tasks = [
        {**role, "vars": {f"flask_apache_{name}": value for name, value in declared(app, source).items()}}
        for app in (VICTIM, NEAR, FAR)
    ]
    play(started, [{"hosts": "flask_apache", "become": True, "gather_facts": False, "tasks": tasks}])
    for host in started:
        host.run("mkdir -p /var/spool/cron /etc/cron.d")
        host.write(KEY, f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n", mode=0o600)
        host.run(["tee", f"/var/lib/flask-apache/{VICTIM}/diary"], user=VICTIM, stdin=f"Dear diary, {SECRET}\n")
        host.http(f"/?{SECRET}", "victim.example.com")
        as_if_it_were_built(host)
    return started


def as_if_it_were_built(host: Host) -> None:
    """Let the host have what there is during a build of the victim's: a process, an index's password, a git key."""
    owner = f"build_{VICTIM}"
    for path in OF_BUILDS:
        directory = path.rpartition("/")[0]
        host.run(f"mkdir -p /run/flask-apache && install -d -m 0700 -o {owner} {directory}")
        host.write(path, SECRET, mode=0o600)
        host.run(["chown", owner, path])
    host.run(["chown", owner, f"/var/cache/flask-apache/{VICTIM}/tmp"])
    host.run(f"SECRET={SECRET} setsid setpriv --reuid={owner} --clear-groups sleep 4711 >/dev/null 2>&1 &")


@pytest.fixture(scope="module")
def situations(hosts: list[Host], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Situation]:
    """Let the hostile app try everything on both hosts, wherever its code runs."""
    sources = tmp_path_factory.mktemp("attack")

    def attack(host: Host) -> Situation:
        return Situation(host, try_everything(host, hostile_app.write(sources / host.name)))

    return {found.host.distribution: found for found in each(hosts, attack)}


def target_of(host: Host) -> dict[str, Any]:
    """Return what is there to attack."""
    status = Deployed(host, VICTIM).ctl("status")
    built = int(host.run(["pgrep", "-u", f"build_{VICTIM}"]).stdout)
    pids = [*(pool["pids"][0] for pool in status["pools"].values()), int(status["units"][0]["pid"]), status["apache"]]
    sockets = host.run("ls /run/apache2/wsgi*.sock").stdout.split()
    assert len(sockets) == 6
    target = {"me": FAR, "victim": VICTIM, "key": KEY, "secret": SECRET, "of_builds": OF_BUILDS}
    return {**target, "pids": [*pids, built], "sockets": sockets}


def try_everything(host: Host, source: Path) -> dict[str, dict[str, Any]]:
    """Let the hostile apps try everything, and root, too."""
    (source / "target.json").write_text(json.dumps(target_of(host)))
    data, report = f"/var/lib/flask-apache/{FAR}", "python3 /srv/flask-apache/far/current/app/attack.py"
    host.run(f"echo 'an earlier visitor' | tee {data}/seen", user=FAR)
    steps.deploy(host, declared(FAR, source))
    host.run(["systemctl", "start", f"flask-apache-{FAR}-timer.service"])
    assert wait_until(lambda: host.exists(f"{data}/worker.json"), PATIENCE)
    wheel = host.run("cat /srv/flask-apache/far/current/venv/lib/python*/site-packages/evil.json").stdout
    found = {
        "build": json.loads(wheel),
        "web": host.http("/attack", "far.example.com", timeout=PATIENCE).json(),
        "command": json.loads(host.run(["flask-apachectl", "--app", FAR, "run", "python", "attack.py"]).stdout),
        "root": json.loads(host.run(report).stdout),
        **{place: json.loads(host.read(f"{data}/{place}.json")) for place in ("import", "hook", "worker", "timer")},
    }
    (source / "evil/another").write_text("another source, which needs another build")
    run = steps.Run(host, declared(FAR, source))
    for name in steps.DEPLOY:
        run.without = ["sys_admin"] if name == "prepare" else []
        run.step(name)
    wheel = host.run("cat /srv/flask-apache/far/current/venv/lib/python*/site-packages/evil.json").stdout
    return {**found, "build without namespaces": json.loads(wheel)}


PLACES = [
    (distribution, place) for distribution in ("debian-12-hot", "debian-13-hot") for place in (*BY_BUILDS, *BY_APPS)
]


@pytest.mark.parametrize(("distribution", "place"), PLACES)
def test_nothing_is_got(situations: dict[str, Situation], distribution: str, place: str) -> None:
    """Nothing of the victim's can be read, signalled or connected to, and only the own data can be written."""
    situation = situations[distribution]
    found, data = situation.found[place], f"/var/lib/flask-apache/{FAR}"
    user = f"build_{FAR}" if place in BY_BUILDS else FAR
    assert found["user"] == int(situation.host.run(["id", "-u", user]).stdout)
    assert found["got"] == []
    assert found["tricked"] == []
    assert len(found["refused"]) > 80
    assert found["tricks"] > 80
    assert [path for path in found["listening"] if f".u{found['user']}." not in path] == []  # its own pool's
    own = (f"/var/cache/flask-apache/{FAR}", f"/srv/flask-apache/{FAR}/venvs/") if place in BY_BUILDS else (data,)
    assert [path for path in found["holding"] if not path.startswith((*own, f"/srv/flask-apache/{FAR}/"))] == []
    outside = [path for path in found["writable"] if not path.startswith((*own, *EVERYBODYS))]
    assert outside == []
    assert own[0] in found["writable"]
    if place == "build":
        assert found["processes"] < 20


@pytest.mark.parametrize("distribution", ["debian-12-hot", "debian-13-hot"])
def test_nothing_of_a_build_is_left(situations: dict[str, Situation], distribution: str) -> None:
    """A build's daemons end with it, and its files in everybody's directories are removed."""
    host = situations[distribution].host
    assert host.run(["pgrep", "-u", f"build_{FAR}"], check=False).stdout == ""
    assert host.run(["pgrep", "-u", f"build_{VICTIM}"]).stdout, "another app's build goes on"
    assert host.run("find / -xdev -name left-by-a-build; ls -d /dev/shm/left* /tmp/left* || :").stdout == ""


@pytest.mark.parametrize("distribution", ["debian-12-hot", "debian-13-hot"])
def test_it_could_be_got(situations: dict[str, Situation], distribution: str) -> None:
    """The same attempts by root succeed, all of them: each finds what it looks for."""
    found = situations[distribution].found["root"]
    no_right_in_a_container = [name for name in found["refused"] if "/proc/" in name and "environ" not in name]
    assert found["refused"] == no_right_in_a_container
    holding = {f"/var/lib/flask-apache/{VICTIM}/diary", f"/etc/flask-apache/{VICTIM}/env", KEY, *OF_BUILDS}
    assert holding <= set(found["holding"])
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


SHARED = "flask-apache-build"


def test_apps_with_one_build_user_get_their_own(hosts: list[Host], tmp_path: Path) -> None:
    """Earlier versions had one build user for all apps: each app's next run replaces it, the last one removes it."""

    def migrate(host: Host) -> None:
        source, home = hostile_app.write(tmp_path / host.name), "/var/cache/flask-apache"
        host.run(f"useradd --system --no-create-home --home-dir {home} --shell /usr/sbin/nologin {SHARED}")
        for app in (VICTIM, NEAR, FAR):
            host.run(f"pkill -KILL -u build_{app}; sleep 0.5; userdel build_{app}")
            host.run(f"mkdir -p {home}/{app}/pip {home}/tools/old")
            host.run(f"touch {home}/{app}/pip/of-the-shared-one; chown -R {SHARED} {home}/{app}")
        for app in (VICTIM, NEAR, FAR):
            steps.deploy(host, declared(app, source))
            assert host.run(["stat", "-c", "%U", f"{home}/{app}"]).stdout == f"build_{app}\n"
            is_there = host.run(["id", SHARED], check=False).returncode == 0
            assert is_there == (app != FAR)
        assert not host.exists(f"{home}/tools")
        for app in (VICTIM, NEAR, FAR):
            (source / "evil/rebuilt").write_text(app)
            assert "prepare" in steps.deploy(host, declared(app, source))
            assert not host.exists(f"{home}/{app}/pip/of-the-shared-one")
            assert steps.deploy(host, declared(app, source)) == []

    each(hosts, migrate)


def test_a_removed_apps_build_user_goes(hosts: list[Host], tmp_path: Path) -> None:
    for host in hosts:
        run = steps.Run(host, {**declared(NEAR, tmp_path), "remove_data": True})
        assert run.step("remove")["changed"]
        assert host.run(["id", f"build_{NEAR}"], check=False).returncode
        assert host.run(["id", f"build_{FAR}"]).stdout
        host.run(["usermod", "--home", "/nonexistent", f"build_{FAR}"])
        assert steps.Run(host, {**declared(FAR, tmp_path), "remove_data": True}).step("remove")["changed"]
        assert host.run(["id", f"build_{FAR}"]).stdout, "it is not the one that the role made"
