"""What mod_md begins with, what it tells, and what stays of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import paths
from flask_apachectl.apache import acme, certificates
from flask_apachectl.host.desired import Directory, File, Link, make
from tests.support.certificates import issue
from tests.unit.flask_apachectl.samples import shop

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.declaration import Site

SITE: Site = replace(shop().site, https_port=443, acme="https://acme.example.net/dir")
NAMES = ("www.example.com",)
pytestmark = pytest.mark.usefixtures("as_root")


@pytest.fixture
def store(apache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return mod_md's directory on a host with systemd."""
    for name in ("UNITS", "HTTPS", "SYSTEMD"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
        (tmp_path / name.lower()).mkdir()
    certificates.self_signed.cache_clear()
    return apache / "md"


def job(store: Path, **told: Any) -> None:  # noqa: ANN401 - as mod_md has it
    """Let mod_md record its work for the site."""
    directory = store / "staging/www.example.com"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "job.json").write_text(json.dumps(told))


def test_the_store_is_where_apache_is_told(store: Path, apache: Path) -> None:
    assert acme.store() == store
    (apache / "conf-enabled/own.conf").write_text('<IfModule md_module>\n  mdstoredir "/srv/md"\n</IfModule>\n')
    assert str(acme.store()) == "/srv/md"
    (apache / "sites-enabled/z.conf").write_text("MDStoreDir other\n# MDStoreDir none\n")
    assert acme.store() == apache / "other"


def test_it_begins_with_a_certificate_of_the_hosts(store: Path, tmp_path: Path) -> None:
    steps = [acme.directory(), *acme.first(SITE, tmp_path / "none", NAMES)]
    for step in steps:
        make(step)
    pair = (store / "domains/www.example.com/pubcert.pem", store / "domains/www.example.com/privkey.pem")
    assert certificates.problem_of(*pair) == ""
    assert [step.mode for step in steps if isinstance(step, Directory)] == [0o750, 0o700, 0o700]
    assert [step.secret for step in steps if isinstance(step, File)] == [False, True]
    assert acme.first(SITE, tmp_path / "none", NAMES) == [], "it is mod_md's from now on"


def test_it_begins_with_what_was_served(store: Path, tmp_path: Path) -> None:
    before = issue("www.example.com", NAMES)
    for name, text in (("own.pem", before.pem), ("own.key", before.key)):
        (tmp_path / name).write_text(text)
    virtual_host = tmp_path / "site.conf"
    lines = [
        f'    SSLCertificate{kind}File "{tmp_path / name}"\n' for kind, name in (("", "own.pem"), ("Key", "own.key"))
    ]
    virtual_host.write_text("".join(lines))
    for step in [acme.directory(), *acme.first(SITE, virtual_host, NAMES)]:
        make(step)
    assert (store / "domains/www.example.com/pubcert.pem").read_text() == before.pem
    assert (store / "domains/www.example.com/privkey.pem").read_text() == before.key
    virtual_host.write_text(lines[0])
    (store / "domains/www.example.com/pubcert.pem").unlink()
    for step in acme.first(SITE, virtual_host, NAMES):
        make(step)
    assert (store / "domains/www.example.com/pubcert.pem").read_text() != before.pem, "its key is not known"


def test_what_mod_md_tells(store: Path) -> None:
    assert (acme.is_staged(SITE), acme.is_at_work(SITE), acme.problem(SITE)) == (False, False, "")
    job(store, finished=False, errors=0, last={"activity": "Contacting\nthe server"})
    assert (acme.is_staged(SITE), acme.is_at_work(SITE)) == (False, True)
    assert acme.problem(SITE) == "Contacting the server"
    job(store, finished=False, errors=2, last={"detail": "no", "activity": "x"})
    assert (acme.is_staged(SITE), acme.is_at_work(SITE), acme.problem(SITE)) == (False, False, "no")
    job(store, finished=True, errors=0)
    assert (acme.is_staged(SITE), acme.is_at_work(SITE), acme.problem(SITE)) == (True, True, "")


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"last": 5, "finished": "yes"}'])
def test_a_damaged_record_says_nothing(store: Path, text: str) -> None:
    job(store)
    (store / "staging/www.example.com/job.json").write_text(text)
    assert (acme.is_staged(SITE), acme.problem(SITE)) == (False, "")


def test_a_flag_goes_with_its_authority(store: Path) -> None:
    assert store.name == "md"
    assert SITE.https_flag is not None
    SITE.https_flag.write_text("1")
    plain = shop().site
    assert acme.users({"shop": SITE, "blog": plain}) == [SITE]
    assert acme.left({"shop": SITE}) == []
    other = replace(SITE, acme="https://other.example.net/dir")
    for apps in ({"shop": other}, {"shop": plain}, {}):
        assert acme.left(apps) == [Link(SITE.https_flag)]


def test_a_deserted_virtual_hosts_certificate_goes(store: Path) -> None:
    for place in ("domains", "archive", "challenges"):
        (store / place / "www.example.com").mkdir(parents=True)
    assert acme.left_by("www.example.com-443", {"www.example.com"}) == []
    assert acme.left_by("www.example.com-443", {"other.example.com"}) == [
        Link(store / place / "www.example.com") for place in ("domains", "challenges")
    ]
