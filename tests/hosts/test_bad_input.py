"""Bad input gets one clear error, and nothing on the host is changed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.commands import ROOT
from tests.support.playbooks import apply_role, play

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.hosts import FileState, Host

STATE = ("/etc", "/srv", "/usr/local", "/var/lib/flask-apache", "/var/cache/flask-apache", "/var/www")
GOOD = {
    "flask_apache_app": "good",
    "flask_apache_source": str(ROOT / "sample_app"),
    "flask_apache_wsgi": "flask_apache_sample:create_app()",
    "flask_apache_health_path": "/healthz",
    "flask_apache_server_name": "good.example.com",
}
FOREIGN_SITE = """
Listen 8090
<VirtualHost *:80 *:8090>
    ServerName somebody.example.com
    DocumentRoot /var/www/html
</VirtualHost>
"""


class Case(NamedTuple):
    """One bad input: the variables that differ from good ones, and what the error must say."""

    variables: Mapping[str, Any]
    says: tuple[str, ...]


def case(says: str | tuple[str, ...], **variables: object) -> Case:
    """Return a case; the variables without their prefix."""
    full = {name if name.startswith("_") else f"flask_apache_{name}": value for name, value in variables.items()}
    return Case(full, (says,) if isinstance(says, str) else says)


CASES = {
    "a port that is a word": case(("flask_apache_port", "eighty"), port="eighty"),
    "a port beyond the last": case("flask_apache_port: 70000 is out of range; write 1 to 65535", port=70000),
    "a port of another program": case(("flask_apache_port: 8099 is held by python3", "another port"), port=8099),
    "a server name with a space": case("flask_apache_server_name: 'my site' is no host name", server_name="my site"),
    "a directive in a server name": case(
        "flask_apache_server_name: 'x\\nAlias /x /etc' holds a control character", server_name="x\nAlias /x /etc"
    ),
    "a quote in an alias": case("flask_apache_server_aliases: 'a\"b' holds a quote", server_aliases=['a"b']),
    "an alias that is an address": case("flask_apache_server_aliases", server_aliases=["http://example.com/"]),
    "a path for a name": case("flask_apache_app: '../etc' is not valid; write a lower-case", app="../etc"),
    "a capital in the name": case("flask_apache_app: 'Shop' is not valid", app="Shop"),
    "root as the user": case("flask_apache_user: 'root' is a user of the system", user="root"),
    "Apache's user as the user": case("flask_apache_user: 'www-data' is a user of the system", user="www-data"),
    "another app's user": case("flask_apache_user: 'good' is the user of the app good", app="other", user="good"),
    "another app's mount": case("flask_apache_mount: '/' is the mount of the app good", app="other"),
    "another app's mount by an alias": case(
        "would share good.example.com with the app good",
        app="other",
        server_name="b.example.com",
        server_aliases=["GOOD.example.com"],
    ),
    "a mount without its slash": case("flask_apache_mount: 'shop' is not valid; write / or a path", mount="shop"),
    "a mount with a slash too many": case("flask_apache_mount: '/shop/' is not valid", mount="/shop/"),
    "a mount that climbs": case("flask_apache_mount: '/a/../b' is not valid", mount="/a/../b"),
    "a variable of Apache in a mount": case("flask_apache_mount: '/${HOME}'", mount="/${HOME}"),
    "static files outside": case(
        "flask_apache_static: '../x' is not valid as path", static=[{"url": "/static", "path": "../x"}]
    ),
    "a module without a callable": case("flask_apache_wsgi: 'app' is not valid; write module:callable", wsgi="app"),
    "code in a factory's arguments": case("with literal arguments", wsgi="app:create(__import__('os').getcwd())"),
    "a source that is not there": case("flask_apache_source: '/nowhere' is no directory", source="/nowhere"),
    "a relative source": case("flask_apache_source: 'sample_app' is no directory", source="sample_app"),
    "a missing requirements file": case("flask_apache_requirements: 'prod.txt' is not in", requirements=["prod.txt"]),
    "a requirements file outside": case("flask_apache_requirements: '../x' is not valid", requirements=["../x"]),
    "a missing constraints file": case("flask_apache_constraints: 'limits.txt' is not in", constraints=["limits.txt"]),
    "an extra that is none": case("flask_apache_extras: '[pg]' is not valid; write names", extras=["[pg]"]),
    "credentials in an argument": case(
        "flask_apache_pip_args: an address in it holds credentials",
        pip_args=["--index-url=https://user:secret@pypi.example.com/simple"],
    ),
    "an index that is none": case("flask_apache_index_url: an address in it is not valid", index_url="pypi"),
    "a user without a password": case("lacks the user or the password", extra_index_urls=["https://token@example.com"]),
    "an empty wheelhouse": case("flask_apache_wheelhouse: '/usr' has no wheels", wheelhouse="/usr"),
    "an unknown installer": case(("flask_apache_installer", "pip, uv"), installer="conda"),
    "a version of uv that is none": case("flask_apache_uv_version: 'latest' is not valid", uv_version="latest"),
    "a package with a version": case("flask_apache_system_packages: 'a=1' is not valid", system_packages=["a=1"]),
    "a repository over http": case("is no repository; write https://", source_type="git", source="http://h/x.git"),
    "a repository by ssh without host keys": case(
        "flask_apache_git_known_hosts: [] holds no key of h; write what `ssh-keyscan h` prints",
        source_type="git",
        source="git@h:x.git",
    ),
    "a repository that is not there": case(
        "ssh://****@127.0.0.1:9/x cannot be fetched: it cannot be reached",
        source_type="git",
        source="ssh://git@127.0.0.1:9/x",
        git_known_hosts=["[127.0.0.1]:9 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJ0"],
    ),
    "an archive without a checksum": case("is needed for an archive", source_type="archive", source="https://h/x"),
    "an archive with another checksum": case(
        "has the checksum sha256:",
        source_type="archive",
        source=str(ROOT / "LICENSE"),
        archive_checksum=f"sha256:{'0' * 64}",
    ),
    "a package without a version": case("is no package; write name==version", source_type="package", source="shop"),
    "an interpreter that is not there": case("flask_apache_python: '/opt/py' does not run", python="/opt/py"),
    "an interpreter of another version": case("the distribution's mod_wsgi is of 3.1", python="/opt/other-python"),
    "an unknown variable": case("flask_apache_prot: no such variable; did you mean flask_apache_port?", prot=8080),
    "an unknown source of mod_wsgi": case(("flask_apache_mod_wsgi_source", "package, pip"), mod_wsgi_source="apt"),
    "a version that is none": case("flask_apache_mod_wsgi_version: 'latest' is not valid", mod_wsgi_version="latest"),
    "no releases kept": case("flask_apache_keep_releases: 0 is out of range", keep_releases=0),
    "a status that is none": case("flask_apache_health_status: 42 is no HTTP status", health_status=[42]),
    "a health path without its slash": case("flask_apache_health_path: 'healthz' is not", health_path="healthz"),
    "a umask in decimal": case("flask_apache_daemon_umask: 18 is no string", daemon_umask=18),
    "an ASCII locale": case("flask_apache_daemon_lang: 'C' is not valid; write a UTF-8 locale", daemon_lang="C"),
    "no processes": case("flask_apache_daemon_processes: 0 is out of range", daemon_processes=0),
    "memory in megabytes": case("flask_apache_daemon_memory_limit: 512 is out of range", daemon_memory_limit=512),
    "a tiny buffer": case("flask_apache_daemon_header_buffer_size: 100", daemon_header_buffer_size=100),
    "a hyphen in an environment variable": case("'MY-KEY' is no name of", environment={"MY-KEY": "x"}),
    "a mapping in the environment": case("'A' has a dict for a value", environment={"A": {"b": "c"}}),
    "the role's own environment": case("'FLASK_APACHE_X' is set by the role", environment={"FLASK_APACHE_X": "1"}),
    "data outside": case("flask_apache_data_directories: '../etc' is not valid", data_directories=["../etc"]),
    "a hook of no point": case(("hooks", "before_start"), hooks=[{"at": "sometime", "run": "flask db upgrade"}]),
    "an unclosed quote in a hook": case("is no command", hooks=[{"at": "before_start", "run": "echo 'a"}]),
    "a ready path that is taken": case("is flask_apache_health_path, too", ready_path="/healthz"),
    "a certificate that is none": case("is no PEM certificate", ca_certificates=[str(ROOT / "LICENSE")]),
    "a relative log": case("flask_apache_error_log: 'error.log' is not valid", error_log="error.log"),
    "somebody else's server name": case(
        ("flask_apache_server_name: 'somebody.example.com' is already served by", "somebody.conf"),
        server_name="somebody.example.com",
    ),
    "default server before somebody's site": case("would take requests away from", default_server=True),
    "an unsupported distribution": case(
        "is not supported; use one of Debian 7", __flask_apache_distributions={"Debian": {"7": "3"}}
    ),
    "a hyphen in a worker's name": case(
        "flask_apache_workers: 'a-b' is not valid; write a lower-case letter", workers=[{"name": "a-b", "command": "x"}]
    ),
    "a worker without a command": case(("flask_apache_workers", "command"), workers=[{"name": "a"}]),
    "a calendar that systemd cannot read": case(
        "flask_apache_timers: 'whenever' is not what systemd reads",
        timers=[{"name": "a", "command": "x", "calendar": "whenever"}],
    ),
    "three at once": case(
        ("flask_apache_mount: 'x'", "flask_apache_daemon_threads: 0", "flask_apache_tiemout: no such variable"),
        mount="x",
        daemon_threads=0,
        tiemout=3,
    ),
}


ONE_LINE = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_CALLBACK_FORMAT_PRETTY": "false"}
REPORT = re.compile(r"(?ms)^TASK \[report (\d+)\][ *]+$(.*?)\n\n")
ANSWER = re.compile(r"(?m)^ok: \[(.*?)\] => (\{.*\})$")


class Outcome(NamedTuple):
    """What bad inputs did on one host."""

    errors: dict[str, dict[str, Any]]
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


@pytest.fixture(scope="module")
def outcomes(hosts: list[Host]) -> dict[str, Outcome]:
    """Give every bad input to the role in one play, and compare the hosts before and after."""
    before = {host.name: (host.snapshot(STATE), host.pid_of_apache()) for host in hosts}
    tasks = [task for number, bad in enumerate(CASES.values()) for task in tasks_for(bad, number)]
    playbook = [{"hosts": "flask_apache", "become": True, "gather_facts": False, "tasks": tasks}]
    done = play(hosts, playbook, env=ONE_LINE, timeout=1800)
    said = {
        (name, int(number)): json.loads(json.loads(answer)["msg"])
        for number, text in REPORT.findall(done.stdout)
        for name, answer in ANSWER.findall(text)
    }
    found = {}
    for host in hosts:
        errors = {name: said[host.name, number] for number, name in enumerate(CASES)}
        state, pid = before[host.name]
        found[host.distribution] = Outcome(errors, state, host.snapshot(STATE), (pid, host.pid_of_apache()))
    return found


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
    result = outcomes[distribution].errors[name]
    message = "\n".join([*result.get("argument_errors", []), result["msg"]])
    for text in CASES[name].says:
        assert text in message


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
        assert "does not run as root there; set become: true" in result.output
        assert {path: state for path, state in host.snapshot(STATE).items() if path in before} == before
