"""Certificates by ACME: got in one run, renewed and loaded without one, and no request is lost on the way."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import small_app
from tests.support.authority import DIRECTORY, HMAC, KEY_ID, Authority
from tests.support.certificates import issue
from tests.support.load import Client, visitors
from tests.support.parallel import each
from tests.support.releases import Deployed, wait_until
from tests.support.steps import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host
    from tests.support.load import Visitors

MD = "/etc/apache2/md"
TIMER = "flask-apachectl-certificates.timer"
OWN = issue("before", ("before.example.com",))


@pytest.fixture(scope="module")
def authority(start_host: Callable[[str], Host]) -> Authority:
    """Return an authority that is not running."""
    found = Authority(start_host("debian-13"))
    found.install()
    return found


@pytest.fixture(scope="module")
def hosts(start_host: Callable[[str], Host], authority: Authority) -> list[Host]:
    """Return a host of each Debian release, which knows the authority."""
    found = each(["debian-12-hot", "debian-13-hot"], start_host)
    for host in found:
        authority.serve(host, names(host))
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source of the app."""
    return small_app.write(tmp_path_factory.mktemp("acme") / "source", "one")


def names(host: Host) -> list[str]:
    """Return the names of the app on a host, which the authority finds there."""
    return [f"{label}.{host.distribution}.example.com" for label in ("www", "shop")]


def declared(host: Host, source: Path, **changes: object) -> dict[str, Any]:
    """Return the variables of the app."""
    name, alias = names(host)
    return {
        "app": "shop",
        "wsgi": "app:app",
        "requirements": [],
        "source": str(source),
        "server_name": name,
        "server_aliases": [alias],
        "tls": "acme",
        "acme_directory": DIRECTORY,
        "acme_terms_agreed": True,
        "acme_email": "admin@example.com",
        "acme_wait": 30,
        **changes,
    }


def deploy(host: Host, source: Path, **changes: object) -> Run:
    """Make a run."""
    run = Run(host, declared(host, source, **changes))
    run.deploy()
    return run


def shown(host: Host) -> str:
    """Return the certificate that visitors see."""
    return host.certificate(names(host)[0]).strip()


def crowds(host: Host, stack: contextlib.ExitStack) -> list[Visitors]:
    """Let visitors ask by HTTP, for what is never redirected, and by HTTPS."""
    name = names(host)[0]
    plain = visitors(host.ip, name, [Client("plain", 2, 0.1, "/-/ready")])
    secure = visitors(host.ip, name, [Client("secure", 2, 0.1, "/")], 443, https=True)
    return [stack.enter_context(each) for each in (plain, secure)]


def expect_answers(host: Host, found: list[Visitors]) -> None:
    """See that all visitors got their answer."""
    for crowd in found:
        failed = {answer.began for answer in crowd.failed_beside_a_reload(host)}
        assert [answer for answer in crowd.answers if answer.status != 200 and answer.began in failed] == []
        assert len(crowd.answers) > 20


def test_a_bare_host_has_its_certificate_after_one_run(hosts: list[Host], authority: Authority, source: Path) -> None:
    """Half of the nonces are rejected, and one of the hosts has an account that the authority wants."""
    authority.start(rejected_nonces=50)
    each(hosts, lambda host: expect_first(host, authority, source))


def expect_first(host: Host, authority: Authority, source: Path) -> None:
    """Deploy, and deploy again."""
    name, alias = names(host)
    run = deploy(host, source)
    awaited, release = run.results["await_certificate"], run.results["prepare"]["release"]
    assert awaited["msg"] == f"https://{name}/ has its certificate"
    assert awaited["serves"] == f"https://{name}/ serves {release}"
    assert authority.is_issuer(shown(host))
    store = host.run(["stat", "-c", "%U %G %a", "/etc/apache2/md"]).stdout.strip()
    assert store == "root www-data 750"  # what is staged there may be read by everybody else
    for each_name in (name, alias):
        answer = host.http("/x?y", each_name)
        assert (answer.status, answer.headers["Location"]) == (308, f"https://{each_name}/x?y")
        assert host.http("/", each_name, https=True).json()["mark"] == "one"
    first = shown(host)
    again = deploy(host, source)
    assert not again.changed
    assert "await-certificate" not in " ".join(again.calls)
    assert Deployed(host, "shop").status()["url"] == f"https://{name}/"
    assert not Deployed(host, "shop").ctl("doctor").get("failed")
    assert host.run(["systemctl", "is-active", TIMER]).stdout.strip() == "active"
    assert "there is nothing to load" in host.run("flask-apachectl certificates").stdout
    assert shown(host) == first


def test_it_is_renewed_without_a_run(hosts: list[Host], authority: Authority, source: Path) -> None:
    """The timer's service lets Apache load a renewed certificate; without the authority, the old one serves on."""
    each(hosts, lambda host: expect_renewal(host, authority))
    authority.stop()
    each(hosts, lambda host: expect_no_renewal(host, authority))
    authority.start()
    assert not any(each(hosts, lambda host: deploy(host, source).changed))


def make_old(host: Host) -> str:
    """Let the certificate expire soon, so that mod_md renews it at once. Returns it."""
    old = issue(names(host)[0], tuple(names(host)), days=(-80, 9))
    directory = f"{MD}/domains/{names(host)[0]}"
    host.write(f"{directory}/pubcert.pem", old.pem, mode=0o600)
    host.write(f"{directory}/privkey.pem", old.key, mode=0o600)
    host.run(f"rm -f {directory}/job.json; systemctl reload apache2")
    assert wait_until(lambda: shown(host) == old.pem.strip(), 10)
    return old.pem.strip()


def staged(host: Host) -> bool:
    """Tell whether mod_md has a new certificate that Apache has not loaded."""
    place = f"{MD}/staging/{names(host)[0]}/job.json"
    return '"finished": true' in host.run(["cat", place], check=False).stdout


def expect_renewal(host: Host, authority: Authority) -> None:
    """See a certificate renewed while visitors ask."""
    old = make_old(host)
    with contextlib.ExitStack() as stack:
        found = crowds(host, stack)
        assert wait_until(lambda: staged(host), 60)
        assert shown(host) == old
        host.run("systemctl start flask-apachectl-certificates.service")
        assert shown(host) != old
        assert authority.is_issuer(shown(host))
        time.sleep(1)
    expect_answers(host, found)


def expect_no_renewal(host: Host, authority: Authority) -> None:
    """See visitors get the app by the old certificate while the authority is away."""
    old = make_old(host)
    assert wait_until(lambda: '"errors": ' in host.run(f"cat {MD}/staging/*/job.json", check=False).stdout, 30)
    assert "there is nothing to load" in host.run("flask-apachectl certificates").stdout
    assert host.http("/", names(host)[0], https=True).status == 200
    assert shown(host) == old
    assert not authority.is_issuer(old)


def test_to_another_kind_and_back(hosts: list[Host], authority: Authority, source: Path) -> None:
    """No request is lost; what belonged to ACME goes; the first certificate comes while the one before serves."""
    each(hosts, lambda host: expect_changes(host, authority, source))


def expect_changes(host: Host, authority: Authority, source: Path) -> None:
    """Take an app from ACME to a file, to ACME, and to plain HTTP."""
    own = issue(names(host)[0], tuple(names(host)))
    files = {"tls": "files", "tls_certificate": own.pem, "tls_key": own.key}
    with contextlib.ExitStack() as stack:
        found = crowds(host, stack)
        deploy(host, source, **files)
        assert shown(host) == own.pem.strip()
        assert not host.exists(f"/etc/systemd/system/{TIMER}")
        assert host.run("ls /srv/flask-apache/.https").stdout == ""
        host.run(f"rm -rf {MD}/domains")
        waiting = deploy(host, source, acme_wait=0)
        assert waiting.results["await_certificate"]["pending"]
        assert shown(host) == own.pem.strip()
        assert host.http("/", names(host)[0]).json()["mark"] == "one", "not redirected yet"
        deploy(host, source)
        assert authority.is_issuer(shown(host))
        assert host.http("/", names(host)[0]).status == 308
    expect_answers(host, found)
    deploy(host, source, tls="none")
    assert host.http("/", names(host)[0]).json()["mark"] == "one"
    assert not host.exists(f"{MD}/domains/{names(host)[0]}")


def test_an_authority_that_is_away_at_the_first_deploy(hosts: list[Host], authority: Authority, source: Path) -> None:
    """The app is served by plain HTTP, the run says why, and the certificate comes later: behind a login, too."""
    authority.stop()
    login = {"basic_auth": [{"users": {"alice": "battery"}}]}

    def begin(host: Host) -> None:
        run = deploy(host, source, acme_wait=3, **login)
        assert "Visitors get http://" in run.results["await_certificate"]["warnings"][0]
        assert host.http("/", names(host)[0]).status == 401

    each(hosts, begin)
    authority.start(wants_account=True)

    def end(host: Host) -> None:
        without = deploy(host, source, acme_wait=2, **login).results["await_certificate"]
        assert without["pending"]
        account = {"acme_key_id": KEY_ID, "acme_hmac": HMAC, **login}
        run = deploy(host, source, **account)
        assert authority.is_issuer(shown(host)), run.results["await_certificate"]
        place = f"/etc/flask-apache/vhosts/{names(host)[0]}-443/external-account.json"
        assert host.snapshot([place])[place].mode == "-rw-------"
        assert not deploy(host, source, **account).changed

    each(hosts, end)


def test_a_removal_takes_all_of_it(hosts: list[Host], source: Path) -> None:
    """Nothing is left of the timer, the certificate and its key."""

    def go(host: Host) -> None:
        Run(host, declared(host, source)).step("remove")
        assert host.run(f"ls {MD}/domains {MD}/staging {MD}/challenges").stdout.split() == [
            *(f"{MD}/{name}:" for name in ("challenges", "domains", "staging")),
        ]
        assert not host.exists(f"/etc/systemd/system/{TIMER}")
        assert host.run(["systemctl", "is-active", TIMER], check=False).stdout.strip() == "inactive"
        assert not host.exists("/srv/flask-apache")

    each(hosts, go)
