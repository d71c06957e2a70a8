"""A newcomer's machine: the repository in a bare container, and `./deploy`."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.support import archives, hosts
from tests.support.commands import ROOT
from tests.support.parallel import each
from tests.support.playbooks import Play, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.hosts import Host

DISTRIBUTIONS = ("debian-12", "debian-13")
DECLARED = ["/etc/apache2", "/etc/flask-apache", "/srv/flask-apache", "/var/lib/flask-apache", "/usr/local/bin"]
INSIDE = """
import urllib.request
print(urllib.request.urlopen("http://localhost/flask-apache/").status)
"""
ELSEWHERE = """
flask_apache:
  hosts:
    web1.example.com:
    web2.example.com:
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the repository as a tar archive."""
    archive = tmp_path_factory.mktemp("tree") / "tree.tar"
    archives.pack_tree(archive)
    return archive


def unpack(tree: Path, host: Host, user: str, home: str) -> None:
    """Give a user the repository in ``~/project``."""
    host.run(["mkdir", f"{home}/project"], user=user)
    host.run(["tar", "-x", f"--directory={home}/project"], user=user, stdin=tree.read_bytes())


def deploy(host: Host, arguments: str = "", *, user: str, directory: str = "project", check: bool = True) -> Play:
    """Type `./deploy` in ``~/project``."""
    command = f"[ ! -f ~/.profile ] || . ~/.profile; cd ~/{directory} && ./deploy {arguments}"
    return read(host.run(command, user=user, check=check))


def assert_ends_well(play: Play) -> None:
    """Expect the last lines to say what a person wants to know: URL, release, changes, commands, seconds."""
    end = play.stdout[play.stdout.rindex("\nlocalhost: http") :].strip()
    url, changes = end.partition("\n\n")[0].split("\n", 1)
    assert re.fullmatch(r"localhost: http://localhost/flask-apache/ serves [0-9a-f]{12}-[0-9a-f]{6}", url), end
    assert re.fullmatch(r"localhost: (changed: .+|nothing changed)", " ".join(changes.split()))
    then, *lines = end.partition("\n\n")[2].splitlines()
    assert then == "On the host, as root:"
    commands = [line.split()[:4] for line in lines[:3]]
    assert commands == [["flask-apachectl", "--app", "flask-apache", name] for name in ("status", "rollback", "logs")]
    assert re.fullmatch(r"Done in \d+ s\.", lines[-1])


def assert_is_readable(play: Play, most: int) -> None:
    """Expect a line for each step that did something, with its time, and no more lines than a person reads."""
    lines = play.stdout.splitlines()
    assert len(lines) <= most, play.stdout
    assert not re.search("skipping|TASK|PLAY RECAP|flask_apache :", play.stdout)
    assert re.search(r"(?m)^ +\d+\.\d s  Inspect the host and check the variables$", play.stdout)


def changed_nothing(play: Play) -> bool:
    """Tell whether a run says that nothing changed, or would change."""
    return bool(re.search(r"(?m)^localhost: nothing (would )?change", play.stdout))


def assert_answers(host: Host) -> None:
    """Expect the sample app to answer from inside by its URL, and from outside by the machine's address."""
    assert host.run(["python3", "-c", INSIDE]).stdout.strip() == "200"
    front_page = host.http("/flask-apache/")
    assert front_page.status == 200
    assert front_page.headers.get_content_type() == "text/html"


def newest_ansible() -> str:
    """Return the version of ansible-core that requirements.txt has for the newest Pythons."""
    (version,) = re.findall(
        r'(?m)^ansible-core==(\S+); python_version >= "3\.12"', (ROOT / "requirements.txt").read_text()
    )
    return str(version)


@pytest.fixture(scope="module")
def machines(start_host: Callable[..., Host], tree: Path) -> list[Host]:
    """Return machines on which ann, who may sudo, has unpacked the repository."""
    found = each(DISTRIBUTIONS, start_host)
    for host in found:
        host.run("useradd --create-home --shell /bin/bash ann")
        host.write("/etc/sudoers.d/ann", "ann ALL=(ALL) NOPASSWD: ALL\n", 0o440)
        unpack(tree, host, "ann", "/home/ann")
    return found


def test_a_check_shows_the_plan_and_leaves_nothing(machines: list[Host]) -> None:
    def check(host: Host) -> None:
        assert host.run("python3 -c 'import ensurepip'", check=False).returncode != 0, "python3-venv is there already"
        if host is machines[-1]:  # Ansible's module for packages would install it, in check mode, too
            host.run("dpkg --purge python3-apt")
        packages = host.run("dpkg --get-selections python3-apt 'apache2*'").stdout
        before = host.snapshot(DECLARED)
        play = deploy(host, "--check --diff", user="ann")
        assert "localhost: would change: " in play.stdout
        assert re.search(r"\+ /etc/flask-apache/flask-apache/app.json  \(\d+ lines\)", play.stdout)
        assert_is_readable(play, most=120)
        usual = deploy(host, "--check --diff -v", user="ann")
        assert usual.recap["localhost"].changed > 0
        assert "WSGIDaemonProcess flask-apache-blue" in usual.stdout
        assert "would be the first release of flask-apache" in play.stdout
        assert host.snapshot(DECLARED) == before
        assert host.run("dpkg --get-selections python3-apt 'apache2*'").stdout == packages
        assert not host.exists("/etc/apache2")
        assert host.run(["id", "flask-apache"], check=False).returncode != 0

    each(machines, check)


def test_the_newest_ansible_for_the_machines_python_is_used(machines: list[Host]) -> None:
    twelve, thirteen = (host.run(["/home/ann/project/.venv/bin/ansible", "--version"]).stdout for host in machines)
    assert twelve.startswith("ansible [core 2.19.")
    assert thirteen.startswith(f"ansible [core {newest_ansible()}]")


def test_a_deploy_ends_with_the_address_the_release_and_the_seconds(machines: list[Host]) -> None:
    def first(host: Host) -> None:
        for path in ("/home/ann/.ansible.cfg", "/home/ann/own.cfg"):
            host.write(path, "[defaults]\nstdout_callback = minimal\nroles_path = /nowhere\ninventory = /nowhere\n")
        host.write("/home/ann/.profile", "export ANSIBLE_CONFIG=/home/ann/own.cfg ANSIBLE_STDOUT_CALLBACK=minimal\n")
        play = deploy(host, user="ann")
        assert_ends_well(play)
        assert_is_readable(play, most=40)
        assert_answers(host)
        assert host.run("systemctl is-enabled apache2").stdout.strip() == "enabled"

    each(machines, first)


def test_another_deploy_changes_nothing_even_from_a_moved_directory(machines: list[Host]) -> None:
    def again(host: Host) -> None:
        pid = host.pid_of_apache()
        host.run("mv ~/project ~/moved", user="ann")
        second = deploy(host, user="ann", directory="moved")
        assert_ends_well(second)
        assert changed_nothing(second)
        check = deploy(host, "--check --diff", user="ann", directory="moved")
        assert changed_nothing(check)
        assert host.pid_of_apache() == pid

    each(machines, again)


def test_arguments_go_on_to_ansible(machines: list[Host]) -> None:
    def arguments(host: Host) -> None:
        host.write("/home/ann/elsewhere.yml", ELSEWHERE)
        listed = deploy(host, "-i ~/elsewhere.yml --limit web2.example.com --list-hosts", user="ann", directory="moved")
        assert "web2.example.com" in listed.stdout
        assert "web1.example.com" not in listed.stdout
        assert not re.search(r"(?m)^ +localhost$", listed.stdout)
        refused = deploy(host, "-e flask_apache_keep_releases=1", user="ann", directory="moved", check=False)
        assert refused.rc == 2
        assert "flask_apache_keep_releases" in refused.stdout
        assert "Done" not in refused.stdout

    each(machines, arguments)


def test_without_systemd_apache_is_started_by_its_init_script(start_host: Callable[..., Host], tree: Path) -> None:
    def path(distribution: str) -> None:
        host = start_host(f"{distribution}-hot", init=False)
        unpack(tree, host, "root", "/root")
        assert_ends_well(deploy(host, user="root"))
        assert_answers(host)
        host.run(["service", "apache2", "stop"])
        with pytest.raises(OSError):  # noqa: PT011 - that nothing answers has many names
            host.http("/flask-apache/")
        again = deploy(host, user="root")
        assert_answers(host)
        assert "localhost: changed: Start and enable Apache\n" in again.stdout

    each(DISTRIBUTIONS, path)


@pytest.fixture
def offline(image: Callable[[str], str], tree: Path) -> Iterator[Callable[[str], Host]]:
    """Return a function that starts a machine without a network, with the repository in /root/project."""
    started: list[Host] = []

    def start(name: str) -> Host:
        container = f"fa-offline-{uuid.uuid4().hex[:8]}"
        flags = [f"--name={container}", f"--label={hosts.OWNER_LABEL}={os.getpid()}", "--network=none", "--init"]
        subprocess.run(["docker", "run", "--detach", *flags, image(name), "sleep", "infinity"], check=True)
        host = hosts.attach(container, name)
        started.append(host)
        unpack(tree, host, "root", "/root")
        return host

    yield start
    for host in started:
        host.remove()


def test_without_a_network_one_line_says_what_is_missing(offline: Callable[[str], Host]) -> None:
    def fails(name: str) -> None:
        play = deploy(offline(name), user="root", check=False)
        assert play.rc == 1
        (line,) = play.stderr.strip().splitlines()
        assert re.match(r"deploy: \S+ cannot be installed: .*reachable\? \((E|ERROR): .*\)$", line), line
        assert ("ansible-core" if name.endswith("-hot") else "python3-venv") in line

    each([name + suffix for name in DISTRIBUTIONS for suffix in ("", "-hot")], fails)
