"""Apps from a repository over ssh, fetched here or on the host, from an archive, an index, and a wheel."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.parallel import each
from tests.support.playbooks import GROUP, Play, play

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.support.hosts import FileState, Host

DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
STATE = ("/etc/flask-apache", "/srv", "/usr/local")
APP = """
import json, lib
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({{"version": "{version}", "lib": lib.VERSION}}).encode()]
"""
PLAIN = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{text}']\n"
WITHOUT_A_USERS_OWN = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "PATH": "/usr/bin:/bin"}


class Repository(NamedTuple):
    """A repository on an ssh server, and the work tree and keys of the person who pushes to it."""

    url: str
    tree: Path
    key: Path
    ann: Path
    host_key: str

    def git(self, *arguments: str) -> str:
        """Run git as that person, without a configuration of the machine's."""
        ssh = f"ssh -F /dev/null -i {self.key} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR"
        ssh += " -o UserKnownHostsFile=/dev/null"
        who = ["-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "protocol.file.allow=always"]
        signing = ["-c", "gpg.format=ssh", "-c", f"user.signingkey={self.ann}"]
        environment = WITHOUT_A_USERS_OWN | {"GIT_SSH_COMMAND": ssh}
        command = ["git", *who, *signing, *arguments]
        done = subprocess.run(command, cwd=self.tree, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def push(self, version: str, *options: str) -> str:
        """Commit another version of the app and push it. Returns the commit."""
        (self.tree / "app.py").write_text(APP.format(version=version))
        self.git("add", ".")
        self.git("commit", "-q", "-m", version, *options)
        self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def app(self, name: str, **more: object) -> dict[str, Any]:
        """Return the variables of an app from it."""
        more = {"git_known_hosts": [self.host_key], "git_version": "main", "source": self.url, **more}
        return app(name, source_type="git", **more)


def app(name: str, **more: object) -> dict[str, Any]:
    """Return the variables of a tiny app."""
    own = {"app": name, "server_name": f"{name}.example.com", "daemon_processes": 1, "requirements": [], **more}
    return {f"flask_apache_{key}": value for key, value in own.items()}


def roles(hosts: list[Host], apps: Sequence[Mapping[str, Any]], *arguments: str) -> Play:
    """Deploy apps, one call of the role after the other in one play."""
    calls = [{"role": "flask_apache", "vars": dict(each_app)} for each_app in apps]
    plays = [{"hosts": GROUP, "become": True, "gather_facts": False, "roles": calls}]
    return play(hosts, plays, None, *arguments)


def ask(host: Host, name: str) -> str:
    """Return what an app answers a visitor."""
    return host.http("/", f"{name}.example.com").text


def state(host: Host) -> dict[str, FileState]:
    """Describe what a refused source must not touch; that a file came and went in incoming/ or locked is no harm."""
    found, ends = host.snapshot(STATE), ("/incoming", "/lock")
    return {path: entry._replace(mtime_ns=0) if path.endswith(ends) else entry for path, entry in found.items()}


def release(host: Host, name: str) -> str:
    """Return an app's live release."""
    status = host.run(["flask-apachectl", "--app", name, "--json", "status"], check=False).stdout
    return str(json.loads(status)["release"])


@pytest.fixture(scope="module")
def hosts(start_host: Callable[..., Host]) -> list[Host]:
    """Return a host of each distribution; the second is the ssh server, too."""
    return each(DISTRIBUTIONS, start_host)


@pytest.fixture(scope="module")
def repository(hosts: list[Host], tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Return a repository with a submodule on the second host's ssh server."""
    path, server = tmp_path_factory.mktemp("repository"), hosts[1]
    for name in ("deploy", "ann", "eve"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path / name], check=True)
    server.run(
        "apt-get install --yes --quiet --no-install-recommends openssh-server git && "
        "useradd --create-home --shell /bin/bash git && mkdir /home/git/.ssh && cd /home/git && "
        "cat >.ssh/authorized_keys && git init -q --bare -b main shop.git && git init -q --bare -b main lib.git && "
        "chown -R git: /home/git && systemctl restart ssh",
        stdin=(path / "deploy.pub").read_text(),
    )
    host_key = f"{server.ip} {' '.join(server.read('/etc/ssh/ssh_host_ed25519_key.pub').split()[:2])}"
    for name in ("lib", "shop"):
        (path / name).mkdir()
        url = f"git@{server.ip}:{name}.git"
        made = Repository(url, path / name, path / "deploy", path / "ann", host_key)
        made.git("init", "-q", "-b", "main")
        made.git("remote", "add", "origin", url)
        if name == "lib":
            (path / "lib/lib.py").write_text("VERSION = 1\n")
            made.git("add", ".")
            made.git("commit", "-q", "-m", "lib")
            made.git("push", "-q", "origin", "main")
    made.git("submodule", "--quiet", "add", "../lib.git", "library")
    (path / "shop/lib.py").symlink_to("library/lib.py")
    return made


@pytest.fixture(scope="module")
def apps(repository: Repository) -> list[dict[str, Any]]:
    """Return two apps from the repository: one fetched by the controller, one by the host."""
    return [
        repository.app("here", git_key=repository.key.read_text()),
        repository.app("there", git_key=str(repository.key), git_on="host"),
    ]


def test_a_branch_over_ssh(hosts: list[Host], repository: Repository, apps: list[dict[str, Any]]) -> None:
    """A check on a bare host; the first release; a new commit, which is signed."""
    commit = repository.push("1")
    planned = roles(hosts, apps, "--check", "--diff")
    assert re.search(rf"{commit[:12]}-[0-9a-f]{{6}} would be the first release of here", planned.stdout)
    assert not any(host.exists("/srv/flask-apache") for host in hosts)
    roles(hosts, apps)
    for host in hosts:
        assert json.loads(ask(host, "here")) == json.loads(ask(host, "there")) == {"version": "1", "lib": 1}
        assert release(host, "here").startswith(f"{commit[:12]}-")
        assert release(host, "there") == release(host, "here")

    signed = repository.push("2", "-S")
    signers = [f"ann@example.com {repository.ann.with_suffix('.pub').read_text().strip()}"]
    newer = roles(hosts, [{**variables, "flask_apache_git_signers": signers} for variables in apps])
    for host in hosts:
        assert json.loads(ask(host, "here"))["version"] == json.loads(ask(host, "there"))["version"] == "2"
        assert release(host, "there").startswith(f"{signed[:12]}-")
        assert newer.recap[host.name].changed == 5, newer.changed_tasks


def test_nothing_keeps_the_key(hosts: list[Host], repository: Repository) -> None:
    secret = repository.key.read_text().splitlines()[2]
    for host in hosts:
        host.run(["tee", "/run/secret"], stdin=secret)
        places = "/etc /srv /var/cache/flask-apache /var/lib/flask-apache /var/log /var/tmp /tmp /root"
        assert (
            host.run(f"grep -rlFf /run/secret {places}; journalctl | grep -F -f /run/secret", check=False).stdout == ""
        )
        assert host.run("find /tmp /var/cache/flask-apache -name 'flask-apache-*' -o -name 'work-*'").stdout == ""


def test_the_build_users_cache_stays_small(hosts: list[Host]) -> None:
    for host in hosts:
        left = host.run("find /var/cache/flask-apache/there /srv/flask-apache/there/incoming -type f -size +0")
        assert left.stdout == ""


def archive(*members: tuple[str, str]) -> bytes:
    """Return a tar.gz archive of members, by name and text; a text that begins with -> makes a link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in members:
            member = tarfile.TarInfo(name)
            if text.startswith("-> "):
                member.type, member.linkname = tarfile.SYMTYPE, text[3:]
            member.size = 0 if member.issym() else len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def wheel(path: Path) -> Path:
    """Write a wheel that holds an app."""
    info = "tiny_shop-1.0.dist-info"
    with zipfile.ZipFile(path / "tiny_shop-1.0-py3-none-any.whl", "w") as zipped:
        zipped.writestr("tiny_shop.py", PLAIN.format(text="from a wheel"))
        zipped.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-shop\nVersion: 1.0\n")
        zipped.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        zipped.writestr(f"{info}/RECORD", f"tiny_shop.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path / "tiny_shop-1.0-py3-none-any.whl"


def test_archive_package_and_wheel(hosts: list[Host], apps: list[dict[str, Any]], tmp_path: Path) -> None:
    """Each is deployed, and another run of these and of the apps from git changes nothing."""
    packed = archive(("shop-1.0/app.py", PLAIN.format(text="from an archive")))
    (tmp_path / "shop.tar.gz").write_bytes(packed)
    checksum = f"sha256:{hashlib.sha256(packed).hexdigest()}"
    three = [
        app("archived", source_type="archive", source=str(tmp_path / "shop.tar.gz"), archive_checksum=checksum),
        app(
            "packaged",
            source_type="package",
            source="bottle==0.13.4",
            wsgi="bottle:default_app()",
            health_status=[404],
            package_requirements=["itsdangerous==2.2.0"],
        ),
        app("wheeled", source_type="package", source=str(wheel(tmp_path)), wsgi="tiny_shop:app"),
    ]
    roles(hosts, three)
    for host in hosts:
        assert ask(host, "archived") == "from an archive"
        assert release(host, "archived").startswith(f"{checksum[7:19]}-")
        assert "Not found: &#039;/&#039;" in ask(host, "packaged")
        assert ask(host, "wheeled") == "from a wheel"
        host.run(
            [
                "ls",
                *(
                    f"/srv/flask-apache/packaged/blue/venv/lib/python3.{minor}/site-packages/itsdangerous"
                    for minor in ({"debian-12-hot": "11", "debian-13-hot": "13"}[host.distribution],)
                ),
            ]
        )
    again = roles(hosts, [*apps, *three])
    assert [again.recap[host.name].changed for host in hosts] == [0, 0], again.changed_tasks


def test_what_cannot_be_had_changes_nothing(hosts: list[Host], repository: Repository, tmp_path: Path) -> None:
    """One clear cause for each, and the host is as it was."""
    hostile = archive(("a", "-> /etc"), ("a/cron.d/x", "x"))
    (tmp_path / "hostile.tar.gz").write_bytes(hostile)
    other = f"{repository.host_key.rpartition(' ')[0]} {(repository.ann.with_name('eve.pub')).read_text().split()[1]}"
    eve = f"eve@example.com {repository.ann.with_name('eve.pub').read_text().strip()}"
    key = repository.key.read_text()
    cases = {
        "its host key is not in flask_apache_git_known_hosts": repository.app(
            "here", git_key=key, git_known_hosts=[other]
        ),
        "known_hosts: check that it is the right server": repository.app(
            "there", git_key=key, git_known_hosts=[other], git_on="host"
        ),
        "it does not accept flask_apache_git_key": repository.app("here", git_key=repository.ann.read_text()),
        "has no branch or tag mian (flask_apache_git_version): it has main": repository.app(
            "here", git_key=key, git_version="mian"
        ),
        "carries no valid signature of flask_apache_git_signers": repository.app(
            "here", git_key=key, git_signers=[eve]
        ),
        "whose path goes through a link": app(
            "here",
            source_type="archive",
            source=str(tmp_path / "hostile.tar.gz"),
            archive_checksum=f"sha256:{hashlib.sha256(hostile).hexdigest()}",
        ),
    }
    before = [state(host) for host in hosts]
    tasks = [
        {
            "block": [{"ansible.builtin.include_role": {"name": "flask_apache"}, "vars": variables}],
            "rescue": [{"ansible.builtin.debug": {"msg": "refused: {{ ansible_failed_result.msg }}"}}],
        }
        for variables in cases.values()
    ]
    output = play(hosts, [{"hosts": GROUP, "become": True, "gather_facts": False, "tasks": tasks}]).stdout
    for says in cases:
        assert " ".join(output.split()).count(says) >= len(hosts), f"{says}\n{output[-3000:]}"
    assert output.count("refused: ") == len(cases) * len(hosts)
    for host, was in zip(hosts, before, strict=True):
        assert state(host) == was
        assert json.loads(ask(host, "here"))["version"] == "2"
