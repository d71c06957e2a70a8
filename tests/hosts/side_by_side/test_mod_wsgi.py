"""mod_wsgi: what it passes to an app, and which Python it accepts."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from tests.hosts.side_by_side.shared import (
    ENVIRONMENT,
    NAME,
    PORT,
    SECONDS,
    Variables,
    ask,
    pids,
    status,
    until,
)
from tests.support.parallel import each
from tests.support.playbooks import apply_role

if TYPE_CHECKING:
    from tests.support.hosts import Host


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


def test_a_virtual_environment_of_another_python_is_an_error(pair: list[Host]) -> None:
    def tamper(host: Host) -> None:
        release = f"/srv/flask-apache/own/releases/{status(host, 'own')['release']}/venv/complete.json"
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
        assert f"must be Python {minor}, the version of the distribution's mod_wsgi" in " ".join(refused.stdout.split())


def test_an_app_does_not_run_in_apache_itself(pair: list[Host]) -> None:
    """Embedded mode is allowed, as other sites may use it; an app refuses to be loaded there."""

    def embedded(host: Host) -> None:
        conf = "/etc/apache2/conf-enabled/embedded.conf"
        allow = "<Directory /etc/flask-apache/own>\nRequire all granted\n</Directory>"
        host.write(conf, f"WSGIScriptAlias /embedded /etc/flask-apache/own/entry.wsgi\n{allow}\n")
        try:
            host.run("apache2ctl graceful")
            until(lambda: host.http("/embedded", "other.example.com").status != 404, "the configuration is read")
            assert host.http("/embedded", "other.example.com").status == 500
            assert "runs in the daemon processes of its pools only" in host.logs()
        finally:
            host.run(["rm", conf])
            host.run("apache2ctl graceful")

    each(pair, embedded)
