"""Somebody's own apps on one host: where they answer, what they are given, and what may not go wrong silently."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.commands import ROOT
from tests.support.parallel import each
from tests.support.playbooks import GROUP, Play, apply_role, play

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.support.hosts import Host

Variables = dict[str, Any]

DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
SECONDS = 20
APP = """
import os, pwd, sys
from pathlib import Path
from flask import Flask, jsonify, request, url_for

app = Flask(__name__)

@app.get("/")
def front():
    return jsonify(
        version="{version}",
        script_name=request.environ["SCRIPT_NAME"],
        url=url_for("front"),
        external=url_for("front", _external=True),
        user=pwd.getpwuid(os.geteuid()).pw_name,
        app=os.environ["FLASK_APACHE_APP"],
        pool=os.environ["FLASK_APACHE_POOL"],
        prefix=sys.prefix,
        mod_wsgi=".".join(map(str, request.environ["mod_wsgi.version"])),
        process_group=request.environ["mod_wsgi.process_group"],
        application_group=request.environ["mod_wsgi.application_group"],
        encoding=sys.getfilesystemencoding(),
        authorization=request.headers.get("Authorization"),
    )

@app.errorhandler(404)
def not_found(error):
    return "own page not found", 404

@app.get("/crash")
def crash():
    raise RuntimeError("a mistake of " + os.environ["FLASK_APACHE_APP"])

@app.get("/environ")
def environ():
    return jsonify({name: value for name, value in os.environ.items() if name.startswith("OWN_")})

@app.post("/files/<name>")
def write(name):
    Path(os.environ["FLASK_APACHE_DATA"], name).write_text(name)
    return "written\\n"

@app.post("/length")
def length():
    return str(len(request.get_data()))
"""
ENVIRONMENT = {
    "OWN_QUOTES": "'single' \"double\" `back`",
    "OWN_LINES": "first\nsecond\n\ttabbed\r\n",
    "OWN_LETTERS": "Grüße, 日本語, 🐢",
    "OWN_SIGNS": "$HOME ${PATH} %{ENV:x} %s \\n \\ # ; && <>",
    "OWN_SPACES": "  around  ",
    "OWN_EMPTY": "",
    "OWN_NUMBER": "007",
    "OWN_TRUTH": "yes",
}
NAME, PORT = "own.example.com", 8080
SHARED = "one.example.com"


def write_app(directory: Path, version: str) -> None:
    """Write the single-file app of somebody."""
    (directory / "app.py").write_text(APP.replace("{version}", version))
    (directory / "requirements.txt").write_text("flask==3.1.3\n")


def roles(hosts: list[Host], *apps: Mapping[str, Any]) -> Play:
    """Deploy apps, one call of the role after the other in one play."""
    calls = [{"role": "flask_apache", "vars": dict(app)} for app in apps]
    return play(hosts, [{"hosts": GROUP, "become": True, "gather_facts": False, "roles": calls}])


def ask(host: Host, path: str, name: str = NAME, port: int = PORT, **more: Any) -> Any:  # noqa: ANN401
    """Return the JSON that an app answers with."""
    answer = host.http(path, name, port=port, **more)
    assert answer.status == 200, f"{host.name} {path}: {answer.status} {answer.text[:500]}"
    return answer.json()


def status(host: Host, app: str) -> dict[str, Any]:
    """Return what the engine says of an app."""
    found: dict[str, Any] = json.loads(host.run(["flask-apachectl", "--app", app, "--json", "status"]).stdout)
    return found


def pids(host: Host, app: str) -> dict[str, list[int]]:
    """Return the pids of an app's two pools."""
    return {slot: pool["pids"] for slot, pool in status(host, app)["pools"].items()}


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition. Raises AssertionError when it does not come."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if condition():
                return
        time.sleep(0.05)
    raise AssertionError(f"not within {SECONDS} s: {what}")


def own_answers(host: Host, path: str, name: str, port: int) -> bool:
    """Say whether the single-file app at / answers, be it with its own 404."""
    body = host.http(path, name, port=port).body
    return b"own page not found" in body or b"script_name" in body


def no_connection(host: Host, port: int) -> bool:
    """Say whether nothing listens on a port."""
    try:
        socket.create_connection((host.ip, port), timeout=SECONDS).close()
    except ConnectionRefusedError:
        return True
    return False


def accesses(host: Host, app: str) -> list[str]:
    """List the paths that visitors from outside asked for, as an app's access log has them."""
    log = host.run(["cat", f"/var/log/flask-apache/{app}/access.log"]).stdout
    return re.findall(r'"(?:GET|POST) (\S+) HTTP/1\.1" .* "-"$', log, re.MULTILINE)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the single-file app."""
    directory = tmp_path_factory.mktemp("own")
    write_app(directory, "1")
    return directory


@pytest.fixture(scope="module")
def sample() -> Variables:
    """Return the variables of the sample app."""
    return {
        "flask_apache_app": "flask-apache",
        "flask_apache_source": str(ROOT / "sample_app"),
        "flask_apache_wsgi": "flask_apache_sample:create_app()",
        "flask_apache_mount": "/flask-apache",
        "flask_apache_server_name": SHARED,
        "flask_apache_health_path": "/healthz",
    }


@pytest.fixture(scope="module")
def shop(source: Path) -> Variables:
    """Return the variables of an app at a nested mount, under the sample app's server name."""
    return {
        "flask_apache_app": "shop",
        "flask_apache_source": str(source),
        "flask_apache_mount": "/shop/eu",
        "flask_apache_server_name": SHARED,
    }


@pytest.fixture(scope="module")
def own(source: Path) -> Variables:
    """Return the variables of an app at the root of another server name and port."""
    return {
        "flask_apache_app": "own",
        "flask_apache_source": str(source),
        "flask_apache_server_name": NAME,
        "flask_apache_port": PORT,
        "flask_apache_environment": ENVIRONMENT,
        "flask_apache_request_body_limit": 1000,
    }


@pytest.fixture(scope="module")
def pair(start_host: Callable[..., Host], sample: Variables, shop: Variables, own: Variables) -> list[Host]:
    """Return a host of each distribution with the three apps."""
    hosts = each(DISTRIBUTIONS, start_host)
    roles(hosts, sample, shop, own)
    return hosts


def test_every_app_answers_at_its_own_place(pair: list[Host]) -> None:
    for host in pair:
        assert ask(host, "/flask-apache/api/info", SHARED, 80)["script_name"] == "/flask-apache"
        eu = ask(host, "/shop/eu/", SHARED, 80)
        assert (eu["script_name"], eu["url"]) == ("/shop/eu", "/shop/eu/")
        assert eu["external"] == f"http://{SHARED}/shop/eu/"
        root = ask(host, "/", f"{NAME}:{PORT}")
        assert (root["script_name"], root["url"]) == ("", "/")
        assert root["external"] == f"http://{NAME}:{PORT}/"
        assert own_answers(host, "/flask-apache/", NAME, PORT)
        for path in ("/", "/shop", "/shop/europe", "/flask-apache-2"):
            assert not own_answers(host, path, SHARED, 80)


def test_every_app_has_its_own_user_pools_and_virtual_environment(pair: list[Host]) -> None:
    for host in pair:
        eu, root = ask(host, "/shop/eu/", SHARED, 80), ask(host, "/")
        assert (eu["user"], eu["app"]) == ("shop", "shop")
        assert (root["user"], root["app"]) == ("own", "own")
        for app in ("flask-apache", "shop", "own"):
            running = pids(host, app)
            assert [len(running[slot]) for slot in ("blue", "green")] == [2, 2]
            every = ",".join(str(pid) for pool in running.values() for pid in pool)
            seen = host.run(["ps", "-o", "user:32=,ppid=", "-p", every]).stdout.split("\n")[:-1]
            assert {tuple(line.split()) for line in seen} == {(app, str(host.pid_of_apache()))}
        prefixes = {eu["prefix"], root["prefix"], ask(host, "/flask-apache/api/info", SHARED, 80)["prefix"]}
        assert {prefix.split("/")[3] for prefix in prefixes} == {"flask-apache", "shop", "own"}


def test_the_app_gets_what_it_was_given(pair: list[Host]) -> None:
    def gets(host: Host) -> None:
        assert ask(host, "/environ") == ENVIRONMENT
        facts = ask(host, "/", headers={"Authorization": "Bearer a-token"})
        assert facts["authorization"] == "Bearer a-token"
        assert facts["application_group"] == "", "not the main interpreter, where C extensions may break"
        assert facts["process_group"] == facts["pool"]
        assert facts["encoding"] == "utf-8"
        assert host.http("/files/Gr%C3%BC%C3%9Fe-%E6%97%A5%E6%9C%AC", NAME, method="POST", port=PORT).status == 200
        assert host.read("/var/lib/flask-apache/own/Grüße-日本") == "Grüße-日本"

    each(pair, gets)


def chunked(host: Host, body: bytes) -> tuple[int, str]:
    """Send a body in two chunks, without a Content-Length; return status and answer."""
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:], b""))
    head = f"POST /length HTTP/1.1\r\nHost: {NAME}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host.ip, PORT), timeout=SECONDS) as connection:
        connection.sendall(head.encode() + chunks)
        with connection.makefile("rb") as stream:
            answer = stream.read().decode()
    return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


def test_bodies_may_be_chunked_and_may_not_be_too_large(pair: list[Host]) -> None:
    def post(host: Host, size: int) -> int:
        return host.http("/length", NAME, method="POST", body=b"x" * size, port=PORT).status

    for host in pair:
        assert chunked(host, b"x" * 1000) == (200, "1000")
        assert post(host, 1000) == 200
        assert post(host, 1001) == 413
        assert chunked(host, b"x" * 1001)[0] == 413


def test_a_new_release_of_one_app_changes_nothing_else(
    pair: list[Host], sample: Variables, shop: Variables, own: Variables, source: Path
) -> None:
    older = source.with_name("older")
    shutil.copytree(source, older)
    before = [{app: pids(host, app) for app in ("flask-apache", "shop")} for host in pair]
    for host in pair:  # what the idle pool needs is gone, and half of the virtual environment
        host.run("rm -r /srv/flask-apache/own/empty /srv/flask-apache/own/venvs/*/bin")
    write_app(source, "2")
    play = roles(pair, sample, {**shop, "flask_apache_source": str(older)}, own)
    assert [task.partition(" : ")[2] for task in play.changed_tasks] == [
        "source | Ship it, unless the host has it",
        "source | Make it a release",
        "live | Start the release, probe it, switch",
    ]
    for host, neighbours in zip(pair, before, strict=True):
        assert play.recap[host.name].changed == 3
        assert ask(host, "/")["version"] == "2"
        assert ask(host, "/shop/eu/", SHARED, 80)["version"] == "1"
        assert {app: pids(host, app) for app in neighbours} == neighbours


def test_a_virtual_environment_of_another_python_is_an_error(pair: list[Host]) -> None:
    def tamper(host: Host) -> None:
        release = f"/srv/flask-apache/own/releases/{status(host, 'own')['release']}/release.json"
        right = host.read(release)
        changed = re.sub(r'"python": "[\d.]+"', '"python": "3.9"', right)
        live = pids(host, "own")[str(status(host, "own")["live"])]
        try:
            host.run(f"cat >{release}", stdin=changed)
            host.run(["kill", "-USR1", *map(str, live)])
            until(lambda: host.http("/", NAME, port=PORT).status == 500, "the restarted pool refuses")
            log = host.run("cat /var/log/flask-apache/own/error.log").stdout
            assert re.search(r"mod_wsgi runs Python 3\.\d+, the virtual environment is of Python 3\.9", log)
        finally:
            host.run(f"cat >{release}", stdin=right)
            every = [str(pid) for pool in pids(host, "own").values() for pid in pool]
            host.run(["kill", "-USR1", *every], check=False)
        until(lambda: host.http("/", NAME, port=PORT).status == 200, "the right one serves again")

    each(pair, tamper)


def test_an_interpreter_of_another_version_is_refused(pair: list[Host], own: Variables) -> None:
    for host in pair:
        host.write("/usr/local/bin/python9", "#!/bin/sh\necho 3.9\n", 0o755)
    refused = apply_role(pair, {**own, "flask_apache_python": "/usr/local/bin/python9"}, check=False)
    for host, minor in zip(pair, ("3.11", "3.13"), strict=True):
        assert refused.recap[host.name].failed == 1
        assert refused.recap[host.name].changed == 0
        assert f"is Python 3.9, but the distribution's mod_wsgi is of {minor}" in " ".join(refused.stdout.split())


def test_a_moved_app_leaves_nothing_behind_and_the_deepest_mount_wins(pair: list[Host], own: Variables) -> None:
    moved = {**own, "flask_apache_server_name": SHARED, "flask_apache_port": 80}
    roles(pair, moved)
    for host in pair:
        assert ask(host, "/", SHARED, 80)["app"] == "own"
        assert ask(host, "/shop/eu/", SHARED, 80)["app"] == "shop"
        assert ask(host, "/flask-apache/api/info", SHARED, 80)["app"] == "flask-apache"
        for path in ("/shop/eu", "/flask-apache"):
            assert host.http(path, SHARED).headers["Location"] == f"http://{SHARED}{path}/"
        for path in ("/shop/europe", "/shop", "/flask-apache-2"):
            assert own_answers(host, path, SHARED, 80), f"{path} belongs to the app at /"
        assert no_connection(host, PORT)
        logged = accesses(host, "own")
        assert "/shop/europe" in logged
        assert not {"/shop/eu/", "/flask-apache/api/info"} & set(logged), "a neighbour's visitors"


def test_what_an_app_logs_is_in_the_log_that_was_declared(pair: list[Host]) -> None:
    for host in pair:
        assert host.http("/shop/eu/crash", SHARED).status == 500
        until(partial(holds, host, "/var/log/flask-apache/*/error.log", "a mistake of shop"), "it is logged")
        declared = json.loads(host.read("/etc/flask-apache/shop/app.json"))["error_log"]
        assert holds(host, declared, "a mistake of shop")
        assert not holds(host, "/var/log/flask-apache/own/error.log", "a mistake of shop")


def holds(host: Host, logs: str, text: str) -> bool:
    """Say whether one of some logs holds a text."""
    return text in host.run(f"cat {logs}", check=False).stdout


def test_an_app_without_a_pool_is_an_error_instead_of_an_app_in_apache(pair: list[Host]) -> None:
    def embedded(host: Host) -> None:
        conf = "/etc/apache2/conf-enabled/embedded.conf"
        program = (
            "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'embedded']\n"
        )
        host.write("/usr/local/lib/embedded.wsgi", program)
        allow = "<Directory /usr/local/lib>\nRequire all granted\n</Directory>"
        host.write(conf, f"WSGIScriptAlias /embedded /usr/local/lib/embedded.wsgi\n{allow}\n")
        try:
            host.run("apache2ctl graceful")
            until(lambda: host.http("/embedded", "other.example.com").status != 404, "the configuration is read")
            answer = host.http("/embedded", "other.example.com")
            assert answer.status == 500
            assert b"embedded" not in answer.body
            assert "mbedded mode of mod_wsgi disabled" in host.logs()
        finally:
            host.run(["rm", conf])
            host.run("apache2ctl graceful")

    each(pair, embedded)


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
SINCE_6 = ("interrupt-timeout=20", "switch-interval=0.01", "response-flush-delay=10", "WSGISlowRequests 2")


def test_mod_wsgi_may_be_switched_and_takes_every_option(start_host: Callable[..., Host], own: Variables) -> None:
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
    roles(hosts, variables)
    for host in hosts:
        assert_serves(host, "/", PACKAGED[host.distribution], newer=False)
        assert host.http("/elsewhere/", NAME, port=PORT).body == b"own page not found"


def answers(host: Host, path: str) -> bool:
    """Say whether the app answers."""
    return host.http(path, NAME, port=PORT).status == 200


def assert_serves(host: Host, path: str, version: str, *, newer: bool) -> None:
    """Expect the app to be served by a version of mod_wsgi, which got the options that it knows."""
    assert ask(host, path)["mod_wsgi"] == version
    configuration = host.run(
        "cat /etc/flask-apache/vhosts/*/*.conf /etc/apache2/conf-enabled/flask-apache*.conf"
    ).stdout
    assert [option in configuration for option in SINCE_6] == [newer] * len(SINCE_6)
    assert "stack-size=1048576" in configuration
    nice, groups = host.run(f"ps -o ni=,supgrp= -p {pids(host, 'own')['blue'][0]}").stdout.split()
    assert nice == "5"
    assert {"adm", "www-data"} <= set(groups.split(","))
