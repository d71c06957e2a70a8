"""Each supported version of mod_wsgi, with every option that it takes."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.hosts.side_by_side.shared import DISTRIBUTIONS, NAME, PORT, Variables, ask, pids, roles, until, write_app
from tests.support.commands import ROOT
from tests.support.parallel import each
from tests.support.steps import Run, StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host

EVERY_OPTION: Variables = {
    f"flask_apache_daemon_{name}": value
    for name, value in {
        "processes": 2,
        "threads": 3,
        "umask": "0022",
        "lang": "en_US.UTF-8",
        "locale": "C.UTF-8",
        "connect_timeout": 10,
        "deadlock_timeout": 61,
        "eviction_timeout": 31,
        "graceful_timeout": 16,
        "inactivity_timeout": 3600,
        "interrupt_timeout": 20,
        "queue_timeout": 46,
        "request_timeout": 59,
        "shutdown_timeout": 4,
        "socket_timeout": 58,
        "startup_timeout": 14,
        "maximum_requests": 100000,
        "restart_interval": 86400,
        "memory_limit": 1 << 30,
        "virtual_memory_limit": 1 << 33,
        "stack_size": 1 << 20,
        "cpu_time_limit": 3600,
        "cpu_priority": 5,
        "switch_interval": 0.01,
        "listen_backlog": 50,
        "header_buffer_size": 65536,
        "receive_buffer_size": 65536,
        "response_buffer_size": 131072,
        "response_flush_delay": 10,
        "response_socket_timeout": 30,
        "send_buffer_size": 65536,
        "server_metrics": True,
        "supplementary_groups": ["adm", "www-data"],
    }.items()
}
PACKAGED = {"debian-12-hot": "4.9.4", "debian-13-hot": "5.0.2"}
BUILT = "6.1.1"
# Of the other supported distributions, Ubuntu 22.04 and 24.04: tried on Debian 12, for Debian 13's Python is too new.
OTHERS = ("4.9.0", "5.0.0")
SINCE_6 = ("interrupt-timeout=20", "switch-interval=0.01", "response-flush-delay=10", "WSGISlowRequests 2")


# Version 4.9.0 reads what Python 3.10 shows of a stack; these are the names under which later Pythons show it.
PORT_4_9_0 = r"""
set -eu
cd "$(mktemp -d -p /var/tmp)"
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1
python3 -m venv venv
venv/bin/python -m pip download --quiet --no-binary :all: --no-deps mod_wsgi==4.9.0
tar -xf mod_wsgi-4.9.0.tar.gz
sed -i 's/current->f_code/PyFrame_GetCode(current)/; s/current->f_lasti/PyFrame_GetLasti(current)/
  s/current->f_back/PyFrame_GetBack(current)/; s/current->f_lineno/PyFrame_GetLineNumber(current)/
  s/current->f_trace/0/' mod_wsgi-4.9.0/src/server/mod_wsgi.c
venv/bin/python -m pip install --quiet --no-cache-dir ./mod_wsgi-4.9.0
cp venv/lib/python3.11/site-packages/mod_wsgi/server/mod_wsgi-*.so \
  /usr/local/lib/flask-apache/mod_wsgi-4.9.0-python3.11.so
rm -r "$PWD"
"""


def test_the_mod_wsgi_of_every_supported_distribution_is_tried() -> None:
    constants = yaml.safe_load((ROOT / "roles/flask_apache/vars/main.yml").read_text())
    versions = constants["__flask_apache_distributions"].values()
    assert {str(version) for each in versions for version in each.values()} == {*PACKAGED.values(), *OTHERS}


def test_mod_wsgi_may_be_switched_and_takes_every_option(
    start_host: Callable[..., Host], own: Variables, tmp_path: Path
) -> None:
    """Each supported version takes a whole cycle of a release."""
    hosts = each(DISTRIBUTIONS, start_host)
    documented = (ROOT / "roles/flask_apache/defaults/main.yml").read_text()
    assert set(re.findall(r"(?m)^flask_apache_daemon_\w+", documented)) == set(EVERY_OPTION)
    variables = {**own, **EVERY_OPTION, "flask_apache_mod_wsgi_slow_requests": 2}
    built = {**variables, "flask_apache_mod_wsgi_source": "pip", "flask_apache_mount": "/elsewhere"}
    for host in hosts:
        assert host.exists("/etc/apache2/mods-enabled/wsgi.load"), "this begins with the distribution's module"

    roles(hosts, built)
    for host in hosts:
        assert_serves(host, "/elsewhere/", BUILT, newer=True)
        modules = host.run(
            "grep -o '/[^ ]*mod_wsgi.*[.]so' /proc/$(cat /run/apache2/apache2.pid)/maps | sort -u"
        ).stdout
        assert re.fullmatch(rf"/usr/local/lib/flask-apache/mod_wsgi-{BUILT}-python3\.\d+\.so\n", modules)
        assert not host.run("find /var/tmp /root -name 'mod_wsgi*'").stdout
        host.run("for program in /usr/bin/*gcc* /usr/bin/apxs; do mv $program $program.away; done")
    assert roles(hosts, built).changed_tasks == []
    for host in hosts:
        host.run("systemctl restart apache2")
        until(partial(answers, host, "/elsewhere/"), "it serves without a compiler")
        assert_serves(host, "/elsewhere/", BUILT, newer=True)
        host.run("for program in /usr/bin/*.away; do mv $program ${program%.away}; done")
    each(hosts, partial(cycle, variables=built, version=BUILT, directory=tmp_path))
    roles(hosts, variables)
    for host in hosts:
        assert_serves(host, "/", PACKAGED[host.distribution], newer=False)
        assert host.http("/elsewhere/", NAME, port=PORT).body == b"own page not found"
    each(hosts, lambda host: cycle(host, variables, PACKAGED[host.distribution], tmp_path))
    hosts[0].run(PORT_4_9_0)
    for version in OTHERS:
        chosen = {**variables, "flask_apache_mod_wsgi_source": "pip", "flask_apache_mod_wsgi_version": version}
        roles(hosts[:1], chosen)
        assert_serves(hosts[0], "/", version, newer=False)
        cycle(hosts[0], chosen, version, tmp_path)


def cycle(host: Host, variables: Variables, version: str, directory: Path) -> None:
    """Deploy, be refused, roll back, and go forward again by a canary; at the end the first release serves."""
    source = directory / f"{host.name}-{version}"
    source.mkdir()
    here = {name.removeprefix("flask_apache_"): value for name, value in variables.items()} | {"source": str(source)}
    path = f"{here.get('mount', '/').rstrip('/')}/"

    def serves(release: str) -> None:
        facts = ask(host, path)
        assert (facts["version"], facts["mod_wsgi"]) == (release, version)

    def apachectl(*words: str) -> None:
        host.run(["flask-apachectl", "--app", "own", *words])

    first = ask(host, path)["version"]
    write_app(source, version)
    second = Run(host, here).deploy()["release"]
    serves(version)
    (source / "app.py").write_text("raise RuntimeError('a broken release')\n")
    with pytest.raises(StepError, match="a broken release"):
        Run(host, here).deploy()
    serves(version)
    apachectl("rollback")
    serves(first)
    apachectl("canary", "50", second)
    apachectl("promote")
    serves(version)
    apachectl("rollback")
    serves(first)


def answers(host: Host, path: str) -> bool:
    """Return whether the app answers."""
    return host.http(path, NAME, port=PORT).status == 200


def assert_serves(host: Host, path: str, version: str, *, newer: bool) -> None:
    """Check that a version of mod_wsgi serves the app, with the options that this version has."""
    assert ask(host, path)["mod_wsgi"] == version
    configuration = host.run(
        "cat /etc/flask-apache/vhosts/*/*.conf /etc/apache2/conf-enabled/flask-apache*.conf"
    ).stdout
    assert [option in configuration for option in SINCE_6] == [newer] * len(SINCE_6)
    assert "stack-size=1048576" in configuration
    nice, groups = host.run(f"ps -o ni=,supgrp= -p {pids(host, 'own')['blue'][0]}").stdout.split()
    assert nice == "5"
    assert {"adm", "www-data"} <= set(groups.split(","))
