"""What the controls of two baselines ask of a running host."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import time
from typing import TYPE_CHECKING

from tests.security.shared import ADMIN, ADMIN_PORT, APPS, NAME, TLS_PORT, Place
from tests.support.releases import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

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
