"""An app at / gets every request, whatever Apache's configuration has for all sites, from a usual Python process."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.hosts.serving.shared import NAME
from tests.support.parallel import each
from tests.support.releases import Deployed
from tests.support.steps import Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.hosts import Host, Response

SITE = "whole.example.com"
APP = """
import json, os, pathlib, sqlite3, subprocess, sys, threading, time

pathlib.Path(__file__).with_name("cache").joinpath("made").write_text("by the import, beside its code")
sys.stdout.buffer.write(b"written to the buffer\\n")
subprocess.run(["echo", "written by a child"], check=True)
threading.Thread(target=lambda: time.sleep(600)).start()  # not a daemon thread
TEXT = "text " * 2000


def app(environ, start_response):
    path = environ["PATH_INFO"]
    found = {name: environ.get(name, "") for name in ("SCRIPT_NAME", "PATH_INFO", "HTTP_IF_MATCH", "HTTP_IF_RANGE")}
    found |= {"zone": time.tzname[0], "release": os.environ["FLASK_APACHE_RELEASE"]}
    if path == "/":
        database = sqlite3.connect(os.environ["FLASK_APACHE_DATA"] + "/app.db")
        found["visits"] = database.execute("SELECT count(*) FROM visits").fetchone()[0]
    if path == "/fail":
        raise RuntimeError("told in the log")
    if path == "/late":
        time.sleep(8)
    if path == "/die":
        os._exit(1)
    body = TEXT if path == "/text" else json.dumps(found)
    tags = [("ETag", '"abc"')] if path == "/text" else []
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-From", "whole"), *tags])
    environ["wsgi.input"].read()
    return [body.encode()]
"""
TABLES = """
import os, sqlite3

sqlite3.connect(os.environ["FLASK_APACHE_DATA"] + "/app.db").execute("CREATE TABLE IF NOT EXISTS visits (moment)")
"""
# What modules and packages of the distribution, or an administrator, may have configured for all sites.
FOR_ALL_SITES = """
<Location "/server-status">
    SetHandler server-status
    Require local
</Location>
<Location "/anything">
    SetHandler server-info
</Location>
Alias /icons/ /usr/share/apache2/icons/
Alias /grab /usr/share/apache2/icons
AliasMatch "^/photo(.*)$" "/usr/share/apache2/icons$1"
ScriptAlias /scripts/ /usr/lib/cgi-bin/
Redirect permanent /old http://elsewhere.example.com/
RedirectMatch 410 "^/gone"
UserDir public_html
RewriteEngine On
RewriteRule "^/rewritten" "http://elsewhere.example.com/" [R]
RewriteOptions InheritDownBefore
AddHandler type-map var
AddHandler cgi-script .cgi .sh
AddHandler server-info .css .png
AddHandler unheard-of .svg
AddOutputFilter INCLUDES .shtml
Action unheard-of /scripts/none
<FilesMatch "\\.(php|js)$">
    SetHandler server-status
</FilesMatch>
<Directory "/">
    Options +Indexes +Includes +MultiViews +ExecCGI
    AllowOverride All
</Directory>
CheckSpelling On
DirectoryIndex index.php
ProxyPass /proxied http://127.0.0.1:9/
"""
MODULES = "headers rewrite info status userdir speling cgid include proxy proxy_http negotiation autoindex actions"
PATHS = (
    *("/", "/icons/apache_pb.png", "/grab/x", "/photo.png", "/scripts/x", "/cgi-bin/x", "/manual/", "/javascript/x"),
    *("/server-status", "/server-info", "/anything", "/old", "/gone", "/~root/x", "/rewritten", "/proxied"),
    *("/index.php", "/x.php", "/.htaccess", "/.flask-apache/whole/503.html", "/static", "/static/", "/static/none"),
    *("/a//b/", "/a/", "/-", "/%20", "/entry.wsgi", "/p/%3Fq", f"/{'long/' * 1200}"),
)
STATIC = ("x.php", "x.var", "x.cgi", "x.sh", "x.css", "x.svg", "x.shtml", "x.js", "x.html.en")
CONTENT = '#!/bin/sh\necho executed <?php echo 1+1; ?> <!--#echo var="DATE_LOCAL" -->\n'
DIRECTIVES = [
    "Alias /downloads /usr/share/apache2/icons",
    "<Directory /usr/share/apache2/icons>",
    "Require all granted",
    "</Directory>",
    "Redirect 302 /moved http://elsewhere.example.com/",
    "<Location /machine>",
    "SetHandler server-status",
    "</Location>",
    "<Location /closed>",
    "Require ip 192.0.2.1",
    "</Location>",
]


class Site:
    """The app on one host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.app = Deployed(host, "whole")

    def ask(self, path: str, headers: dict[str, str] | None = None, **more: Any) -> Response:  # noqa: ANN401
        """Ask as a visitor does."""
        return self.host.http(path, SITE, headers=headers, **more)


@pytest.fixture(scope="module")
def sites(pair: list[Host], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Site]]:
    """Deploy the app to hosts whose Apache is configured for other purposes, and see what visitors get meanwhile."""
    directory: Path = tmp_path_factory.mktemp("whole")
    (directory / "source/static").mkdir(parents=True)
    (directory / "source/shop/cache").mkdir(parents=True)
    (directory / "source/shop/__init__.py").write_text(APP)
    (directory / "source/tables.py").write_text(TABLES)
    for name in STATIC:
        (directory / "source/static" / name).write_text(CONTENT)
    (directory / "500.html").write_text("<h1>Unser Fehler: wir räumen auf</h1>\n")
    variables = {
        "app": "whole",
        "source": str(directory / "source"),
        "wsgi": "shop:app",
        "server_name": SITE,
        "requirements": [],
        "static": [{"url": "/static", "path": "static"}],
        "data_directories": [{"name": "cache", "link": "shop/cache"}],
        "hooks": [{"at": "before_start", "run": "python tables.py"}],
        "environment": {"TZ": "Asia/Tokyo"},
        "error_pages": {"500": str(directory / "500.html")},
        "directives": DIRECTIVES,
        "request_body_limit": 1000,
        "daemon_processes": 2,
        "daemon_socket_timeout": 4,
    }
    modules = {host.name: set(host.run("ls /etc/apache2/mods-enabled").stdout.split()) for host in pair}

    def deploy(host: Host) -> Site:
        host.write("/etc/apache2/conf-enabled/for-all-sites.conf", FOR_ALL_SITES)
        host.run(f"a2enmod -q {MODULES} && systemctl restart apache2")
        run = Run(host, variables)
        for step in ("plan", "fetch", "users", "prepare", "apply"):
            run.step(step)
        before = host.http("/", SITE)
        assert (before.status, before.headers["Retry-After"]) == (503, "5")
        assert "<h1>Back soon</h1>" in before.text, "there is no release yet"
        for step in ("before_start", "activate"):
            run.step(step)
        return Site(host)

    yield each(pair, deploy)
    for host in pair:
        host.run("rm /etc/apache2/conf-enabled/for-all-sites.conf")
        new = set(host.run("ls /etc/apache2/mods-enabled").stdout.split()) - modules[host.name]
        host.run(f"cd /etc/apache2/mods-enabled && rm -f {' '.join(sorted(new))} && systemctl restart apache2")


def test_every_path_reaches_the_app(sites: list[Site]) -> None:
    def look(site: Site) -> None:
        for path in PATHS:
            answer = site.ask(path)
            assert (answer.status, answer.headers["X-From"]) == (200, "whole"), path
            found = answer.json()
            expected = path.replace("%20", " ").replace("%3F", "?")
            assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("", expected)
        assert site.ask("/p/a%2Fb").json()["PATH_INFO"] == "/p/a/b"
        assert site.ask("/a%0Ab").json()["PATH_INFO"] == "/a\nb"
        assert site.ask("/%C3%BC").json()["PATH_INFO"] == "/ü".encode().decode("latin-1")
        for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "POST"):
            assert site.ask("/icons/x", method=method).headers["X-From"] == "whole"
        local = "import urllib.request as r; q = r.Request('http://127.0.0.1/server-status', headers={'Host': '%s'});"
        assert "PATH_INFO" in site.host.run(["python3", "-c", f"{local % SITE} print(r.urlopen(q).read())"]).stdout

    each(sites, look)


def test_static_files_are_only_sent(sites: list[Site]) -> None:
    def look(site: Site) -> None:
        for name in STATIC:
            answer = site.ask(f"/static/{name}")
            assert (answer.status, answer.text) == (200, CONTENT), name
            assert "X-From" not in answer.headers

    each(sites, look)


def test_own_directives_take_what_they_name(sites: list[Site]) -> None:
    def look(site: Site) -> None:
        picture = site.ask("/downloads/blank.gif")
        assert (picture.status, picture.headers["Content-Type"]) == (200, "image/gif")
        assert site.ask("/moved").headers["Location"] == "http://elsewhere.example.com/"
        assert "Apache Server Status" in site.ask("/machine").text
        closed = site.ask("/closed/x")
        assert (closed.status, "<h1>Not allowed</h1>" in closed.text) == (403, True)
        assert site.ask("/downloaded").headers["X-From"] == "whole"

    each(sites, look)


def test_apaches_own_pages_are_one_family(sites: list[Site]) -> None:
    def look(site: Site) -> None:
        failed = site.ask("/fail")
        assert (failed.status, failed.text) == (500, "<h1>Unser Fehler: wir räumen auf</h1>\n")
        large = site.ask("/", method="POST", body=b"x" * 5000)
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        site.app.ctl("maintenance", "on")
        closed = site.ask("/any/path?x=1")
        site.app.ctl("maintenance", "off")
        nothing = site.host.http("/elsewhere", NAME)
        late = site.ask("/late")
        died = site.ask("/die")
        assert (died.status, died.text) == (500, failed.text)
        for answer, status, title in (
            (large, 413, "Too large"),
            (site.ask("/", upgrade), 501, "No WebSocket here"),
            (closed, 503, "Back soon"),
            (nothing, 404, "Not found"),
            (late, 504, "No answer in time"),
        ):
            assert (answer.status, answer.text.count(f"<h1>{title}</h1>")) == (status, 1)
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert "prefers-color-scheme: dark" in answer.text
        assert site.ask("/").status == 200

    each(sites, look)


def test_etags_survive_compression(sites: list[Site]) -> None:
    def look(site: Site) -> None:
        for path in ("/text", "/static/x.js"):
            plain = site.ask(path).headers["ETag"]
            for encoding in ("gzip", "br"):
                accepted = {"Accept-Encoding": encoding}
                tag = str(site.ask(path, accepted).headers["ETag"])
                if path == "/text":
                    assert tag == f'"abc-{encoding}"'
                    assert site.ask("/", {"If-Match": tag}).json()["HTTP_IF_MATCH"] == f'{tag}, "abc"'
                    continue
                assert site.ask(path, accepted | {"If-None-Match": tag}).status == 304
                assert site.ask(path, accepted | {"If-Match": tag}).status == 200
                assert site.ask(path, {"If-Match": '"other"'}).status == 412
                whole = site.ask(path, {"Range": "bytes=5-9", "If-Range": tag} if tag != plain else {})
                assert (whole.status, whole.text) == (200, CONTENT), "a part of another form does not continue it"
                part = site.ask(path, {"Range": "bytes=5-9", "If-Range": plain})
                assert (part.status, part.text) == (206, CONTENT[5:10])

    each(sites, look)


def test_an_app_writes_beside_its_code_and_has_its_tables_made(sites: list[Site]) -> None:
    """Its cache is a link to its data, and the hook of its first release came before the health check."""

    def look(site: Site) -> None:
        assert site.host.read("/var/lib/flask-apache/whole/cache/made") == "by the import, beside its code"
        assert site.ask("/").json()["visits"] == 0

    each(sites, look)


def test_a_web_process_is_a_python_process(sites: list[Site]) -> None:
    """What it prints goes to its log, its time zone is that of commands, and its threads do not keep it."""

    def look(site: Site) -> None:
        log = site.host.read("/var/log/flask-apache/whole/error.log")
        assert re.search(r"(?m)^\[[^]]+\] \[wsgi:error\] \[pid \d+\] \[whole-blue\] written to the buffer$", log)
        assert re.search(r"(?m)^written by a child$", log)
        assert site.ask("/").json()["zone"] == "JST"
        said = ["python", "-c", "import time; print(time.tzname[0])"]
        assert site.host.run(["flask-apachectl", "--app", "whole", "run", "--", *said]).stdout == "JST\n"
        before = site.app.live()
        site.app.environment({"TZ": "Europe/Berlin"})
        site.app.ctl("deploy")
        found = site.ask("/").json()
        assert (found["zone"], found["release"] != before) == ("CET", True)
        site.app.ctl("rollback")
        assert site.ask("/").json()["zone"] == "JST"

    each(sites, look)
