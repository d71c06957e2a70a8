"""What Apache's configuration that is not the role's says."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.apache import others
from flask_apachectl.host import facts

if TYPE_CHECKING:
    from pathlib import Path

PORTS = """
# Listen 1111
Listen 8080
Listen 127.0.0.1:81
  listen [::]:82 https
<IfModule mod_gnutls.c>
    Listen 443
</IfModule>
"""
SITES = """
<VirtualHost *:80>
    ServerName WWW.Example.com
    ServerAlias example.com  *.example.com
    # ServerAlias commented.example.com
    <Directory /srv>
        Require all granted
    </Directory>
</VirtualHost>

#<VirtualHost *:99>
#    ServerName commented.example.com
#</VirtualHost>

<virtualhost 192.0.2.1:443 [2001:db8::1]:8443 _default_:444>
    ServerName "https://secure.example.com:443"
</virtualhost>
"""


def test_ports(apache: Path) -> None:
    (apache / "ports.conf").write_text(PORTS)
    (apache / "conf-enabled/more.conf").write_text("Listen 8081\nListenBackLog 500\n")
    assert others.configuration()["ports"] == [81, 82, 8080, 8081]


@pytest.mark.parametrize("name", ["mod_gnutls.c", "gnutls_module", "mod_gnutls"])
def test_a_port_of_a_module_counts_once_that_is_enabled(apache: Path, name: str) -> None:
    (apache / "ports.conf").write_text(PORTS.replace("mod_gnutls.c", name))
    assert 443 not in others.configuration()["ports"]
    (apache / "mods-enabled/gnutls.load").write_text("")
    assert 443 in others.configuration()["ports"]


def test_a_host_without_apache_will_listen_as_debians_does(apache: Path) -> None:
    apache.rename(apache.with_name("elsewhere"))
    assert others.configuration() == {"sites": [], "ports": [80], "wsgi": []}


def test_sites(apache: Path) -> None:
    (apache / "sites-available/two.conf").write_text(SITES)
    (apache / "sites-enabled/two.conf").symlink_to("../sites-available/two.conf")
    found = [(site["port"], site["hosts"]) for site in others.configuration()["sites"]]
    assert found == [
        (80, ["www.example.com", "example.com", "*.example.com"]),
        (443, ["secure.example.com"]),
        (8443, ["secure.example.com"]),
        (444, ["secure.example.com"]),
    ]
    files = {site["file"] for site in others.configuration()["sites"]}
    assert files == {str(apache / "sites-enabled/two.conf")}


def test_a_site_without_a_port_is_on_all(apache: Path) -> None:
    (apache / "ports.conf").write_text("Listen 80\nListen 81\n")
    (apache / "sites-enabled/all.conf").write_text("<VirtualHost *>\nServerName a.example.com\n</VirtualHost>\n")
    assert [site["port"] for site in others.configuration()["sites"]] == [80, 81]


def test_a_site_that_is_only_available_does_not_count(apache: Path) -> None:
    (apache / "sites-available/two.conf").write_text(SITES)
    assert others.configuration()["sites"] == []


def test_the_roles_own_files_do_not_count(apache: Path) -> None:
    before = others.configuration()
    (apache / "sites-enabled/flask-apache-www.example.com-80.conf").write_text(
        f"Listen 9\nWSGIScriptAlias / /x\n{SITES}"
    )
    (apache / "conf-enabled/flask-apache.conf").write_text("Listen 9\n")
    assert others.configuration() == before


@pytest.mark.parametrize(
    ("line", "embedded"),
    [
        ("WSGIScriptAlias / /srv/old.wsgi", True),
        ("    wsgiscriptaliasmatch ^/a /srv/old.wsgi", True),
        ("WSGIHandlerScript x /srv/old.wsgi", True),
        ("# WSGIScriptAlias / /srv/old.wsgi", False),
        ("WSGIPythonOptimize 1", False),
    ],
)
def test_other_wsgi_apps_are_seen(apache: Path, line: str, embedded: bool) -> None:  # noqa: FBT001
    path = apache / "sites-enabled/old.conf"
    path.write_text(line + "\n")
    assert others.configuration()["wsgi"] == ([str(path)] if embedded else [])


def test_a_dangling_link_and_a_binary_file_are_no_traceback(apache: Path) -> None:
    (apache / "sites-enabled/gone.conf").symlink_to("../sites-available/gone.conf")
    (apache / "sites-enabled/binary.conf").write_bytes(b"\xff\xfe<VirtualHost *:80>")
    assert others.configuration()["sites"] == []


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


def is_stock() -> bool:
    (site,) = others.configuration()["sites"]
    found: bool = site["stock"]
    return found


def test_debians_own_site_is_nobodys(stock: Path) -> None:
    assert stock.exists()
    assert is_stock()
    (others.PAGE / "index.html").write_text("<title>Apache2 Ubuntu Default Page: It works</title>")
    assert is_stock()
    (others.PAGE / "index.html").unlink()
    assert is_stock()


def test_a_changed_default_site_is_somebodys(stock: Path) -> None:
    stock.write_text(stock.read_text() + "# mine\n")
    assert not is_stock()


def test_a_default_site_by_another_name_is_somebodys(stock: Path) -> None:
    stock.rename(stock.with_name("mine.conf"))
    assert not is_stock()


def test_a_default_site_with_pages_is_somebodys(stock: Path) -> None:
    assert stock.exists()
    (others.PAGE / "index.html").write_text("<title>My page</title>")
    assert not is_stock()
    (others.PAGE / "index.html").unlink()
    (others.PAGE / "about.html").touch()
    assert not is_stock()
