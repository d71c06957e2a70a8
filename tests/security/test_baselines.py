"""Two baselines by the numbers of their controls, asked of running hosts; what is not kept has its reason.

dev-sec's apache-baseline has 14 controls. Of the CIS Apache HTTP Server 2.4 Benchmark v2.3.0, all recommendations are
here that can be checked by a program, and those of TLS.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest

from tests.security.shared import ADMIN, ADMIN_PORT, APPS, NAME, TLS_PORT, Place
from tests.support.parallel import each
from tests.support.releases import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

Check = dict[str, "Callable[[Place], object]"]

DEV_SEC = {f"apache-{number:02}" for number in range(1, 15)}
CIS = {
    *(f"2.{number}" for number in range(2, 10)),
    *(f"3.{number}" for number in range(1, 13)),
    *("4.1", "4.3", "4.4"),
    *(f"5.{number}" for number in range(1, 17)),
    *(f"6.{number}" for number in (1, 2, 3, 5, 6, 7)),
    *(f"7.{number}" for number in range(1, 13)),
    *("8.1", "8.2", "8.3", "8.4"),
    *(f"9.{number}" for number in range(1, 7)),
    *("10.1", "10.2", "10.3", "10.4"),
}
DEBIANS = "it is Debian's own, and other sites may rely on it; "
WAIVED = {
    "apache-10": "apps need PUT, PATCH, DELETE and OPTIONS; an app refuses what it has not: test_answers.test_methods",
    "apache-13": "each cipher that is offered is strong, so the client's choice is the fast one (Mozilla's advice)",
    "2.9": DEBIANS + "logins of flask_apache_directives use it",
    "5.1": DEBIANS + "nothing is served from /, as all access is denied",
    "5.4": DEBIANS + "it answers unknown names as before the first app came; flask_apache_default_server replaces it",
    "5.7": "see apache-10",
    "5.15": "of level 2; which addresses a host has is not known in advance, and `Listen` is the administrator's",
    "6.2": "of level 2; logs are files for `flask-apachectl logs`; flask_apache_error_log may name another",
    "6.5": "the administrator upgrades packages; the sandbox and all settings survive that: test_sandbox",
    "6.6": "of level 2; a firewall for requests knows nothing of an app until somebody teaches it",
    "6.7": "see 6.6",
    "7.2": "the administrator chooses the certificate: flask_apache_tls_certificate",
    "7.9": "the administrator chooses whether there is TLS; then plain HTTP only redirects: tests/hosts/test_tls.py",
    "7.10": "browsers do not ask for it any more, and public authorities end their service",
    "7.11": "it cannot be taken back for its whole time: flask_apache_hsts turns it on",
    "8.3": "see 5.4",
    "9.1": "10 seconds without a packet end requests of phones in a tunnel; see test_slow_clients",
    "10.4": "uploads are larger: flask_apache_request_body_limit, 10 MiB by default, checked here",
}
OWNED = "/etc/apache2 /etc/flask-apache /usr/lib/apache2 /usr/sbin/apache2 /srv/flask-apache"


def run(place: Place, command: str) -> str:
    """Return what a command prints on the host."""
    return place.host.run(command).stdout.strip()


def nothing(command: str) -> Callable[[Place], object]:
    """Return a check that a command prints nothing."""

    def check(place: Place) -> None:
        assert run(place, command) == ""

    return check


def status(expected: int, path: str, name: str = NAME, port: int = 80) -> Callable[[Place], object]:
    """Return a check of the status that a visitor gets."""

    def check(place: Place) -> None:
        assert place.host.http(path, name, port=port).status == expected, path

    return check


def without_modules(*names: str) -> Callable[[Place], object]:
    """Return a check that the running Apache has none of some modules."""

    def check(place: Place) -> None:
        maps = run(place, f"cat /proc/{place.host.pid_of_apache()}/maps")
        assert not [name for name in names if f"/mod_{name}.so" in maps]

    return check


def with_module(name: str) -> Callable[[Place], object]:
    """Return a check that the running Apache can do something, by the module or built in."""

    def check(place: Place) -> None:
        assert f" {name}_module " in run(place, "apache2ctl -M 2>/dev/null")

    return check


def only_one_root(place: Place) -> None:
    """Expect that one process of Apache's is root's: all others serve."""
    users = run(place, "ps -C apache2 -o user=").split()
    assert users.count("root") == 1
    assert {"www-data", "shop", "admin"} <= set(users)


def server_header(place: Place) -> None:
    """Expect no version."""
    assert place.host.http("/", NAME).headers["Server"] == place.host.http("/", "x").headers["Server"] == "Apache"


def no_trace(place: Place) -> None:
    """Expect that nobody gets back what he sent."""
    for name, port in ((NAME, 80), ("x", 80), (ADMIN, ADMIN_PORT), ("x", ADMIN_PORT)):
        assert place.host.http("/", name, port=port, method="TRACE").status in (404, 405)


def logged(place: Place) -> None:
    """Expect a line for each request: to an app, to no app, to Debian's page, and a malformed one."""
    marks = {"app": (NAME, 80), "none": ("x", ADMIN_PORT), "page": ("x", 80)}
    for mark, (name, port) in marks.items():
        place.host.http(f"/logged-{mark}", name, port=port)
    place.raw(f"GET /logged-malformed HTTP/1.1\r\nHost: {NAME}\r\nX Y: z\r\n\r\n".encode())
    found = "cat /var/log/apache2/*access.log /var/log/flask-apache/shop/access.log"
    assert wait_until(lambda: all(f"/logged-{each}" in run(place, found) for each in (*marks, "malformed")), 5)


def owned_by_root(place: Place) -> None:
    """Expect that nobody but root changes what Apache reads, or releases; an app's data is elsewhere."""
    others = run(place, f"find {OWNED} ! -user root ! -path '*/incoming*'")
    groups = run(place, f"find {OWNED} ! -group root ! -group shop ! -group admin ! -group vault ! -group www-data")
    assert (others, groups) == ("", "")


def no_write(place: Place) -> None:
    """Expect no right to write for others or for a group."""
    assert run(place, f"find {OWNED} /var/www ! -type l -perm /022") == ""


def locked(place: Place) -> None:
    """Expect users without a shell and without a password."""
    for user in ("www-data", *APPS):
        assert run(place, f"getent passwd {user}").endswith("/nologin")
        assert run(place, f"passwd -S {user}").split()[1] == "L"


def access_denied(place: Place) -> None:
    """Expect Debian's section for / to deny all and allow no overrides, and that no path leads there."""
    section = re.search(r"<Directory />(.*?)</Directory>", place.host.read("/etc/apache2/apache2.conf"), re.DOTALL)
    assert section
    assert re.search(r"(?m)^\s*Require all denied$", section[1])
    assert re.search(r"(?m)^\s*AllowOverride None$", section[1])
    for path in ("/../../../etc/passwd", "/static/../../../../../../etc/passwd", "/static/%2e%2e/%2e%2e/app/app.py"):
        answer = place.raw(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        assert re.match(rb"HTTP/1.1 4\d\d ", answer), path


def no_overrides(place: Place) -> None:
    """Expect that no .htaccess is read."""
    found = run(
        place,
        "grep -RhiE '^[^#]*AllowOverride ' /etc/apache2/*-enabled /etc/apache2/apache2.conf /etc/flask-apache/vhosts",
    )
    assert {line.split()[-1] for line in found.splitlines()} == {"None"}


def few_options(place: Place) -> None:
    """Expect programs to run only where the entry script is, and no listing of static files."""
    found = run(place, "grep -rhE '^ *Options ' /etc/apache2/sites-available/flask-apache* /etc/flask-apache/vhosts")
    assert {word for line in found.splitlines() for word in line.split()[1:]} == {"None", "ExecCGI", "FollowSymLinks"}
    for path in ("/static/", "/static"):
        assert place.host.http(path, NAME).status == 404, "the app's answer"


def old_versions(place: Place) -> None:
    """Expect that HTTP/0.9 is refused. HTTP/1.0 is what many proxies and health checks speak."""
    assert not place.raw(b"GET /\r\n").startswith(b"<")
    assert place.status(f"GET / HTTP/1.0\r\nHost: {NAME}\r\n\r\n".encode()) == 200


def hidden(*paths: str) -> Callable[[Place], object]:
    """Return a check that files among the static files are not served, should they get there."""

    def check(place: Place) -> None:
        for path in paths:
            file = f"/srv/flask-apache/shop/blue/public/plain/static/{path}"
            place.host.run(f"mkdir -p $(dirname {file}) && cp -n $(dirname {file} | cut -d/ -f1-8)/page.css {file}")
            assert place.host.http(f"/static/{path}", NAME).status == 404, path
            place.host.run(f"rm {file}; rmdir $(dirname {file}) 2>/dev/null || true")

    return check


def source_is_hidden(place: Place) -> None:
    """Expect that neither code nor settings are served."""
    for path in ("/app.py", "/static/../app.py", "/release.json", "/env", "/static/page.css~"):
        assert place.host.http(path, NAME).status == 404, path


def by_address(place: Place) -> None:
    """Expect nothing of an app by the host's address."""
    for port in (ADMIN_PORT, 8081):
        assert place.host.http("/", place.host.ip, port=port).status == 404
    assert "visitor" not in place.host.http("/", place.host.ip).text


def framing(place: Place) -> None:
    """Expect that other sites cannot show the app in a frame."""
    assert place.host.http("/", NAME).headers["X-Frame-Options"] == "SAMEORIGIN"


def errors_are_logged(place: Place) -> None:
    """Expect the app's own log to have what it complains of."""
    place.host.http("/complain", NAME)
    assert wait_until(lambda: "a complaint" in run(place, "cat /var/log/flask-apache/shop/error.log"), 5)


def private_key(place: Place) -> None:
    """Expect that only root reads keys."""
    found = run(place, "find /etc/flask-apache -name 'key.pem' -printf '%u %m\\n'").splitlines()
    assert found == ["root 600"] * 2
    for user in ("www-data", *APPS):
        command = "cat /etc/flask-apache/vhosts/*/key.pem"
        assert place.host.run(command, user=user, check=False).returncode != 0


def handshake(place: Place, *, ciphers: str = "", newest: ssl.TLSVersion | None = None) -> str:
    """Return the cipher of a handshake, or nothing when the host refuses it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(f"{ciphers or 'ALL:COMPLEMENTOFALL'}:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = newest or ssl.TLSVersion.MAXIMUM_SUPPORTED
    found = ""
    for name in (ADMIN, "unknown.example.com"):
        with (
            contextlib.suppress(ssl.SSLError, ConnectionError),
            socket.create_connection((place.host.ip, TLS_PORT), 20) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            cipher = secure.cipher()
            assert secure.compression() is None
            found += cipher[0] if cipher else ""
    return found


def old_tls(place: Place) -> None:
    """Expect TLS 1.2 or newer."""
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.warns(DeprecationWarning, match="deprecated"):
            assert handshake(place, newest=version) == ""
    assert handshake(place, newest=ssl.TLSVersion.TLSv1_2)
    assert handshake(place).startswith("TLS_")


def weak_ciphers(place: Place) -> None:
    """Expect neither weak nor medium ciphers, and only those with forward secrecy."""
    for ciphers in ("aNULL:eNULL", "RC4:3DES:MEDIUM:LOW", "kRSA", "SHA1:SHA256:!AESGCM:!CHACHA20"):
        with contextlib.suppress(ssl.SSLError):  # this machine does not have them either
            assert handshake(place, ciphers=ciphers, newest=ssl.TLSVersion.TLSv1_2) == "", ciphers


def no_renegotiation(place: Place) -> None:
    """Expect OpenSSL's default, that only secure renegotiation is possible."""
    assert run(place, "grep -rhi '^ *SSLInsecureRenegotiation' /etc/apache2 /etc/flask-apache/vhosts || true") == ""


def signature(place: Place) -> None:
    """Expect nothing of Apache at the foot of its pages."""
    for answer in (place.host.http("/", NAME, headers={"Upgrade": "websocket"}), place.host.http("/", "x", port=8080)):
        assert "<address>" not in answer.text


def etag(place: Place) -> None:
    """Expect no inode."""
    found = place.host.http("/static/page.css", NAME).headers["ETag"].strip('"').split("-")
    assert len(found) == 2
    assert int(found[0], 16) == len(place.host.http("/static/page.css", NAME).body)


def keep_alive(place: Place) -> None:
    """Expect a hundred requests on one connection, which is closed when it is idle for some seconds."""
    connection = http.client.HTTPConnection(place.host.ip, timeout=20)
    for _ in range(100):
        connection.request("GET", "/static/page.css", headers={"Host": NAME})
        connection.getresponse().read()
    assert connection.sock is not None


def is_closed_after(place: Place, sent: bytes, port: int) -> float:
    """Return after how many seconds the host closes a connection on which no more comes."""
    began = time.monotonic()
    with socket.create_connection((place.host.ip, port), timeout=45) as connection:
        connection.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(65536):
                pass
    return time.monotonic() - began


def too_large(place: Place) -> None:
    """Expect 413 above the limit, before the body has come."""
    answer = place.status(f"POST /read HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 10485761\r\n\r\n".encode())
    assert answer == 413


def limits(accepted: str, refused: str) -> Callable[[Place], object]:
    """Return a check of two requests."""

    def check(place: Place) -> None:
        assert place.status(f"{accepted}\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()) in (200, 404)
        assert place.status(f"{refused}\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()) in (400, 414, 431)

    return check


def service(word: str) -> Callable[[Place], object]:
    """Return a check that systemd says something of Apache."""
    return lambda place: run(place, f"systemctl {word} apache2")


GET = "GET / HTTP/1.1"
CHECKS: Check = {
    "apache-01": service("is-active"),
    "apache-02": service("is-enabled"),
    "apache-03": only_one_root,
    "apache-04": nothing("find /etc/apache2 -maxdepth 0 ! -user root -o ! -group root -o -perm /022"),
    "apache-05": nothing(
        r"find /etc/apache2 -name '*.conf' ! -type l \( ! -user root -o ! -group root -o -perm /133 \)"
    ),
    "apache-06": only_one_root,
    "apache-07": server_header,
    "apache-08": without_modules("dav", "cgi", "cgid", "include"),
    "apache-09": no_trace,
    "apache-11": status(404, "/icons/apache_pb.png"),  # the app's answer: its sites do not have Debian's icons
    "apache-12": status(403, "/icons/", "x"),
    "apache-14": logged,
    "2.2": with_module("log_config"),
    "2.3": without_modules("dav", "dav_fs"),
    "2.4": status(403, "/server-status", "x"),  # Debian enables it, for the host itself
    "2.5": few_options,
    "2.6": without_modules("proxy", "proxy_http", "proxy_ftp", "proxy_ajp", "proxy_connect"),
    "2.7": without_modules("userdir"),
    "2.8": without_modules("info"),
    "3.1": only_one_root,
    "3.2": locked,
    "3.3": locked,
    "3.4": owned_by_root,
    "3.5": owned_by_root,
    "3.6": no_write,
    "3.7": nothing("grep -rhi '^ *CoreDumpDirectory' /etc/apache2 || true"),
    "3.8": nothing("find /run/lock/apache2 -maxdepth 0 -perm /022"),
    "3.9": nothing(r"find /run/apache2 -maxdepth 1 -name '*.pid' \( ! -user root -o -perm /022 \)"),
    "3.10": nothing("grep -rhi '^ *ScoreBoardFile' /etc/apache2 || true"),
    "3.11": no_write,
    "3.12": no_write,
    "4.1": access_denied,
    "4.3": access_denied,
    "4.4": no_overrides,
    "5.2": few_options,
    "5.3": few_options,
    "5.5": status(404, "/cgi-bin/printenv", "x"),
    "5.6": status(404, "/cgi-bin/test-cgi", "x"),
    "5.8": no_trace,
    "5.9": old_versions,
    "5.10": hidden(".htaccess", ".htpasswd"),
    "5.11": hidden(".git/config"),
    "5.12": hidden(".svn/entries"),
    "5.13": source_is_hidden,
    "5.14": by_address,
    "5.16": framing,
    "6.1": errors_are_logged,
    "6.3": logged,
    "7.1": with_module("ssl"),
    "7.3": private_key,
    "7.4": old_tls,
    "7.5": weak_ciphers,
    "7.6": no_renegotiation,
    "7.7": old_tls,
    "7.8": weak_ciphers,
    "7.12": weak_ciphers,
    "8.1": server_header,
    "8.2": signature,
    "8.4": etag,
    "9.2": keep_alive,
    "9.3": keep_alive,
    "10.1": limits(f"GET /{'a' * 8000} HTTP/1.1", f"GET /{'a' * 8190} HTTP/1.1"),
    "10.2": limits(GET + "\r\nX: y" * 90, GET + "\r\nX: y" * 100),
    "10.3": limits(f"{GET}\r\nX: {'a' * 8000}", f"{GET}\r\nX: {'a' * 8190}"),
}
LATER = {"9.4", "9.5", "9.6"}  # they take their time: one test has them all


def test_every_control_is_kept_or_has_a_reason() -> None:
    assert (CHECKS.keys() | LATER) & WAIVED.keys() == set()
    assert CHECKS.keys() | LATER | WAIVED.keys() == DEV_SEC | CIS


@pytest.mark.parametrize("number", CHECKS)
def test_control(places: list[Place], number: str) -> None:
    each(places, CHECKS[number])


def test_slow_clients_are_closed(places: list[Place]) -> None:
    """Keep-alive (9.4), headers (9.5) and bodies (9.6), on the port of Debian's page and on one of the apps' own."""
    head = f"Host: {NAME}\r\n"
    asked = {
        "keep-alive": (f"GET / HTTP/1.1\r\n{head}\r\n", 80, 4, 15),
        "header": (f"GET / HTTP/1.1\r\n{head}", 80, 8, 40),
        "header of an app's port": ("GET / HTTP/1.1\r\nHost: ", ADMIN_PORT, 8, 40),
        "body": (f"POST /read HTTP/1.1\r\n{head}Content-Length: 10\r\n\r\nx", 80, 8, 20),
    }
    cases = [(place, *case) for place in places for case in asked.values()]

    def go(case: tuple[Place, str, int, int, int]) -> None:
        place, text, port, least, most = case
        assert least < is_closed_after(place, text.encode(), port) < most, case

    each(cases, go)


def test_bodies_have_a_limit(places: list[Place]) -> None:
    each(places, too_large)
