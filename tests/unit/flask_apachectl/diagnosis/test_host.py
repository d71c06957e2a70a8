"""The clock, space, other programs that restart Apache, pending upgrades, and pools."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import paths, routing
from flask_apachectl.apache import server
from flask_apachectl.diagnosis import changes, clock, pools, reloaders, space, upgrades
from flask_apachectl.host import facts
from flask_apachectl.serve import condition
from flask_apachectl.serve import pools as daemons
from flask_apachectl.serve.pools import DaemonProcess
from tests.unit.flask_apachectl.samples import shop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_apachectl.diagnosis.finding import Finding


def told(findings: Iterable[Finding]) -> list[tuple[str, str, str]]:
    """Return what findings say, and the commands that mend them."""
    return [(each.severity, each.wrong, each.fix) for each in findings]


# --- Files -----------------------------------------------------------------------------------------------------------


def test_changed_files_are_named_with_the_time(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert told(changes.of_app(shop(), [])) == []
    ((_, wrong, fix),) = told(
        changes.of_app(shop(), [f"{tmp_path}/a", "/none/b", "Apache has not loaded it", "x", "y"])
    )
    assert f"{tmp_path}/a (changed {time.strftime('%Y', time.gmtime())}-" in wrong
    assert wrong.endswith("/none/b (missing), Apache has not loaded it and 2 more")
    assert fix.startswith("ansible-playbook site.yml --check --diff")


# --- The clock -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("virtual", "says", "fix"),
    [
        ("none", "NTP=no\nCanNTP=yes\nNTPSynchronized=no", "timedatectl set-ntp true"),
        ("", "NTP=yes\nCanNTP=yes\nNTPSynchronized=no", "systemctl restart systemd-timesyncd"),
        ("", "NTP=no\nCanNTP=no\nNTPSynchronized=no", "apt-get install systemd-timesyncd && timedatectl set-ntp true"),
        ("none", "NTP=no\nNTPSynchronized=yes", ""),  # by another program, such as chrony
        ("docker", "NTP=no\nCanNTP=no\nNTPSynchronized=no", ""),
        ("none", "", ""),  # without an answer
    ],
)
def test_a_clock_that_nothing_sets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, virtual: str, says: str, fix: str
) -> None:
    answers = {"systemd-detect-virt": virtual, "timedatectl": says}
    monkeypatch.setattr(facts, "output", lambda program, *_: answers[program])
    monkeypatch.setattr(paths, "SYSTEMD", tmp_path)
    assert [each[2] for each in told(clock.of_host())] == [fix] * bool(fix)
    monkeypatch.setattr(paths, "SYSTEMD", tmp_path / "none")
    assert told(clock.of_host()) == []


def test_a_clock_that_is_behind(app: object, monkeypatch: pytest.MonkeyPatch) -> None:
    one = shop()
    assert app
    monkeypatch.setattr(routing, "live_slot", lambda _app: "blue")
    monkeypatch.setattr(routing, "slot_release", lambda _app, _slot: "r1")
    assert told(clock.of_app(one)) == [], "there is no such file"
    path = one.releases / "r1/release.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    os.utime(path, (5000, 5000))
    assert told(clock.of_app(one, now=4800)) == []
    ((severity, wrong, _),) = told(clock.of_app(one, now=980))
    assert (severity, wrong) == ("warning", f"the clock is 67 min behind the time of {path}")


# --- Space -----------------------------------------------------------------------------------------------------------


def judged(free: float, inodes: int, *, size: float = 10 * 2**30, all_inodes: int = 10**6) -> list[str]:
    """Return what is found of a file system; bytes are given."""
    found: Any = SimpleNamespace(
        f_bavail=int(free) // 4096,
        f_blocks=int(size) // 4096,
        f_frsize=4096,
        f_favail=inodes,
        f_files=all_inodes,
    )
    return [f"{each.severity} {each.wrong}" for each in space.judged(Path("/x"), "fix", found, "shop")]


def test_space_and_inodes() -> None:
    assert judged(2**30, 10**5) == []
    assert judged(2**20, 10**5) == ["warning 1.0 MiB of 10240 MiB are free in /x"]
    assert judged(4096, 10**5) == ["error 0.0 MiB of 10240 MiB are free in /x"]
    assert judged(2**30, 4000) == ["warning 4000 of 1000000 inodes are free in /x"]
    assert judged(0, 0) == ["error 0.0 MiB of 10240 MiB are free in /x", "error 0 of 1000000 inodes are free in /x"]
    assert judged(2**30, 0, all_inodes=0) == [], "a file system without a table of inodes"
    assert judged(2**20, 150, size=4 * 2**20, all_inodes=200) == [], "a small one that is nearly empty"
    assert judged(2**17, 5, size=4 * 2**20, all_inodes=200) == [
        "error 0.1 MiB of 4 MiB are free in /x",
        "error 5 of 200 inodes are free in /x",
    ]


def test_each_file_system_is_looked_at_once(app: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app
    asked: list[Path] = []

    def remember(path: Path, *_: object) -> list[Finding]:
        asked.append(path)
        return []

    monkeypatch.setattr(space, "judged", remember)
    one = shop(access_log="/dev/stdout", error_log="/dev/stderr")
    list(space.of_app(one))
    assert asked[0] == one.home
    assert len({path.stat().st_dev for path in asked}) == len(asked)


# --- Other programs --------------------------------------------------------------------------------------------------

RESTARTS = {
    "systemctl restart apache2": "systemctl reload apache2",
    "/bin/systemctl -q try-restart apache2.service": "/bin/systemctl -q reload apache2.service",
    "systemctl restart mysql apache2": "systemctl reload mysql apache2",
    "service apache2 restart >/dev/null": "service apache2 reload >/dev/null",
    "invoke-rc.d --quiet apache2 restart": "invoke-rc.d --quiet apache2 reload",
    "/etc/init.d/apache2 force-reload": "/etc/init.d/apache2 reload",
    "apachectl restart": "apachectl graceful",
    "/usr/sbin/apache2ctl -k restart": "/usr/sbin/apache2ctl -k graceful",
}
STOPS = ("systemctl stop apache2", "apache2ctl stop", "killall -9 apache2", "service apache2 stop", "pkill apache2")
HARMLESS = (
    *("systemctl reload apache2", "service apache2 reload", "apachectl graceful", "apachectl graceful-stop"),
    *("systemctl restart nginx; echo apache2", "systemctl restart apache2-exporter", "# systemctl restart apache2"),
    *("systemctl restart apache2@other", "apache2ctl configtest", "restart the backup of apache2"),
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory that stands for /."""
    monkeypatch.setattr(reloaders, "ROOT", tmp_path)
    return tmp_path


def write(root: Path, path: str, text: str) -> Path:
    """Write a file of the host."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize("line", RESTARTS)
def test_a_restart_is_found_and_mended_by_its_command(root: Path, line: str) -> None:
    file = write(root, "etc/cron.d/own", f"# nightly\n5 4 * * * root {line}\n")
    ((severity, wrong, fix),) = told(reloaders.of_host())
    assert (severity, wrong) == ("warning", f"/etc/cron.d/own, line 2: 5 4 * * * root {line}")
    subprocess.run([word.replace("/etc/cron.d/own", str(file)) for word in shlex.split(fix)], check=True)
    assert file.read_text() == f"# nightly\n5 4 * * * root {RESTARTS[line]}\n"
    assert told(reloaders.of_host()) == []


@pytest.mark.parametrize("line", STOPS)
def test_a_stop_is_found(root: Path, line: str) -> None:
    write(root, "etc/letsencrypt/cli.ini", f"pre-hook = {line}\n")
    (found,) = reloaders.of_host()
    assert (found.wrong, found.why) == (
        f"/etc/letsencrypt/cli.ini, line 1: pre-hook = {line}",
        reloaders.STOPS.why,
    )


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_harmless(root: Path, line: str) -> None:
    write(root, "etc/cron.daily/own", f"{line}\n")
    assert told(reloaders.of_host()) == []


@pytest.mark.parametrize(
    "place",
    [
        *("etc/crontab", "etc/cron.weekly/x", "var/spool/cron/crontabs/root", "etc/logrotate.d/x"),
        *("etc/letsencrypt/renewal/a.conf", "etc/letsencrypt/renewal-hooks/post/x", "etc/apt/apt.conf.d/99x"),
        *("etc/systemd/system/x.service", "etc/systemd/system/x.service.d/y.conf"),
    ],
)
def test_where_it_is_looked_for(root: Path, place: str) -> None:
    write(root, place, "x systemctl restart apache2\n")
    assert [each.wrong.partition(",")[0] for each in reloaders.of_host()] == [f"/{place}"]


def test_scripts_of_peoples_own_are_looked_into(root: Path) -> None:
    write(root, "opt/renew.sh", "#!/bin/sh\nservice apache2 restart\n/opt/other.sh")
    write(root, "opt/other.sh", "service apache2 stop\n")
    write(root, "etc/systemd/system/renew.service", "[Service]\nExecStart=-/opt/renew.sh --all\n")
    write(root, "etc/cron.d/x", "1 1 * * * root /opt/renew.sh\n1 1 * * * root echo 'unclosed /opt/none\n")
    assert [each.wrong for each in reloaders.of_host()] == ["/opt/renew.sh, line 2: service apache2 restart"]


def test_what_is_apaches_or_no_text(root: Path) -> None:
    write(root, "etc/systemd/system/apache2.service.d/x.conf", "ExecStop=apache2ctl stop\n")
    write(root, "etc/cron.daily/program", "\0systemctl restart apache2\n")
    write(root, "etc/cron.daily/large", "systemctl restart apache2\n" * 9000)
    (root / "etc/cron.daily/dangling").symlink_to("none")
    assert told(reloaders.of_host()) == []


# --- Upgrades --------------------------------------------------------------------------------------------------------

DPKG = "python3 ii \nlibpython3.11 ii \nlibpython3.11-dev ii \npython3.12 rc \nlibapache2-mod-wsgi-py3 hi \napache2 ii "
POLICY = "{}:\n  Installed: {}\n  Candidate: {}\n  Version table:\n"


@dataclass
class Apt:
    """What dpkg and apt say."""

    dpkg: str = DPKG
    policy: str = ""
    maps: str = ""


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch) -> Apt:
    """Return them."""
    found = Apt()
    monkeypatch.setattr(facts, "output", lambda *_command: found.dpkg)
    monkeypatch.setattr(facts, "read", lambda path: found.maps if path.name == "maps" else "")
    monkeypatch.setattr(server, "pid", lambda: 7)
    monkeypatch.setattr(upgrades, "is_unattended", lambda: True)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=found.policy))
    return found


def test_what_is_held_back(apt: Apt) -> None:
    assert told(upgrades.of_host()) == [
        ("warning", "held back: libapache2-mod-wsgi-py3", "apt-mark unhold libapache2-mod-wsgi-py3")
    ]
    apt.dpkg = DPKG.replace("hi", "ii")
    assert told(upgrades.of_host()) == []


def test_what_is_pending(apt: Apt) -> None:
    apt.dpkg = DPKG.replace("hi", "ii")
    apt.policy = POLICY.format("libpython3.11", "3.11.2-6", "3.11.2-7") + POLICY.format("python3", "3.11.2-1", "3.11.9")
    ((_, wrong, fix),) = told(upgrades.of_host())
    assert wrong == "pending: libpython3.11 3.11.2-6 to 3.11.2-7, and unattended-upgrades installs it by itself"
    assert "apt-get install --only-upgrade libpython3.11 && systemctl restart apache2" in fix
    apt.policy = POLICY.format("python3", "3.11.2-1+b1", "3.13.5-1") + POLICY.format("apache2", "(none)", "2")
    ((_, wrong, _),) = told(upgrades.of_host())
    assert wrong.startswith("python3 3.11.2-1+b1 is installed, and apt would install 3.13.5-1")


def test_what_apache_still_runs(apt: Apt) -> None:
    apt.dpkg = ""
    apt.maps = (
        "7f r-xp 0 08:01 9 /usr/lib/libpython3.11.so.1.0 (deleted)\n7f r-xp 0 08:01 9 /usr/lib/libssl.so (deleted)"
    )
    ((_, wrong, fix),) = told(upgrades.of_host())
    assert wrong == "Apache runs /usr/lib/libpython3.11.so.1.0, which is on disk no more"
    assert fix == "systemctl restart apache2"


def test_apt_that_takes_long_tells_nothing(apt: Apt, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("apt-cache", 1)

    monkeypatch.setattr(subprocess, "run", late)
    assert apt.dpkg
    assert upgrades.candidates(["python3"]) == {}


# --- Pools -----------------------------------------------------------------------------------------------------------

BEGAN, NOW = 1000.0, 9000.0


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[DaemonProcess]:
    """Return the processes of the app, which fill both pools."""
    found = [DaemonProcess(100 + n, slot, BEGAN) for n, slot in enumerate(("blue", "blue", "green", "green"))]
    monkeypatch.setattr(server, "pid", lambda: 7)
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: NOW)
    monkeypatch.setattr(daemons, "daemon_processes", lambda _app: found)
    monkeypatch.setattr(daemons, "is_outdated", lambda _app, process: process.pid == 666)
    monkeypatch.setattr(condition, "since", lambda _app, _slot: BEGAN)
    monkeypatch.setattr(condition, "share", lambda _app, slot: 100 if slot == "blue" else 0)
    monkeypatch.setattr(routing, "slot_release", lambda _app, _slot: "r1")
    return found


def test_pools(processes: list[DaemonProcess], monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(pools.of_app(shop())) == []
    processes[:2] = [DaemonProcess(8, "blue", NOW - 5), DaemonProcess(9, "blue", NOW - 50)]
    ((_, wrong, fix),) = told(pools.of_app(shop()))
    assert wrong == "all 2 processes of the blue pool were started again within the last minute"
    assert fix == "flask-apachectl --app shop logs --error"
    processes[:2] = [DaemonProcess(8, "blue", BEGAN), DaemonProcess(666, "blue", BEGAN)]
    ((_, wrong, fix),) = told(pools.of_app(shop()))
    assert (wrong, fix) == ("processes of the blue pool still run the release before: 666", "kill -USR1 666")
    processes[:] = [DaemonProcess(8, "blue", BEGAN), DaemonProcess(9, "blue", BEGAN)]
    assert [each[1] for each in told(pools.of_app(shop()))] == ["the green pool has no processes"]
    assert told(pools.of_app(shop(idle_pool="stopped"))) == []
    monkeypatch.setattr(server, "pid", lambda: None)
    assert told(pools.of_app(shop())) == []


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ("NRestarts=2\nMainPID=7", ["2 times"]),
        ("NRestarts=0\nMainPID=0", ["runs as process 7"]),
        ("MainPID=7", []),
        ("", []),
    ],
)
def test_apache_that_came_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, found: list[str]) -> None:
    monkeypatch.setattr(server, "pid", lambda: 7)
    monkeypatch.setattr(paths, "SYSTEMD", tmp_path)
    monkeypatch.setattr(facts, "output", lambda *_command: says)
    wrong = [each[1] for each in told(pools.of_host())]
    assert len(wrong) == len(found)
    assert all(text in each for text, each in zip(found, wrong, strict=True))
