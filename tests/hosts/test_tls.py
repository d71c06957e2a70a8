"""HTTPS: every kind of certificate, and the way from each to the next, with visitors who lose no request."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import small_app
from tests.support.certificates import Issued, issue
from tests.support.load import Client, visitors
from tests.support.parallel import each
from tests.support.playbooks import apply_role
from tests.support.releases import Deployed, reloads, wait_until
from tests.support.steps import Run, StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host
    from tests.support.load import Visitors

NAME, ALIAS, OTHER = "tls.example.com", "www.tls.example.com", "other.example.com"
DIRECTORY = f"/etc/flask-apache/vhosts/{NAME}-443"
ROOT = issue("a root")
FIRST = issue(NAME, (NAME, ALIAS), issue("an intermediate", issuer=ROOT))
SECOND = issue(NAME, (NAME, ALIAS), ROOT)
DECLARED = {
    "app": "shop",
    "wsgi": "app:app",
    "server_name": NAME,
    "server_aliases": [ALIAS],
    "requirements": [],
}


def files(issued: Issued) -> dict[str, Any]:
    """Return the variables for a certificate of the control node's."""
    return {
        "tls": "files",
        "tls_certificate": issued.pem,
        "tls_chain": issued.chain,
        "tls_key": issued.key,
    }


def on_host(issued: Issued, host: Host) -> dict[str, Any]:
    """Put a certificate on a host, and return the variables for it."""
    host.write("/etc/ssl/own.pem", issued.pem + issued.chain)
    host.write("/etc/ssl/private/own.pem", issued.key, mode=0o600)
    paths = {"tls_certificate": "/etc/ssl/own.pem", "tls_key": "/etc/ssl/private/own.pem"}
    return {"tls": "files", "tls_on": "host", **paths}


@pytest.fixture(scope="module")
def hosts(start_host: Callable[[str], Host]) -> list[Host]:
    """Return a host of each Debian release, with their own page."""
    return each(["debian-12-hot", "debian-13-hot"], start_host)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source of the app."""
    return small_app.write(tmp_path_factory.mktemp("tls") / "source", "one")


@dataclass
class Shop:
    """The app on a host."""

    host: Host
    source: Path

    def deploy(self, **changes: object) -> bool:
        """Make a run. Returns whether it changed something."""
        run = Run(self.host, {**DECLARED, "source": str(self.source), **changes})
        run.deploy()
        return run.changed

    def shown(self, name: str = NAME) -> str:
        """Return the certificate that a visitor sees."""
        return self.host.certificate(name).strip()

    def expect_content(self) -> None:
        """See doctor content: processes of the idle pool may be still about to end."""
        app = Deployed(self.host, "shop")
        assert wait_until(lambda: not app.ctl("doctor", "--thorough").get("failed"), 10)


@pytest.fixture(scope="module")
def shops(hosts: list[Host], source: Path) -> list[Shop]:
    """Serve the app by plain HTTP."""
    found = [Shop(host, source) for host in hosts]
    each(found, Shop.deploy)
    return found


def crowd(shop: Shop, stack: contextlib.ExitStack, *, https: bool) -> Visitors:
    """Let visitors ask: for the app, or at port 80 for the readiness address, which is never redirected."""
    path, port = ("/", 443) if https else ("/-/ready", 80)
    clients = [Client("single", 2, 0.1, path)]
    return stack.enter_context(visitors(shop.host.ip, NAME, clients, port, https=https))


def answered(shop: Shop, found: Visitors) -> None:
    """See that all visitors got their answer."""
    wrong = [answer for answer in found.answers if answer.status != 200]
    excused = {answer.began for answer in found.failed()} - {
        answer.began for answer in found.failed_beside_a_reload(shop.host)
    }
    assert [answer for answer in wrong if answer.began not in excused] == []
    assert len(found.answers) > 20


def test_from_each_kind_of_certificate_to_the_next(shops: list[Shop]) -> None:
    """No request is lost; a second run changes nothing; only what is served stays on the host."""
    each(shops, go_through_all_kinds)


def go_through_all_kinds(shop: Shop) -> None:
    """Take an app from plain HTTP through all kinds of certificates, and back."""
    host = shop.host
    made: list[str] = []
    with contextlib.ExitStack() as ready:
        plain = crowd(shop, ready, https=False)
        with contextlib.ExitStack() as over:
            for number, (own, shown) in enumerate(
                [
                    ({"tls": "self_signed"}, None),
                    (files(FIRST), FIRST),
                    (on_host(SECOND, host), SECOND),
                    ({**files(SECOND), "tls_profile": "modern"}, SECOND),
                    ({"tls": "self_signed"}, None),
                ]
            ):
                count = reloads(host)
                assert shop.deploy(**own)
                assert reloads(host) == count + 1
                if number == 0:
                    secure = crowd(shop, over, https=True)
                assert not shop.deploy(**own), own
                assert reloads(host) == count + 1
                expect_redirected(host)
                if shown:
                    assert shop.shown() == shown.pem.strip()
                else:
                    made.append(shop.shown())
                expect_on_disk(host, own)
                shop.expect_content()
        answered(shop, secure)
        assert made[0] != made[1], "the key that was replaced is not kept"
        assert shop.deploy()
        assert not shop.deploy()
        assert host.http("/", NAME).json()["mark"] == "one"
        assert not host.exists(DIRECTORY)
        shop.expect_content()
    answered(shop, plain)


def expect_redirected(host: Host) -> None:
    """See visitors of plain HTTP led to HTTPS."""
    for name, sent, place in (
        (NAME, "/", f"https://{NAME}/"),
        (ALIAS, "/a%20b/%2f?c=%3F&d=?", f"https://{ALIAS}/a%20b/%2f?c=%3F&d=?"),
        (f"{ALIAS}:8080", "/echo", f"https://{ALIAS}/echo"),
        (NAME, f"http://{NAME}/echo?x", f"https://{NAME}/echo?x"),
        (NAME, "//evil.example.com/", f"https://{NAME}//evil.example.com/"),
    ):
        answer = host.http(sent, name)
        assert (answer.status, answer.headers["Location"]) == (308, place)
    assert host.http("/", NAME, method="POST", body="a=b").status == 308
    assert host.http("/-/ready", NAME).status == 200
    assert host.http("/echo/%2Fx?y", NAME, https=True).json()["text"] == "/echo//x?y"


def expect_on_disk(host: Host, own: dict[str, Any]) -> None:
    """See that nobody but root can read a key, and that none is there that is not used."""
    found = host.snapshot([DIRECTORY])
    keys = {path: (state.mode, state.owner) for path, state in found.items() if path.endswith("key.pem")}
    expected = {} if own.get("tls_on") == "host" else {f"{DIRECTORY}/key.pem": ("-rw-------", "root")}
    assert keys == expected


def handshake(host: Host, *, newest: ssl.TLSVersion, offered: list[str]) -> tuple[str | None, str | None]:
    """Return the protocol of TLS and that above it, which a visitor and a host agree on."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, newest
    context.set_alpn_protocols(offered)
    with (
        socket.create_connection((host.ip, 443), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as secure,
    ):
        return secure.version(), secure.selected_alpn_protocol()


def test_protocols_and_headers(shops: list[Shop]) -> None:
    """HTTP/2, Mozilla's profiles, HSTS and the canonical host are as declared."""
    each(shops, expect_protocols)


def expect_protocols(shop: Shop) -> None:
    """Ask in several ways."""
    host = shop.host
    shop.deploy(**files(FIRST), hsts=300, canonical_host=True)
    assert handshake(host, newest=ssl.TLSVersion.TLSv1_3, offered=["h2", "http/1.1"]) == ("TLSv1.3", "h2")
    assert handshake(host, newest=ssl.TLSVersion.TLSv1_2, offered=["http/1.1"]) == ("TLSv1.2", "http/1.1")
    answer = host.http("/", NAME, https=True)
    assert (answer.status, answer.headers["Strict-Transport-Security"]) == (200, "max-age=300")
    for is_secure in (False, True):
        answer = host.http("/a?b", ALIAS, https=is_secure)
        assert (answer.status, answer.headers["Location"]) == (308, f"https://{NAME}/a?b")
    assert host.http("/-/ready", ALIAS, https=True).status == 200
    shop.deploy(**files(FIRST), tls_profile="modern", http2=False)
    assert handshake(host, newest=ssl.TLSVersion.TLSv1_3, offered=["h2", "http/1.1"]) == ("TLSv1.3", "http/1.1")
    with pytest.raises(ssl.SSLError):
        handshake(host, newest=ssl.TLSVersion.TLSv1_2, offered=["http/1.1"])
    assert "Strict-Transport-Security" not in host.http("/", NAME, https=True).headers


def test_what_is_wrong_changes_nothing(shops: list[Shop]) -> None:
    """A certificate that Apache cannot use, or a port that is taken, is refused before anything changes."""
    each(shops, expect_refusals)


def expect_refusals(shop: Shop) -> None:
    """Declare what is wrong in each way."""
    host = shop.host
    shop.deploy(**files(FIRST))
    before, count = host.snapshot(["/etc"]), reloads(host)
    host.write("/etc/ssl/broken.pem", SECOND.pem)
    host.write("/etc/ssl/private/broken.pem", FIRST.key)
    there = {"tls": "files", "tls_on": "host", "tls_certificate": "/etc/ssl/broken.pem"}
    for own, told in (
        ({**files(FIRST), "tls_key": SECOND.key}, "flask_apache_tls_key must be the private key of the certificate"),
        ({**files(FIRST), "tls_certificate": "/nowhere.pem"}, "no such file or directory"),
        ({**there, "tls_key": "/etc/ssl/private/broken.pem"}, "it does not belong to the certificate"),
        ({**there, "tls_key": "/nowhere.pem"}, "no such file or directory"),
        ({**there, "tls_certificate": "/etc/hosts", "tls_key": "/etc/hosts"}, "must contain a certificate in PEM"),
        ({**files(FIRST), "https_port": 4443}, "flask_apache_https_port must be a port that no other program uses"),
    ):
        listener = "import socket, time; s = socket.create_server(('', 4443)); time.sleep(600)"
        host.run(["systemd-run", "--quiet", "--unit=listener", "python3", "-c", listener])
        assert wait_until(lambda: ":4443" in host.run(["ss", "-ltn"]).stdout, 10)
        with pytest.raises(StepError, match=told):
            shop.deploy(**own)
        host.run(["systemctl", "stop", "listener"])
    after = {path: state for path, state in host.snapshot(["/etc"]).items() if "broken.pem" not in path}
    assert {path for path in {*before, *after} if before.get(path) != after.get(path)} <= {
        "/etc/ssl",
        "/etc/ssl/private",
    }
    assert reloads(host) == count
    assert shop.shown() == FIRST.pem.strip()


def test_apps_of_one_name_share_its_certificate(shops: list[Shop], tmp_path: Path) -> None:
    """Another app below the same name is served by the same virtual host, and leaves it to the first one."""
    two = small_app.write(tmp_path / "two", "two")

    def go(shop: Shop) -> None:
        shop.deploy(tls="self_signed")
        shown = shop.shown()
        other = Run(shop.host, {**DECLARED, "app": "two", "source": str(two), "mount": "/two", "tls": "self_signed"})
        other.deploy()
        assert shop.shown() == shown
        assert not shop.deploy(tls="self_signed")
        marks = [shop.host.http(path, NAME, https=True).json()["mark"] for path in ("/", "/two/")]
        assert marks == ["one", "two"]
        assert shop.host.http("/two/x", NAME).headers["Location"] == f"https://{NAME}/two/x"
        other.step("remove")
        assert shop.shown() == shown
        assert not shop.deploy(tls="self_signed")

    each(shops, go)


def test_nobody_is_told_the_key(hosts: list[Host], source: Path, tmp_path: Path) -> None:
    """Neither --diff nor -vvv shows it, nor does an error; a plan on a host without TLS says what would change."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    key.write_text(SECOND.key)
    certificate.write_text(SECOND.pem)
    declared = {**DECLARED, "source": str(source), "tls": "files", "tls_certificate": str(certificate)}
    declared["tls_key"] = str(key)
    variables = {f"flask_apache_{name}": value for name, value in declared.items()}
    secret = SECOND.key.splitlines()[1]
    planned = apply_role(hosts, variables, "--check", "--diff", "-vvv")
    done = apply_role(hosts, variables, "--diff", "-vvv")
    certificate.write_text(FIRST.pem)
    failed = apply_role(hosts, variables, "--diff", "-vvv", check=False)
    assert "flask_apache_tls_key must be the private key" in failed.output
    for play in (planned, done, failed):
        assert secret not in play.output
        assert json.dumps(secret)[1:-1] not in play.output
    assert f"{DIRECTORY}/key.pem" in planned.output
    assert planned.changed == done.changed == 2
    for host in hosts:
        assert host.certificate(NAME).strip() == SECOND.pem.strip()


def test_another_site_of_https_keeps_its_visitors(hosts: list[Host], source: Path) -> None:
    """A site that is enabled with mod_ssl, and another one that waits for it, answer as before."""

    def go(host: Host) -> None:
        Run(host, DECLARED).step("remove")
        host.write("/etc/ssl/other.pem", issue(OTHER, (OTHER,)).pem)
        other = issue(OTHER, (OTHER,))
        host.write("/etc/ssl/other.pem", other.pem)
        host.write("/etc/ssl/private/other.pem", other.key, mode=0o600)
        site = (
            f"<VirtualHost *:443>\nServerName {OTHER}\nSSLEngine On\nSSLCertificateFile /etc/ssl/other.pem\n"
            "SSLCertificateKeyFile /etc/ssl/private/other.pem\nDocumentRoot /var/www/html\n</VirtualHost>\n"
        )
        host.write("/etc/apache2/sites-available/other.conf", site)
        host.run("a2enmod --quiet ssl && a2ensite --quiet other && systemctl restart apache2")
        Shop(host, source).deploy(**files(FIRST))
        assert host.certificate(NAME).strip() == FIRST.pem.strip()
        assert host.certificate(OTHER).strip() == host.certificate("unknown.example.com").strip() == other.pem.strip()
        assert host.http("/", OTHER, https=True).status == 200
        assert host.http("/", NAME, https=True).json()["mark"] == "one"
        Run(host, DECLARED).step("remove")
        assert host.certificate(NAME).strip() == other.pem.strip()
        assert not host.exists(DIRECTORY)

    each(hosts, go)


def test_a_release_is_judged_over_https(hosts: list[Host], source: Path, tmp_path: Path) -> None:
    """A broken release is refused, a good one goes live, and a rollback brings the other one back."""
    good = small_app.write(tmp_path / "good", "two")
    broken = small_app.write(tmp_path / "broken", "broken", {"/": (500, "broken")})

    def go(host: Host) -> None:
        Shop(host, source).deploy(tls="self_signed")
        with pytest.raises(StepError, match="/ answered 500"):
            Shop(host, broken).deploy(tls="self_signed")
        Shop(host, good).deploy(tls="self_signed")
        assert host.http("/", NAME, https=True).json()["mark"] == "two"
        app = Deployed(host, "shop")
        began = time.monotonic()
        app.ctl("rollback")
        assert time.monotonic() - began < 5
        assert host.http("/", NAME, https=True).json()["mark"] == "one"
        assert app.status()["url"] == f"https://{NAME}/"

    each(hosts, go)
