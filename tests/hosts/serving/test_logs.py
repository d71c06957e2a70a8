"""Logs in JSON and in the journal, and the ids of requests, asked from outside."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import steps
from tests.support.parallel import each
from tests.support.releases import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.hosts import Host

NAME = "logs.example.com"
LOG = "/var/log/flask-apache/logged/access.log"
JOURNAL = "journalctl --quiet --output=cat --identifier=flask-apache-logged-access"
APP = """
import json, sys, time


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise RuntimeError("told in the log")
    if path == "/wait":
        time.sleep(0.4)
    own = [("X-Request-Id", "the app's"), ("X-From", "app")]
    if path == "/forge":
        own += [("X-Flask-Apache-Took", '1,"forged":1'), ("X-Flask-Apache-Served", 'x","forged":"1')]
    start_response("200 OK", [("Content-Type", "application/json"), *own])
    sent = {name: value for name, value in environ.items() if name.startswith("HTTP_X_REQUEST")}
    return [json.dumps(sent).encode()]
"""
LOGIN = [
    "<Location /members>",
    "AuthType Basic",
    "AuthName members",
    "AuthUserFile /etc/apache2/members",
    "Require valid-user",
    "</Location>",
]
JOURNALD = {"access_log": "journald", "error_log": "journald", "directives": LOGIN, "metrics_allow": []}


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the variables of an app with a log in JSON."""
    source: Path = tmp_path_factory.mktemp("logged")
    (source / "app.py").write_text(APP)
    (source / "public").mkdir()
    (source / "public/style.css").write_text("body {}")
    return {
        "app": "logged",
        "source": str(source),
        "requirements": [],
        "server_name": NAME,
        "access_log_format": "json",
        "static": [{"url": "/static", "path": "public"}],
        "metrics_allow": ["192.0.2.1"],
    }


@pytest.fixture(scope="module")
def logged(pair: list[Host], declared: dict[str, Any]) -> Iterator[list[Host]]:
    """Return the hosts with the app."""
    each(pair, partial(steps.deploy, variables=declared))
    yield pair
    each(pair, lambda host: steps.Run(host, declared).step("remove"))


def lines_of(host: Host, command: str = f"cat {LOG}") -> list[dict[str, Any]]:
    """Return the lines of the access log, each of which is a JSON object, without those of the engine's own visits."""
    found = [json.loads(line) for line in host.run(command).stdout.splitlines()]
    return [line for line in found if line["user_agent"] != "flask-apachectl"]


def line_of(host: Host, request: str | None, command: str = f"cat {LOG}") -> dict[str, Any]:
    """Return the line of a request; the programs of logs write it a moment later."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        found[:] = [line for line in lines_of(host, command) if line["request_id"] == request]
        return bool(found)

    assert wait_until(is_there, 5)
    (line,) = found
    return line


def release_of(host: Host) -> str:
    """Return the live release, which the link of the live slot names."""
    return host.run("basename $(readlink /srv/flask-apache/logged/blue)").stdout.strip()


def send(host: Host, line: bytes, *headers: bytes) -> bytes:
    """Send a request as it is, and return the answer."""
    named = any(header.startswith(b"Host:") for header in headers)
    with socket.create_connection((host.ip, 80), timeout=20) as connection:
        sent = [line, *([] if named else [f"Host: {NAME}".encode()]), b"Connection: close", *headers, b"", b""]
        connection.sendall(b"\r\n".join(sent))
        return b"".join(iter(lambda: connection.recv(65536), b""))


def requests_with(byte: bytes) -> list[tuple[bytes, ...]]:
    """Return requests that have a byte in each place where a client can put one."""
    login = base64.b64encode(b"a" + byte + b"b:password")
    return [
        (b"GET /a" + byte + b"b HTTP/1.1",),
        (b"GET /?a" + byte + b"b HTTP/1.1",),
        (b"G" + byte + b"T / HTTP/1.1",),
        (b"GET / HTTP/1.1" + byte,),
        (b"GET / HTTP/1.1", b"User-Agent: a" + byte + b"b"),
        (b"GET / HTTP/1.1", b"Referer: a" + byte + b"b"),
        (b"GET / HTTP/1.1", b"X-Request-Id: a" + byte + b"b"),
        (b"GET / HTTP/1.1", b"Host: " + NAME.encode() + byte),
        (b"GET /members HTTP/1.1", b"Authorization: Basic " + login),
    ]


def expect_one_valid_line_each(host: Host, bytes_: range, command: str, users: set[str]) -> None:
    """Fail unless each request that reaches the app, with any byte anywhere, makes one line of valid JSON."""
    answers = [send(host, *request) for byte in bytes_ for request in requests_with(bytes([byte]))]
    ids = [found.split(b"\r\n")[0].decode() for answer in answers for found in answer.split(b"X-Request-Id: ")[1:]]
    assert len(ids) > 4 * len(bytes_), "the app gets most of them"
    assert wait_until(lambda: lines_of(host, command)[-1]["request_id"] == ids[-1], 5)
    lines = lines_of(host, command)
    found = [line["request_id"] for line in lines]
    assert found[found.index(ids[0]) :] == ids
    assert users <= {line["user"] for line in lines}


def test_any_byte_makes_one_line_of_valid_json(logged: list[Host]) -> None:
    each(logged, lambda host: expect_one_valid_line_each(host, range(1, 256), f"cat {LOG}", {"-"}))


def test_a_line_tells_how_a_request_went(logged: list[Host]) -> None:
    def tell(host: Host) -> None:
        headers = {"User-Agent": "Mozilla/5.0 (X11) 100%", "Referer": "http://x.example/?a=b"}
        answer = host.http("/wait?q=%20%22", NAME, headers=headers)
        line = line_of(host, answer.headers["X-Request-Id"])
        known = {
            "host": NAME,
            "method": "GET",
            "path": "/wait?q=%20%22",
            "protocol": "HTTP/1.1",
            "status": 200,
            "user_agent": headers["User-Agent"],
            "referer": headers["Referer"],
            "user": "-",
            "encoded": "-",
            "pool": "logged-blue",
            "release": release_of(host),
        }
        assert {name: line[name] for name in known} == known
        assert 400_000 <= line["app_us"] <= line["first_byte_us"] <= line["duration_us"] < 5_000_000
        assert line["bytes_out"] > len(answer.body)
        assert line["bytes_in"] > len("GET /wait?q=%20%22 HTTP/1.1")
        assert "X-Flask-Apache-Took" not in answer.headers
        assert "X-Flask-Apache-Served" not in answer.headers
        forged = host.http("/forge", NAME)
        line = line_of(host, forged.headers["X-Request-Id"])
        assert (line["app_us"], line["release"], "forged" in line) == (0, "-", False)
        static = host.http("/static/style.css", NAME)
        line = line_of(host, static.headers["X-Request-Id"])
        assert (line["status"], line["app_us"], line["release"]) == (200, 0, "-")
        assert line["first_byte_us"] > 0

    each(logged, tell)


def test_a_request_has_one_id_everywhere(logged: list[Host]) -> None:
    def ask(host: Host) -> None:
        answer = host.http("/", NAME, headers={"X-Request-Id": "forged", "X_Request_Id": "forged"})
        own = answer.headers.get_all("X-Request-Id")
        assert own is not None
        assert (len(own), answer.json()) == (1, {"HTTP_X_REQUEST_ID": own[0]})
        assert line_of(host, own[0])["path"] == "/"
        failed = host.http("/fail", NAME)
        assert failed.status == 500
        request = failed.headers["X-Request-Id"]
        assert line_of(host, request)["status"] == 500
        told = host.run("flask-apachectl --app logged logs --error -n 50").stdout.splitlines()
        assert any(f"[request {request}]" in text and "RuntimeError: told in the log" in text for text in told)
        large = host.http("/", NAME, method="POST", headers={"Content-Length": str(10**9)})
        assert large.status == 413, "Apache's own page"
        assert line_of(host, large.headers["X-Request-Id"])["status"] == 413
        assert host.http("/", "http.example.com").status == 404, "no app: its mount is /shop"
        assert "[request" not in host.read("/var/log/apache2/error.log")

    each(logged, ask)


def test_requests_are_counted_and_shown(logged: list[Host]) -> None:
    def count(host: Host) -> float:
        rows = json.loads(host.run("flask-apachectl --json --app logged metrics").stdout)["metrics"]
        (found,) = [
            row["value"]
            for row in rows
            if row["name"] == "flask_apache_http_requests_total" and row["labels"]["code"] == "200"
        ]
        return float(found)

    def check(host: Host) -> None:
        before = count(host)
        answer = host.http("/", NAME)
        line_of(host, answer.headers["X-Request-Id"])
        assert count(host) == before + 1
        shown = host.run("flask-apachectl --app logged logs --access -n 9").stdout.splitlines()
        assert json.loads(shown[-1])["user_agent"] == "flask-apachectl", "the engine's own visit for its metrics"
        assert any(json.loads(text)["request_id"] == answer.headers["X-Request-Id"] for text in shown)

    each(logged, check)


# --- The journal: from here on


def test_the_journal_loses_nothing(logged: list[Host], declared: dict[str, Any]) -> None:
    """Neither a byte nor a line, also while Apache reloads; and no program of a log is left behind."""

    def check(host: Host) -> None:
        host.write("/etc/apache2/members", 'a"b:$apr1$x$x\n')
        steps.deploy(host, {**declared, **JOURNALD})
        again = steps.Run(host, {**declared, **JOURNALD})
        again.deploy()
        assert not again.changed
        expect_one_valid_line_each(host, range(1, 256, 2), JOURNAL, {"a%01b", "a%09b", "a%ffb"})
        assert host.http("/-/metrics", NAME).headers["X-From"] == "app", "nobody may ask for metrics"
        answered = under_reloads(host)
        assert wait_until(lambda: answered <= {line["request_id"] for line in lines_of(host, JOURNAL)}, 5)
        fields = json.loads(host.run(f"{JOURNAL} --output=json --lines=1").stdout)
        assert (fields["PRIORITY"], fields["_SYSTEMD_UNIT"]) == ("6", "apache2.service")
        failed = host.http("/fail", NAME).headers["X-Request-Id"]
        shown = partial(host.run, "flask-apachectl --app logged logs -n 30")
        assert wait_until(lambda: f"[request {failed}]     raise RuntimeError" in shown().stdout, 5)
        assert {text.split()[0] for text in shown().stdout.splitlines()} == {"access", "error"}
        assert '"path":"/followed"' in host.run(["python3", "-c", FOLLOW, NAME]).stdout
        assert wait_until(lambda: len(loggers(host)) == 2, 5), loggers(host)
        steps.deploy(host, declared)
        assert wait_until(lambda: not loggers(host), 5), loggers(host)

    each(logged, check)


# Follows the log, asks once, and prints what is followed.
FOLLOW = """
import http.client, subprocess, sys, time
words = ["flask-apachectl", "--app", "logged", "logs", "--access", "--follow", "--lines=0"]
follow = subprocess.Popen(words, stdout=subprocess.PIPE)
while not any("--follow" in line for line in subprocess.check_output(["ps", "-Ao", "args"], text=True).splitlines()
              if line.startswith("journalctl")):
    time.sleep(0.05)
time.sleep(0.2)
connection = http.client.HTTPConnection("127.0.0.1")
connection.request("GET", "/followed", headers={"Host": sys.argv[1]})
connection.getresponse()
print(follow.stdout.readline().decode())
follow.terminate()
"""


def loggers(host: Host) -> list[str]:
    """Return the programs that write the app's logs to the journal."""
    find = "grep -lz '^FLASK_APACHE_LOG=flask-apache-logged-' /proc/[0-9]*/environ"
    return host.run(find, check=False).stdout.split()


def under_reloads(host: Host) -> set[str]:
    """Ask while Apache is reloaded twice, and return the ids of the requests that were answered."""
    found: set[str] = set()
    ended = threading.Event()

    def ask(path: str) -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):  # a reload may end a connection
                found.add(str(host.http(path, NAME).headers["X-Request-Id"]))

    threads = [threading.Thread(target=ask, args=(path,)) for path in ("/", "/wait", "/wait")]
    for thread in threads:
        thread.start()
    for _ in range(2):
        host.run("sleep 0.5; systemctl reload apache2; sleep 0.5")
    ended.set()
    for thread in threads:
        thread.join()
    assert len(found) > 10
    return found
