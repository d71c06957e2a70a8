"""Apache's configuration: one that would stop Apache is refused, and a reload loses no request."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from tests.hosts.faults.shared import NAME, asked, variables
from tests.support.load import Client, visitors
from tests.support.playbooks import apply_role, play
from tests.support.releases import reloads

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.hosts import Host

PAIR = "/etc/ssl/pair"
TLS = ["SSLEngine on", f"SSLCertificateFile {PAIR}.pem", f"SSLCertificateKeyFile {PAIR}.key"]
DEADLY = {  # each passes `apache2ctl configtest`, but stops Apache at its next start or reload
    "a key of another certificate": ([*TLS[:2], f"SSLCertificateKeyFile {PAIR}-other.key"], "do not match"),
    "a garbage certificate": ([TLS[0], "SSLCertificateFile /etc/ssl/garbage.pem", TLS[2]], "garbage.pem"),
    "a cipher string": ([*TLS, "SSLCipherSuite NO-SUCH-CIPHER"], "cipher"),
    "a TLS group": ([*TLS, "SSLOpenSSLConfCmd Groups no-such-group"], "no-such-group"),
}
BUSY = 8099
SLOW_LOGGER = """
mv /usr/bin/rotatelogs /usr/bin/rotatelogs.real
printf '#!/bin/sh\\nsleep 1\\nexec rotatelogs.real "$@"\\n' >/usr/bin/rotatelogs
chmod 0755 /usr/bin/rotatelogs
"""


@pytest.fixture(scope="module")
def refusals(hosts: list[Host], source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Run the role with every configuration that would stop Apache, in one play; return each host's message.

    Apache ends the programs of its logs before they have read anything, as it may on a busy host.
    """
    reports = tmp_path_factory.mktemp("refusals")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=faults -keyout {0}.key -out {0}.pem"
    for host in hosts:
        host.run(f"{make.format(PAIR)} && {make.format(PAIR + '-other')} && echo garbage >/etc/ssl/garbage.pem")
        host.run(f"systemd-run --quiet --unit=busy python3 -m http.server --bind 127.0.0.1 {BUSY}")
        host.run(SLOW_LOGGER)
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
    try:
        with asked(hosts):
            play(hosts, [{"hosts": "flask_apache", "become": True, "gather_facts": False, "tasks": tasks}])
    finally:
        for host in hosts:
            host.run("mv /usr/bin/rotatelogs.real /usr/bin/rotatelogs")
    return {path.name: path.read_text() for path in reports.iterdir()}


def test_a_configuration_that_would_end_apache_is_refused(hosts: list[Host], refusals: dict[str, str]) -> None:
    """The message says why, nothing is installed, and Apache keeps its configuration."""
    for host in hosts:
        for name, (lines, why) in DEADLY.items():
            said = refusals[f"{name} {host.name}"]
            assert why in said
            assert "None of it has been installed. Still serving" in said
            assert lines[-1] not in host.run("cat /etc/flask-apache/vhosts/*/*").stdout
        assert (
            f"flask_apache_port must be a port that no other program uses, got {BUSY}; python3"
            in refusals[f"a busy port {host.name}"]
        )
        host.run("apache2ctl configtest")


@pytest.mark.parametrize("name", DEADLY)
def test_configtest_would_have_passed_it(hosts: list[Host], refusals: dict[str, str], name: str) -> None:
    """Only then does a refusal prove that starting a second Apache finds more than configtest."""
    assert refusals
    lines = "\n".join(DEADLY[name][0])
    for host in hosts:
        host.write("/tmp/test.conf", f"<VirtualHost *:80>\nServerName test.example.com\n{lines}\n</VirtualHost>\n")
        host.run("apache2ctl -t -c 'Include /tmp/test.conf'")


def test_requests_outlive_the_one_reload_of_a_new_configuration(hosts: list[Host], source: Path) -> None:
    """All requests of less than 3 seconds are answered, whether they began before the reload or during it."""
    before = [reloads(host) for host in hosts]
    clients = [Client("single", 6, 0.1, "/slow?seconds=0"), Client("running", 6, 0.5, "/slow?seconds=2.5")]
    with contextlib.ExitStack() as stack:
        crowds = [stack.enter_context(visitors(host.ip, NAME, clients)) for host in hosts]
        time.sleep(3)
        apply_role(hosts, variables(source, daemon_threads=7))
        time.sleep(1)
    for host, crowd, count in zip(hosts, crowds, before, strict=True):
        print(f"{host.distribution}: {len(crowd.failed())} of {len(crowd.answers)} requests failed")
        assert crowd.failed_beside_a_reload(host) == []
        assert len(crowd.answers) > 100
        assert reloads(host) == count + 1
