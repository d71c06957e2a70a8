"""What Apache's configuration has that is not the role's."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.apache import others, rotation
from flask_apachectl.apache.listing import Listen, Listing, VirtualHost
from flask_apachectl.host import facts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BLOG = VirtualHost("*", 80, ("blog.example.com",), "/etc/apache2/sites-enabled/blog.conf", 3)


@pytest.mark.usefixtures("apache")
def test_a_host_without_apache_will_be_as_debians_package() -> None:
    found = others.configuration()
    assert [(site["address"], site["port"], site["stock"]) for site in found["sites"]] == [("*", 80, True)]
    assert [listen["port"] for listen in found["listens"]] == [80]
    assert found["main"] == ""


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("/etc/apache2/sites-enabled/zz-flask-apache-www.example.com-80.conf", True),
        ("/etc/apache2/sites-enabled/00-flask-apache-www.example.com-80.conf", True),
        ("/etc/apache2/sites-enabled/zzz-243-flask-apache-www.example.com-80.conf", True),
        ("/etc/apache2/sites-enabled/zy-flask-apache-main_80.conf", True),
        ("/etc/apache2/sites-enabled/flask-apache-www.example.com-80.conf", True),
        ("/etc/apache2/conf-enabled/flask-apache.conf", True),
        ("/etc/flask-apache/vhosts/www.example.com-80/998-shop.conf", True),
        ("/etc/apache2/sites-enabled/my-flask-apache-site.conf", False),
        ("/etc/apache2/sites-enabled/blog.conf", False),
    ],
)
def test_whose_a_file_is(file: str, *, expected: bool) -> None:
    assert others.is_own(file) is expected


def test_the_roles_own_do_not_count() -> None:
    mine = replace(BLOG, file="/etc/apache2/sites-enabled/zz-flask-apache-x-80.conf")
    found = Listing((mine, BLOG), (Listen("", 80, mine.file, 1), Listen("", 81, BLOG.file, 2)), "main", "/srv")
    assert others.without_own(found) == Listing((BLOG,), (Listen("", 81, BLOG.file, 2),), "main", "/srv")


@pytest.mark.usefixtures("apache")
def test_sites_as_plain_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "everything", lambda: Listing((BLOG,), (Listen("::1", 80, "/p", 4),), "main", "/srv"))
    assert others.configuration() == {
        "sites": [
            {"file": BLOG.file, "line": 3, "address": "*", "port": 80, "names": ["blog.example.com"], "stock": False}
        ],
        "listens": [{"address": "::1", "port": 80, "file": "/p", "line": 4}],
        "main": "/srv",
    }


# --- The distribution's page


@pytest.fixture
def stock(apache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return Debian's own site, as its package knows it."""
    site = apache / "sites-enabled/000-default.conf"
    site.write_text("<VirtualHost *:80>\n    DocumentRoot /var/www/html\n</VirtualHost>\n")
    digest = hashlib.md5(site.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(facts, "output", lambda *_command: f" /etc/apache2/sites-available/x {digest}\n")
    others.PAGE.mkdir()
    (others.PAGE / "index.html").write_text("<title>Apache2 Debian Default Page: It works</title>")
    return site


def test_debians_own_site_is_nobodys(stock: Path) -> None:
    assert others.is_stock(stock)
    (others.PAGE / "index.html").write_text("<title>Apache2 Ubuntu Default Page: It works</title>")
    assert others.is_stock(stock)
    (others.PAGE / "index.html").unlink()
    assert others.is_stock(stock)


@pytest.mark.parametrize(
    "change",
    [
        lambda site: site.write_text(site.read_text() + "# mine\n"),
        lambda _site: (others.PAGE / "index.html").write_text("<title>My page</title>"),
        lambda _site: (others.PAGE / "about.html").touch(),
    ],
)
def test_a_changed_default_site_is_somebodys(stock: Path, change: Callable[[Path], object]) -> None:
    change(stock)
    assert not others.is_stock(stock)


def test_a_default_site_by_another_name_is_somebodys(stock: Path) -> None:
    assert not others.is_stock(stock.rename(stock.with_name("mine.conf")))


# --- Log rotation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, False),
        ("", False),
        ("distribution\n", False),
        ("# as logrotate.distribution, of another version\n", False),
        ("role", False),  # cut
        ("mine\n", True),
    ],
)
def test_whose_the_rotation_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, *, expected: bool
) -> None:
    monkeypatch.setattr(rotation, "ROTATION", tmp_path / "apache2")
    digest = hashlib.md5(b"distribution\n", usedforsecurity=False).hexdigest()
    monkeypatch.setattr(facts, "output", lambda *_command: f" /etc/logrotate.d/apache2 {digest}\n")
    if text is not None:
        rotation.ROTATION.write_text(text)
    assert rotation.is_somebodys(b"role's\n") is expected


# --- What decides how far the whole Apache is hardened


def put(apache: Path, name: str, text: str = "") -> None:
    """Write a file of the configuration."""
    (apache / name).write_text(text)


def of_package(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    """Let Apache's package have files with these texts."""
    digests = "\n".join(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for text in texts)
    monkeypatch.setattr(facts, "output", lambda *_: digests)


def test_a_host_with_nothing_but_debians_page_serves_no_others(apache: Path) -> None:
    for name in ("security", "serve-cgi-bin", "zz-flask-apache-harden_server"):
        put(apache, f"conf-enabled/{name}.conf", "ScriptAlias /cgi-bin/ /usr/lib/cgi-bin/\n")
    put(apache, "conf-enabled/fqdn.conf", "ServerName www.example.com\n# Alias /x /y\n")
    put(apache, "mods-enabled/status.load")
    assert others.are_none()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("conf-enabled/phpmyadmin.conf", "  Alias /phpmyadmin /usr/share/phpmyadmin\n"),
        ("conf-enabled/munin.conf", "<Location /munin>\nSetHandler fcgid-script\n"),
        ("conf-enabled/mine.conf", "IncludeOptional /srv/*.conf\n"),
        ("conf-enabled/mine.conf", "WSGIScriptAlias / /srv/app.wsgi\n"),
        ("mods-enabled/php8.2.load", ""),
        ("mods-enabled/cgid.load", ""),
        ("mods-enabled/userdir.load", ""),
    ],
)
def test_what_others_serve_everywhere(apache: Path, name: str, text: str) -> None:
    put(apache, name, text)
    assert not others.are_none()


@pytest.mark.usefixtures("apache")
def test_a_site_or_pages_of_the_main_server_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "everything", lambda: Listing((BLOG,), (), "", str(others.PAGE)))
    assert not others.are_none()
    monkeypatch.setattr(others, "everything", lambda: Listing((), (), "", "/srv/pages"))
    assert not others.are_none()
    monkeypatch.setattr(others, "everything", lambda: Listing((), (), "", str(others.PAGE)))
    assert others.are_none()


def test_a_size_that_somebody_has_chosen(apache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_package(monkeypatch, "MaxRequestWorkers 150\n")
    put(apache, "mods-available/mpm_event.conf", "MaxRequestWorkers 150\n")
    (apache / "mods-enabled/mpm_event.conf").symlink_to("../mods-available/mpm_event.conf")
    put(apache, "conf-enabled/zz-flask-apache-harden_server.conf", "MaxRequestWorkers 1024\n")
    assert not others.has_own_size()
    put(apache, "conf-enabled/size.conf", "# MaxRequestWorkers 9\n")
    assert not others.has_own_size()
    put(apache, "conf-enabled/size.conf", "  ServerLimit 100\n")
    assert others.has_own_size()
    (apache / "conf-enabled/size.conf").unlink()
    put(apache, "mods-available/mpm_event.conf", "MaxRequestWorkers 400\n")
    assert others.has_own_size()
