"""Behind a proxy or load balancer, and who may visit: asked from outside, and from addresses that are trusted."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.parallel import each
from tests.support.playbooks import apply_role
from tests.support.releases import Deployed, reloads
from tests.support.steps import Run, StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from tests.support.hosts import Host

NAME, ALIAS = "access.example.com", "www.access.example.com"
CODE = """\
import json

STATUS = {status!r}


def app(environ, start_response):
    start_response(STATUS, [("Content-Type", "application/json"), ("Set-Cookie", "app=1")])
    return [json.dumps({{name: value for name, value in environ.items() if isinstance(value, str)}}).encode()]
"""
# Sends requests, each on a connection of its own, and prints the status, the headers and the text of each answer.
ASK = r"""
import http.client, json, socket, ssl, sys

found = []
for each in json.load(sys.stdin):
    source = (each["source"], 0) if each["source"] else None
    connection = socket.create_connection((each["to"], each["port"]), 10, source)
    connection.sendall(each["begin"].encode())
    if each["port"] == 443:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = context.wrap_socket(connection, server_hostname=each["host"])
    lines = [f"{each['method']} {each['path']} HTTP/1.1", f"Host: {each['host']}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in each["headers"].items()]
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = http.client.HTTPResponse(connection, method=each["method"])
    try:
        answer.begin()
        found.append([answer.status, dict(answer.getheaders()), answer.read().decode()])
    except (http.client.HTTPException, OSError):
        found.append([0, {}, ""])
print(json.dumps(found))
"""
PROXY, OTHER = "127.0.0.2", "127.0.0.3"  # one is trusted
VISITOR, OFFICE = "198.51.100.7", "203.0.113.9"
FORGED = {
    "Forwarded": f"for={OFFICE};proto=https;host=evil.example",
    "X-Forwarded-For": OFFICE,
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "444",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Server": "evil.example",
    "X-Real-IP": OFFICE,
    "X_Forwarded_Proto": "https",
    "X_Forwarded_For": OFFICE,
}
PASSWORDS = {"alice": "battery-staple", "bob": "correct hörse", "root": "wonderland-6"}
DECLARED: dict[str, Any] = {
    "app": "shop",
    "wsgi": "app:app",
    "server_name": NAME,
    "server_aliases": [ALIAS],
    "mount": "/shop",
    "requirements": [],
    "health_status": [200],
    "health_timeout": 10,
    "static": [{"url": "/static", "path": "static"}],
    "trusted_proxies": [PROXY, "2001:db8::/32"],
    "basic_auth": [
        {"realm": "Staff", "users": {name: PASSWORDS[name] for name in ("alice", "bob")}},
        {"path": "/admin", "realm": "Admins", "users": {"root": PASSWORDS["root"]}},
    ],
    "allow": [{"path": "/admin/", "from": [OFFICE, "2001:db8:1::/48"]}, {"path": "/open.x", "from": ["all"]}],
}
WITHIN = {name: value for name, value in DECLARED.items() if name not in ("basic_auth", "allow")}
BEHIND = {**WITHIN, "proxy_protocol": True, "tls": "self_signed"}
# However a visitor may write it. None of them may reach what is below /admin without its password.
SPELLINGS = (
    *("/shop/admin", "/shop/admin/", "/shop/admin/x", "/shop/admin?a=b", "/shop//admin", "/shop///admin//x"),
    *("/shop/ADMIN", "/shop/Admin/x", "/shop/%61dmin", "/shop/%41DMIN", "/shop%2fadmin", "/shop/%2fadmin"),
    *("/shop/./admin", "/shop/x/../admin", "/shop/%2e/admin", "/shop/x/%2e%2e/admin", "/shop/x%2f..%2fadmin"),
    *("/shop/open.x/../admin", "/shop/open.x/..%2fadmin", "/shop/open.x/..%2f%61dmin/x", "/shop/open.x/%2e%2e/admin"),
    *("/shop/static/../admin", "/shop/static/..%2fadmin", "/shop/admin;a", "/shop/admin%20", "/shop/admin%0a"),
    *(
        "/shop/admin%5c",
        "/shop/admin%5cx",
        "/shop/admin%c3%a4",
        f"http://{NAME}/shop/admin",
        "/shop/-/ready/../../admin",
    ),
)


def login(name: str, password: str | None = None) -> dict[str, str]:
    """Return the header of a user who logs in."""
    text = f"{name}:{PASSWORDS[name] if password is None else password}"
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


def asked(path: str = "/shop/", source: str = OTHER, headers: Mapping[str, str] | None = None, **more: Any) -> Any:  # noqa: ANN401
    """Return a request from an address of the host itself."""
    usual = {"to": "127.0.0.1", "port": 80, "method": "GET", "host": NAME, "begin": ""}
    return {**usual, "path": path, "source": source, "headers": headers or {}, **more}


def speaks(source: str) -> str:
    """Return the beginning of a load balancer's connection."""
    return f"PROXY TCP4 {source} 127.0.0.1 4321 80\r\n"


@dataclass
class Got:
    """An answer."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def environ(self) -> dict[str, str]:
        """What the app was told."""
        found: dict[str, str] = json.loads(self.text)
        return found


@dataclass
class Shop:
    """The app on a host."""

    host: Host
    source: Path

    def run(self, **declared: object) -> Run:
        """Return a run that has not begun."""
        return Run(self.host, {"source": str(self.source), **declared})

    def deploy(self, **declared: object) -> bool:
        """Make a run. Returns whether it changed something."""
        run = self.run(**declared)
        run.deploy()
        return run.changed

    def ask(self, *requests: Any) -> list[Got]:  # noqa: ANN401 - see `asked`
        """Ask from within the host, where every address 127.* can be the proxy's."""
        done = self.host.run(["python3", "-c", ASK], stdin=json.dumps(requests))
        return [Got(*each) for each in json.loads(done.stdout)]

    def statuses(self, paths: Sequence[str], **more: Any) -> dict[str, int]:  # noqa: ANN401 - see `asked`
        """Return the status that each path gets."""
        return dict(
            zip(paths, [each.status for each in self.ask(*(asked(path, **more) for path in paths))], strict=True)
        )

    def logged(self) -> str:
        """Return what the app's log has of the last request."""
        return self.host.run(["tail", "-n1", "/var/log/flask-apache/shop/access.log"]).stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source of an app that answers with what it was told."""
    directory = tmp_path_factory.mktemp("access") / "source"
    return write(directory, "200 OK")


def write(directory: Path, status: str) -> Path:
    """Write a source."""
    (directory / "static").mkdir(parents=True)
    (directory / "static/a.txt").write_text("the file")
    (directory / "app.py").write_text(CODE.format(status=status))
    return directory


@pytest.fixture(scope="module")
def shops(start_host: Callable[[str], Host], source: Path) -> list[Shop]:
    """Return a host of each Debian release."""
    hosts = each(["debian-12-hot", "debian-13-hot"], start_host)
    return [Shop(host, source) for host in hosts]


def test_nobody_is_told_a_password(shops: list[Shop], source: Path) -> None:
    """Not by a first run with -vvv and --diff, nor by the host, except that root and Apache can read the hashes."""
    variables = {f"flask_apache_{name}": value for name, value in {**DECLARED, "source": str(source)}.items()}
    done = apply_role([shop.host for shop in shops], variables, "--diff", "-vvv")
    assert "/etc/flask-apache/shop/users-" in done.output
    for password in PASSWORDS.values():
        for form in (password, json.dumps(password)[1:-1], repr(password)[1:-1]):
            assert form not in done.output
    assert "$2y$" not in done.output

    def go(shop: Shop) -> None:
        assert not shop.deploy(**DECLARED)
        listed = shop.host.snapshot(["/etc/flask-apache/shop"])
        files = {path: state for path, state in listed.items() if "/users-" in path}
        assert [(state.mode, state.owner, state.group) for state in files.values()] == [
            ("-rw-r-----", "root", "www-data")
        ] * 2
        text = "".join(shop.host.read(path) for path in files)
        assert sorted(re.findall(r"(?m)^(\w+):\$2y\$06\$[./\w]{53}$", text)) == sorted(PASSWORDS)
        for user in ("shop", "nobody"):
            assert shop.host.run(["cat", *files], user=user, check=False).returncode != 0
        found = shop.host.run(["grep", "-rlF", PASSWORDS["alice"], "/etc", "/srv", "/var/lib", "/var/log"], check=False)
        assert found.stdout == ""

    each(shops, go)


def test_a_login_and_a_list_of_addresses(shops: list[Shop]) -> None:
    """However the path is written; what is open stays open, and another app of the name is not concerned."""

    def go(shop: Shop) -> None:
        office = {"X-Forwarded-For": OFFICE}
        paths = ("/shop", "/shop/", "/shop/x", "/shop/static/a.txt", "/shop/open.xy", "/shop//open.x", "/shop/OPEN.x")
        assert shop.statuses(paths) == dict.fromkeys(paths, 401)
        others = [login("alice", "wrong"), login("alice", ""), login("root"), {"Authorization": "Bearer x"}]
        for wrong in others:
            assert shop.statuses(paths, headers=wrong) == dict.fromkeys(paths, 401)
        assert shop.statuses(paths, headers=login("alice")) == dict.fromkeys(paths, 200)
        for headers in ({}, login("alice"), login("root"), {**login("root"), **office}):
            assert shop.statuses(SPELLINGS, headers=headers) == dict.fromkeys(SPELLINGS, 403)
        for headers, status in (({}, 401), (login("alice"), 401), (login("root", "wrong"), 401), (login("root"), 200)):
            found = shop.statuses(SPELLINGS, source=PROXY, headers={**headers, **office})
            assert found == dict.fromkeys(SPELLINGS, status)
            elsewhere = shop.statuses(
                SPELLINGS, source=PROXY, headers={**headers, **office, "X-Forwarded-For": VISITOR}
            )
            assert set(elsewhere.values()) == {403}
        opened = ("/shop/open.x", "/shop/open.x/", "/shop/open.x/y")
        assert shop.statuses(opened) == dict.fromkeys(opened, 200)
        (got,) = shop.ask(asked(headers=login("bob")))
        assert (got.environ["REMOTE_USER"], "HTTP_AUTHORIZATION" in got.environ) == ("bob", False)
        assert shop.host.http("/shop/", NAME).headers["WWW-Authenticate"] == 'Basic realm="Staff"'
        ready, head, posted = shop.ask(*(asked("/shop/-/ready?a=b", method=each) for each in ("GET", "HEAD", "POST")))
        assert (ready.status, ready.text, head.status, posted.status) == (200, "", 200, 401)
        assert "Set-Cookie" not in ready.headers
        assert Deployed(shop.host, "shop").status()["state"] == "up"
        assert "as visits are restricted" in shop.host.run(["flask-apachectl", "--app", "shop", "status"]).stdout

    each(shops, go)


def test_a_changed_password_a_broken_release_and_a_rollback(shops: list[Shop], tmp_path: Path) -> None:
    """The first needs no reload; the second is refused behind a login, too; and a rollback stays behind it."""
    broken, second = write(tmp_path / "broken", "500 Broken"), write(tmp_path / "second", "200 Second")

    def go(shop: Shop) -> None:
        before = (shop.host.pid_of_apache(), reloads(shop.host))
        kept = shop.host.run("cat /etc/flask-apache/shop/users-*").stdout
        users = {"alice": "another-battery", "bob": PASSWORDS["bob"]}
        changed = {**DECLARED, "basic_auth": [{**DECLARED["basic_auth"][0], "users": users}, DECLARED["basic_auth"][1]]}
        assert shop.deploy(**changed)
        assert not shop.deploy(**changed)
        assert (shop.host.pid_of_apache(), reloads(shop.host)) == before
        tries = [login("alice"), login("alice", "another-battery"), login("bob")]
        assert [each.status for each in shop.ask(*(asked(headers=each) for each in tries))] == [401, 200, 200]
        now = shop.host.run("cat /etc/flask-apache/shop/users-*").stdout
        assert len(set(kept.split()) ^ set(now.split())) == 2
        with pytest.raises(StepError, match="answered 500"):
            shop.deploy(**{**changed, "source": str(broken)})
        shop.deploy(**{**changed, "source": str(second)})
        Deployed(shop.host, "shop").ctl("rollback")
        assert shop.statuses(["/shop/"]) == {"/shop/": 401}
        assert shop.statuses(["/shop/"], headers=login("bob")) == {"/shop/": 200}
        shop.deploy(**WITHIN)
        assert shop.host.run("ls /etc/flask-apache/shop/users-*", check=False).stdout == ""
        assert shop.statuses(SPELLINGS[:2]) == dict.fromkeys(SPELLINGS[:2], 200)

    each(shops, go)


def told(got: Got) -> dict[str, str]:
    """Return what the app was told by headers that proxies send."""
    names = [name for name in got.environ if "FORWARDED" in name or "REAL_IP" in name]
    return {name: got.environ[name] for name in names}


def test_proxies_are_believed_and_nobody_else(shops: list[Shop]) -> None:
    """Also where the app has HTTPS of its own: who came to the proxy by HTTPS is not redirected."""

    def go(shop: Shop) -> None:
        outside = shop.host.http("/shop/", NAME, headers=FORGED)
        assert told(Got(200, {}, outside.text)) == {}
        assert outside.json()["wsgi.url_scheme"] == "http"
        assert outside.json()["REMOTE_ADDR"] not in (OFFICE, VISITOR)
        (inside,) = shop.ask(asked(headers=FORGED))
        assert (told(inside), inside.environ["REMOTE_ADDR"]) == ({}, OTHER)
        assert shop.logged().startswith(f"{OTHER} ")
        named = {"X-Request-Id": "by-the-proxy"}
        believed, dropped = shop.ask(*(asked(source=each, headers=named) for each in (PROXY, OTHER)))
        assert believed.environ["HTTP_X_REQUEST_ID"] == believed.headers["X-Request-Id"] == "by-the-proxy"
        assert dropped.environ["HTTP_X_REQUEST_ID"] == dropped.headers["X-Request-Id"] != "by-the-proxy"
        several = {**FORGED, "X-Forwarded-For": f"{OFFICE}, {VISITOR}", "X-Forwarded-Proto": "http, https"}
        (got,) = shop.ask(asked(source=PROXY, headers=several))
        assert (got.environ["REMOTE_ADDR"], got.environ["wsgi.url_scheme"]) == (VISITOR, "https")
        assert got.environ["HTTP_X_FORWARDED_FOR"] == VISITOR
        assert not {"HTTP_FORWARDED", "HTTP_X_REAL_IP"} & set(told(got))
        assert shop.logged().startswith(f"{VISITOR} ")
        private = {"X-Forwarded-For": "10.1.2.3", "X-Forwarded-Proto": "http"}
        (got,) = shop.ask(asked(source=PROXY, headers=private))
        assert (got.environ["REMOTE_ADDR"], got.environ["wsgi.url_scheme"]) == ("10.1.2.3", "http")
        assert shop.deploy(**WITHIN, tls="self_signed", canonical_host=True, hsts=300)
        by_https = {"X-Forwarded-For": VISITOR, "X-Forwarded-Proto": "https"}
        requests = [
            asked("/shop/a?b", source, headers, host=name)
            for name in (NAME, ALIAS)
            for source, headers in ((PROXY, by_https), (PROXY, private), (OTHER, by_https))
        ]
        answers = shop.ask(*requests)
        assert [each.status for each in answers] == [200, *[308] * 5]
        assert {each.headers["Location"] for each in answers[1:]} == {f"https://{NAME}/shop/a?b"}
        assert answers[0].environ["wsgi.url_scheme"] == "https"
        hsts = [each.headers.get("Strict-Transport-Security") for each in answers]
        assert hsts == ["max-age=300", None, None] * 2

    each(shops, go)


def test_the_proxy_protocol(shops: list[Shop]) -> None:
    """It tells who connects to a load balancer, and only that one is believed; the port is the apps' alone."""

    def go(shop: Shop) -> None:
        assert shop.deploy(**BEHIND)
        assert not shop.deploy(**BEHIND)
        secure = [
            asked(source=PROXY, headers={**FORGED, "X-Request-Id": "forged"}, begin=speaks(VISITOR), port=443),
            asked(source=OTHER, begin=speaks(VISITOR), port=443),
            asked(source=OTHER, begin=speaks(OTHER), port=443),
        ]
        taken, liar, honest = shop.ask(*secure)
        assert (taken.environ["REMOTE_ADDR"], told(taken), taken.environ["wsgi.url_scheme"]) == (VISITOR, {}, "https")
        assert taken.environ["HTTP_X_REQUEST_ID"] != "forged"
        assert (liar.status, honest.environ["REMOTE_ADDR"]) == (403, OTHER)
        plain = [asked("/shop/-/ready", PROXY, begin=begin) for begin in (speaks(VISITOR), "")]
        assert [each.status for each in shop.ask(*plain)] == [200, 0]
        assert Deployed(shop.host, "shop").status()["state"] == "up"
        assert not Deployed(shop.host, "shop").ctl("doctor").get("failed")
        other = shop.run(**{**WITHIN, "app": "other", "mount": "/other"})
        with pytest.raises(
            StepError, match="flask_apache_proxy_protocol must be true at port 80, as it is for the app shop"
        ):
            other.deploy()
        other = shop.run(**{**BEHIND, "app": "other", "mount": "/other", "trusted_proxies": [OTHER]})
        (warning,) = other.step("plan")["warnings"]
        assert warning.startswith("flask_apache_trusted_proxies is not the same for the app shop, which has the same")
        shop.host.write("/etc/apache2/sites-enabled/site.conf", "<VirtualHost *:80>\nServerName a.b\n</VirtualHost>\n")
        with pytest.raises(StepError, match=r"must be false at the port of /etc/apache2/sites-enabled/site.conf:1"):
            shop.deploy(**BEHIND)
        shop.host.run(["rm", "/etc/apache2/sites-enabled/site.conf"])
        assert shop.deploy(**WITHIN)
        assert shop.host.http("/shop/", NAME).status == 200

    each(shops, go)
