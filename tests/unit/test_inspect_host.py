"""What the role reads from a host's configuration before it changes anything."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.programs import FILES, load

if TYPE_CHECKING:
    from pathlib import Path

inspect_host = load("inspect_host.py")

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


@pytest.fixture
def apache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a host's configuration, as Debian lays it out; the host has no packages."""
    path = tmp_path / "apache2"
    for name in ("conf-enabled", "sites-available", "sites-enabled"):
        (path / name).mkdir(parents=True)
    (path / "ports.conf").write_text(PORTS)
    monkeypatch.setattr(inspect_host, "APACHE", path)
    monkeypatch.setattr(inspect_host, "CONF", tmp_path / "flask-apache")
    monkeypatch.setattr(inspect_host, "PAGE", tmp_path / "html")
    monkeypatch.setattr(inspect_host, "run", lambda *_command: "")
    return path


def test_ports(apache: Path) -> None:
    (apache / "conf-enabled/more.conf").write_text("Listen 8081\nListenBackLog 500\n")
    assert inspect_host.configuration()["ports"] == [81, 82, 8080, 8081]


@pytest.mark.parametrize("name", ["mod_gnutls.c", "gnutls_module", "mod_gnutls"])
def test_a_port_of_a_module_counts_once_that_is_enabled(apache: Path, name: str) -> None:
    (apache / "ports.conf").write_text(PORTS.replace("mod_gnutls.c", name))
    (apache / "mods-enabled").mkdir()
    assert 443 not in inspect_host.configuration()["ports"]
    (apache / "mods-enabled/gnutls.load").write_text("")
    assert 443 in inspect_host.configuration()["ports"]


def test_a_host_without_apache_will_listen_as_debians_does(apache: Path) -> None:
    apache.rename(apache.with_name("elsewhere"))
    assert inspect_host.configuration() == {"sites": [], "ports": [80], "wsgi": []}


def test_what_is_as_wanted_is_not_made_again(tmp_path: Path) -> None:
    """A directory with another mode, a file, a link to a directory and a missing directory all differ."""
    names = ("good", "open", "file", "link", "absent", "nul\0")
    (tmp_path / "good").mkdir(mode=0o755)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("good")
    owner, group = (tmp_path / "good").owner(), (tmp_path / "good").group()
    wanted = {"owner": owner, "group": group, "mode": "0755"}
    assert [inspect_host.as_wanted({"path": f"{tmp_path}/{name}", **wanted}) for name in names] == [True] + [False] * 5
    good = {"path": f"{tmp_path}/good", **wanted}
    for other in ({"owner": "nobody"}, {"group": "nogroup"}, {"mode": "0750"}):
        assert not inspect_host.as_wanted({**good, **other})


def test_only_roots_own_files_are_what_the_role_has_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "directory").mkdir()
    paths = [f"{tmp_path}/{name}" for name in ("file", "link", "directory", "absent", "nul\0")]
    (tmp_path / "file").chmod(0o640)
    real = os.lstat

    def owned_by(uid: int) -> None:
        def lstat(path: str) -> os.stat_result:
            fields = list(real(path))
            fields[stat.ST_UID] = fields[stat.ST_GID] = uid
            return os.stat_result(fields)

        monkeypatch.setattr(inspect_host.os, "lstat", lstat)

    owned_by(0)
    digest = hashlib.sha256(b"text").hexdigest()
    assert inspect_host.files(paths) == {f"{tmp_path}/file": f"0640 {digest}"}
    owned_by(1000)
    assert inspect_host.files(paths) == {}


def test_links(apache: Path) -> None:
    (apache / "conf-enabled/one.conf").symlink_to("../conf-available/one.conf")
    (apache / "sites-available/two.conf").write_text("")
    deserted = inspect_host.CONF / "vhosts/www.example.com-80"
    deserted.mkdir(parents=True)
    (deserted / "998-shop.conf").write_text("")
    assert inspect_host.links() == {
        str(apache / "conf-enabled/one.conf"): "../conf-available/one.conf",
        str(apache / "sites-available/two.conf"): "file",
        str(deserted): "file",
        str(deserted / "998-shop.conf"): "file",
    }


def test_sites(apache: Path) -> None:
    (apache / "sites-available/two.conf").write_text(SITES)
    (apache / "sites-enabled/two.conf").symlink_to("../sites-available/two.conf")
    found = [(site["port"], site["hosts"]) for site in inspect_host.configuration()["sites"]]
    assert found == [
        (80, ["www.example.com", "example.com", "*.example.com"]),
        (443, ["secure.example.com"]),
        (8443, ["secure.example.com"]),
        (444, ["secure.example.com"]),
    ]
    files = {site["file"] for site in inspect_host.configuration()["sites"]}
    assert files == {str(apache / "sites-enabled/two.conf")}


def test_a_site_without_a_port_is_on_all(apache: Path) -> None:
    (apache / "ports.conf").write_text("Listen 80\nListen 81\n")
    (apache / "sites-enabled/all.conf").write_text("<VirtualHost *>\nServerName a.example.com\n</VirtualHost>\n")
    assert [site["port"] for site in inspect_host.configuration()["sites"]] == [80, 81]


def test_a_site_that_is_only_available_does_not_count(apache: Path) -> None:
    (apache / "sites-available/two.conf").write_text(SITES)
    assert inspect_host.configuration()["sites"] == []


def test_the_roles_own_files_do_not_count(apache: Path) -> None:
    before = inspect_host.configuration()
    (apache / "sites-enabled/flask-apache-www.example.com-80.conf").write_text(
        f"Listen 9\nWSGIScriptAlias / /x\n{SITES}"
    )
    (apache / "conf-enabled/flask-apache.conf").write_text("Listen 9\n")
    assert inspect_host.configuration() == before


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
    assert inspect_host.configuration()["wsgi"] == ([str(path)] if embedded else [])


def test_a_dangling_link_and_a_binary_file_are_no_traceback(apache: Path) -> None:
    (apache / "sites-enabled/gone.conf").symlink_to("../sites-available/gone.conf")
    (apache / "sites-enabled/binary.conf").write_bytes(b"\xff\xfe<VirtualHost *:80>")
    assert inspect_host.configuration()["sites"] == []


@pytest.fixture
def stock(apache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return Debian's own site, as its package knows it."""
    site = apache / "sites-enabled/000-default.conf"
    site.write_text("<VirtualHost *:80>\n    DocumentRoot /var/www/html\n</VirtualHost>\n")
    digest = hashlib.md5(site.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(inspect_host, "run", lambda *_command: f" /etc/apache2/sites-available/x {digest}\n")
    inspect_host.PAGE.mkdir()
    (inspect_host.PAGE / "index.html").write_text("<title>Apache2 Debian Default Page: It works</title>")
    return site


def is_stock() -> bool:
    (site,) = inspect_host.configuration()["sites"]
    found: bool = site["stock"]
    return found


def test_debians_own_site_is_nobodys(stock: Path) -> None:
    assert stock.exists()
    assert is_stock()
    (inspect_host.PAGE / "index.html").write_text("<title>Apache2 Ubuntu Default Page: It works</title>")
    assert is_stock()
    (inspect_host.PAGE / "index.html").unlink()
    assert is_stock()


def test_a_changed_default_site_is_somebodys(stock: Path) -> None:
    stock.write_text(stock.read_text() + "# mine\n")
    assert not is_stock()


def test_a_default_site_by_another_name_is_somebodys(stock: Path) -> None:
    stock.rename(stock.with_name("mine.conf"))
    assert not is_stock()


def test_a_default_site_with_pages_is_somebodys(stock: Path) -> None:
    assert stock.exists()
    (inspect_host.PAGE / "index.html").write_text("<title>My page</title>")
    assert not is_stock()
    (inspect_host.PAGE / "index.html").unlink()
    (inspect_host.PAGE / "about.html").touch()
    assert not is_stock()


def test_apps_that_are_declared(apache: Path) -> None:
    assert inspect_host.apps() == []
    for name, text in {"shop": '{"app": "shop"}', "torn": '{"app":', "list": "[1]", "vhosts": None}.items():
        directory = apache.with_name("flask-apache") / name
        directory.mkdir(parents=True)
        if text is not None:
            (directory / "app.json").write_text(text)
    assert inspect_host.apps() == [{"app": "shop"}]


def test_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "apache2 ii  2.4.62-1~deb12u2",
        "libapache2-mod-wsgi-py3:amd64 ii  4.9.4-1+b2",
        "gcc rc  4:12.2.0-3",
        "python3-dev ii  3.11.2-1+b1",
        "epoch ii  4:12.2.0-3",
    ]
    monkeypatch.setattr(inspect_host, "run", lambda *_command: "\n".join(lines))
    names = ["apache2", "libapache2-mod-wsgi-py3", "gcc", "epoch", "absent"]
    assert inspect_host.packages(names) == {
        "apache2": "2.4.62",
        "libapache2-mod-wsgi-py3": "4.9.4",
        "epoch": "12.2.0",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n', ("Debian", "12")),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', ("Ubuntu", "24.04")),
        ("ID=debian\n", ("Debian", "")),
        ("", ("Unknown", "")),
    ],
)
def test_distributions(monkeypatch: pytest.MonkeyPatch, text: str, expected: tuple[str, str]) -> None:
    monkeypatch.setattr(inspect_host, "read", lambda _path: text)
    assert inspect_host.distribution() == expected


def test_who_listens_where() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = str(server.getsockname()[1])
        assert port not in inspect_host.listeners()
        server.listen()
        assert inspect_host.listeners()[port].endswith(")")


def test_interpreters() -> None:
    assert inspect_host.interpreter(sys.executable) == "{}.{}".format(*sys.version_info)
    assert inspect_host.interpreter("/nowhere/python3") is None
    assert inspect_host.interpreter("/bin/false") is None


def test_users() -> None:
    assert inspect_host.user("root")["uid"] == 0
    assert inspect_host.user("no-such-user") is None


@pytest.mark.parametrize("odd", [None, 5, ["a"], "../../etc", "a b", "größe"], ids=repr)
def test_the_program_answers_json_whatever_the_question_holds(odd: object) -> None:
    question = {"app": odd, "user": odd, "python": odd, "packages": [], "calendars": [], "places": [], "files": []}
    done = subprocess.run(
        [sys.executable, "-", json.dumps(question)],
        input=(FILES / "inspect_host.py").read_text(),
        check=True,
        capture_output=True,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    assert (answer["python"], answer["user"], answer["sources"]) == (None, None, [])
