"""What Apache answers: nothing of itself, nothing to unknown names and malformed requests, and careful headers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from controller.headers import OF_PAGES, STANDARD, STRICT
from tests.security.shared import ADMIN, ADMIN_PORT, NAME, TLS_PORT
from tests.support.parallel import each

if TYPE_CHECKING:
    from tests.security.shared import Place
    from tests.support.hosts import Response

HEAD = f"Host: {NAME}\r\nConnection: close\r\n"
MALFORMED = {
    "HTTP/0.9": "GET /\r\n",
    "HTTP/0.9 with a name": f"GET http://{NAME}/\r\n",
    "no version": f"GET / \r\n{HEAD}\r\n",
    "a version that is none": f"GET / HTTP/1.x\r\n{HEAD}\r\n",
    "line feeds alone": f"GET / HTTP/1.1\n{HEAD}\n".replace("\r", ""),
    "two spaces": f"GET  / HTTP/1.1\r\n{HEAD}\r\n",
    "a tab": f"GET\t/ HTTP/1.1\r\n{HEAD}\r\n",
    "a space in the path": f"GET /a b HTTP/1.1\r\n{HEAD}\r\n",
    "a control character in the path": f"GET /\x01 HTTP/1.1\r\n{HEAD}\r\n",
    "no host": "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "two hosts": f"GET / HTTP/1.1\r\n{HEAD}Host: other.example.com\r\n\r\n",
    "a host with a path": "GET / HTTP/1.1\r\nHost: a/../b\r\nConnection: close\r\n\r\n",
    "a space in a header's name": f"GET / HTTP/1.1\r\n{HEAD}X Y: z\r\n\r\n",
    "a space before a colon": f"GET / HTTP/1.1\r\n{HEAD}X : z\r\n\r\n",
    "a header without a colon": f"GET / HTTP/1.1\r\n{HEAD}X\r\n\r\n",
    "a folded first header": f"GET / HTTP/1.1\r\n X: y\r\n{HEAD}\r\n",
    "NUL in a header": f"GET / HTTP/1.1\r\n{HEAD}X: a\x00b\r\n\r\n",
    "two lengths": f"POST /read HTTP/1.1\r\n{HEAD}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length that is no number": f"POST /read HTTP/1.1\r\n{HEAD}Content-Length: +1\r\n\r\na",
    "a negative length": f"POST /read HTTP/1.1\r\n{HEAD}Content-Length: -1\r\n\r\n",
    "an unknown coding": f"POST /read HTTP/1.1\r\n{HEAD}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a chunk of no size": f"POST /read HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\nz\r\nabc\r\n0\r\n\r\n",
    "a way out": f"GET /../../etc/passwd HTTP/1.1\r\n{HEAD}\r\n",
    "an encoded NUL": f"GET /a%00b HTTP/1.1\r\n{HEAD}\r\n",
    "a line that is too long": f"GET /{'a' * 9000} HTTP/1.1\r\n{HEAD}\r\n",
    "a header that is too long": f"GET / HTTP/1.1\r\n{HEAD}X: {'a' * 9000}\r\n\r\n",
    "too many headers": f"GET / HTTP/1.1\r\n{HEAD}" + "".join(f"X{n}: y\r\n" for n in range(120)) + "\r\n",
}
# Not malformed for Apache, and answered by the app or by nobody.
NOT_FOUND = ("a way out", "an encoded NUL")


@pytest.mark.parametrize("port", [80, ADMIN_PORT])
def test_malformed_requests_are_refused(places: list[Place], port: int) -> None:
    """Each is refused with a status of the client's fault, or by silence, and none reaches an app."""

    def go(place: Place) -> None:
        found = {name: place.raw(text.encode("latin-1"), port) for name, text in MALFORMED.items()}
        wrong = {
            name: answer[:200] for name, answer in found.items() if answer.startswith(b"HTTP/") and not refused(answer)
        }
        assert wrong == {}
        assert not [name for name, answer in found.items() if b"visitor" in answer or b"It works" in answer]
        assert place.status(f"GET / HTTP/1.0\r\n{HEAD}\r\n".encode()) == 200, "the same without a fault"

    each(places, go)


def refused(answer: bytes) -> bool:
    """Tell whether an answer has a status of 4xx, or says that Apache does not have this."""
    return re.match(rb"HTTP/1\.[01] (4\d\d|501|505) ", answer) is not None


def test_nobody_answers_for_unknown_names_where_only_apps_are(places: list[Place]) -> None:
    """With and without TLS, with any name or none."""

    def go(place: Place) -> None:
        for port, https in ((ADMIN_PORT, False), (8081, False), (TLS_PORT, True)):
            known = place.host.http("/", ADMIN, port=port, https=https)
            assert known.text == "visitor" or known.status == 308
            for name in ("unknown.example.com", NAME, place.host.ip, "", "x.admin.example.com"):
                for path in ("/", "/own", "/icons/", "/server-status", "/-/ready"):
                    answer = place.host.http(path, headers={"Host": name}, port=port, https=https)
                    assert answer.status in ((404,) if name else (400, 404)), (port, name, path)
                    assert not re.search("visitor|example.com|Apache|flask", answer.text), answer.text
            assert place.status(b"GET / HTTP/1.0\r\n\r\n", port) in (400, 404)
        certificate = place.host.certificate("unknown.example.com", TLS_PORT)
        assert certificate != place.host.certificate(ADMIN, TLS_PORT)

    each(places, go)


def test_debians_page_answers_unknown_names_where_it_is(places: list[Place]) -> None:
    """As before the first app came."""
    for place in places:
        assert "It works" in place.host.http("/", "unknown.example.com").text


def answers(place: Place) -> dict[str, Response]:
    """Return answers of all kinds: of the app, of static files, and of Apache itself."""
    http = place.host.http
    return {
        "app": http("/", NAME),
        "app's 404": http("/none", NAME),
        "static": http("/static/page.css", NAME),
        "Apache's page for an app": http("/", NAME, headers={"Upgrade": "websocket"}),
        "redirect": http("/", ADMIN, port=8081),
        "tls": http("/", ADMIN, port=TLS_PORT, https=True),
        "unknown": http("/", "unknown.example.com", port=ADMIN_PORT),
        "Debian's page": http("/", "unknown.example.com"),
        "Debian's 404": http("/none", "unknown.example.com"),
    }


def test_apache_tells_nothing_of_itself(places: list[Place]) -> None:
    """Neither its version, nor the system, nor modules, nor inodes of files."""

    def go(place: Place) -> None:
        for kind, answer in answers(place).items():
            assert answer.headers.get_all("Server") == ["Apache"], kind
            assert not re.search(r"Apache/|mod_wsgi|OpenSSL|Python/", str(answer.headers) + answer.text), kind
            if "Debian" not in kind:
                assert not re.search("<address>|Debian", answer.text), kind
        path = place.host.run("ls /srv/flask-apache/shop/blue/public/plain/static/page.css").stdout.strip()
        size, mtime, inode = (int(each) for each in place.host.run(["stat", "-c", "%s %Y %i", path]).stdout.split())
        etag = answers(place)["static"].headers["ETag"].strip('"')
        parts = [int(each, 16) for each in etag.split("-")]
        assert parts == [size, parts[1]]
        assert parts[1] // 10**6 == mtime
        assert f"{inode:x}" not in etag.split("-")

    each(places, go)


def own_headers(answer: Response) -> dict[str, list[str]]:
    """Return the security headers of an answer, with all their values."""
    return {name: found for name in STRICT if (found := answer.headers.get_all(name))}


def one_each(headers: dict[str, str]) -> dict[str, list[str]]:
    """Return headers that are there once."""
    return {name: [value] for name, value in headers.items()}


def test_browsers_are_told_to_be_careful(places: list[Place]) -> None:
    """In each level, once each, and never against what the app itself says."""

    def go(place: Place) -> None:
        for level, expected in (("strict", STRICT), ("none", {}), ("standard", STANDARD)):
            place.deploy("shop", security_headers=level)
            found = answers(place)
            for kind in ("app", "app's 404", "static"):
                assert own_headers(found[kind]) == one_each(expected), (level, kind)
            policy = {"Content-Security-Policy": OF_PAGES} if level == "strict" else {}
            assert found["Apache's page for an app"].status == 501
            assert own_headers(found["Apache's page for an app"]) == one_each(expected | policy), level
            own = own_headers(place.host.http("/own", NAME))
            app = {"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"}
            assert own == one_each(expected | app | {"Content-Security-Policy": "default-src 'none'"}), level
            framed = own_headers(place.host.http("/frames", NAME))
            assert "X-Frame-Options" not in framed, "the app lets a portal show it"
            assert framed["Content-Security-Policy"] == ["frame-ancestors https://portal.example.com"]
        assert own_headers(found["tls"]) == one_each(STANDARD)
        assert own_headers(found["redirect"]) == one_each(STANDARD)
        assert own_headers(found["Debian's page"]) == {}

    each(places, go)


def test_methods(places: list[Place]) -> None:
    """Nobody gets TRACE. All others are the app's own business: it may need PUT and DELETE."""

    def go(place: Place) -> None:
        for name, port in ((NAME, 80), (ADMIN, ADMIN_PORT), ("unknown.example.com", 80), ("unknown", ADMIN_PORT)):
            for method in ("TRACE", "TRACK"):
                answer = place.host.http("/", name, method=method, port=port, headers={"X-Secret": "battery"})
                assert answer.status in (404, 405) if method == "TRACE" else answer.status != 500
                assert "battery" not in answer.text
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
            assert place.host.http("/method", NAME, method=method).text == method
        for method in ("POST", "PUT", "DELETE"):
            assert place.host.http("/static/page.css", NAME, method=method).status == 404, "the app has no such address"

    each(places, go)
