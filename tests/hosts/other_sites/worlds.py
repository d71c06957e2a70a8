"""Ways in which others use Apache, and hosts on which several are found together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

APP = "shop.example.com"
WSGI = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi of " + environ["mod_wsgi.process_group"].encode()]
"""
HANDLER = "AddHandler wsgi-script .wsgi\n"
ALIAS = "WSGIScriptAlias /a /srv/others/x.wsgi\n"
DAEMON = "WSGIDaemonProcess theirs\nWSGIProcessGroup theirs\nWSGIScriptAlias / /srv/others/y.wsgi\n"
ALLOWED = """
<Directory /srv/others>
    Options FollowSymLinks ExecCGI
    AllowOverride All
    Require all granted
</Directory>
"""


def site(addresses: str, name: str, *, aliases: str = "", more: str = "") -> str:
    """Return a virtual host with a page of its own."""
    alias = f"    ServerAlias {aliases}\n" if aliases else ""
    top = f"<VirtualHost {addresses}>\n    ServerName {name}\n{alias}    DocumentRoot /srv/others/{name}\n"
    return f"{top}{more}</VirtualHost>\n"


Question = tuple[str, int, str, str]  # address, port, name, path; @IP@ is the host's address, in all texts here


@dataclass(frozen=True)
class Setup:
    """One way in which others use Apache: files below /etc/apache2, names with a page each, and what is asked."""

    files: Mapping[str, str]
    pages: tuple[str, ...] = ()
    asked: tuple[Question, ...] = ()


@dataclass(frozen=True)
class World:
    """A host on which several ways are found together, and what the app there has."""

    setups: Mapping[str, Setup]
    without: tuple[str, ...] = ("sites-enabled/000-default.conf",)
    addresses: tuple[str, ...] = ("127.0.0.1", "@IP@")  # at each of them, all pages and an unknown name are asked for
    port: int = 80
    app: Mapping[str, Any] = field(default_factory=dict)
    serves_at: tuple[tuple[str, int], ...] = (("127.0.0.1", 80), ("@IP@", 80))


def loopback(name: str, path: str = "/") -> Question:
    """Return a question to the loopback's address."""
    return ("127.0.0.1", 80, name, path)


def alone(name: str, *, addresses: str = "*:80", aliases: str = "", more: str = "", before: str = "") -> Setup:
    """Return a site with one page, in a file of its own."""
    text = before + site(addresses, name, aliases=aliases, more=more)
    return Setup({f"sites-enabled/{name}.conf": text}, (name,), tuple(map(loopback, aliases.replace("*", "x").split())))


ALL = Setup({"conf-enabled/z-all.conf": ALLOWED})  # others may be read
WORLDS = {
    # The default site is off: of the new ones, the app's would sort first.
    "by name, address and wildcard": World(
        {
            "a directory of pages": ALL,
            "a name with an alias": alone("www.oldsite.example", aliases="oldsite.example"),
            "a name that the app's wildcard covers": alone("blog.example.com"),
            "a wildcard": alone("wild", aliases="*.wild.example"),
            "an address and port of its own": Setup(
                {"sites-enabled/admin.conf": "Listen 127.0.0.1:8081\n" + site("127.0.0.1:8081", "admin.example")},
                ("admin.example",),
                (("127.0.0.1", 8081, "unknown.example", "/"),),
            ),
            "the default of another port": Setup(
                {"sites-enabled/default.conf": "Listen 8082\n" + site("_default_:8082", "default.example")},
                ("default.example",),
                (("@IP@", 8082, "unknown.example", "/"), ("::1", 8082, "unknown.example", "/")),
            ),
            "a redirect": Setup(
                {
                    "sites-enabled/redirect.conf": site(
                        "*:80", "redirect.example", more="Redirect / https://x.example/\n"
                    )
                },
                asked=(loopback("redirect.example", "/a"),),
            ),
        },
        addresses=("127.0.0.1", "@IP@", "::1"),
        app={"server_aliases": ["*.example.com"]},
        serves_at=(("127.0.0.1", 80), ("@IP@", 80), ("::1", 80)),
    ),
    "programs": World(
        {
            "a directory of pages": ALL,
            "embedded WSGI by a handler": Setup(
                {
                    "sites-enabled/handler.conf": site(
                        "*:80", "handler.example", more="AddHandler wsgi-script .wsgi\n"
                    ),
                    "/srv/others/handler.example/x.wsgi": WSGI,
                },
                ("handler.example",),
                (loopback("handler.example", "/x.wsgi"),),
            ),
            "embedded WSGI in an included file": Setup(
                {
                    "sites-enabled/include.conf": "Include /srv/others/include.conf\n",
                    "/srv/others/include.conf": site(
                        "*:80", "alias.example", more="WSGIScriptAlias /a /srv/others/x.wsgi\n"
                    ),
                    "/srv/others/x.wsgi": WSGI,
                },
                ("alias.example",),
                (loopback("alias.example", "/a"),),
            ),
            "embedded WSGI by .htaccess": Setup(
                {
                    "sites-enabled/htaccess.conf": site("*:80", "htaccess.example"),
                    "/srv/others/htaccess.example/x.wsgi": WSGI,
                    "/srv/others/htaccess.example/.htaccess": "AddHandler wsgi-script .wsgi\n",
                },
                ("htaccess.example",),
                (loopback("htaccess.example", "/x.wsgi"),),
            ),
            "a WSGI daemon": Setup(
                {
                    "sites-enabled/daemon.conf": site(
                        "*:80",
                        "daemon.example",
                        more=DAEMON,
                    ),
                    "/srv/others/y.wsgi": WSGI,
                },
                asked=(loopback("daemon.example"),),
            ),
            "CGI": Setup(
                {
                    "sites-enabled/cgi.conf": site("*:80", "cgi.example", more="AddHandler cgi-script .cgi\n"),
                    "/srv/others/cgi.example/x.cgi": "#!/bin/sh\necho Content-Type: text/plain\necho\necho of cgi\n",
                },
                ("cgi.example",),
                (loopback("cgi.example", "/x.cgi"),),
            ),
        }
    ),
    # No virtual host at all: the main server answers, whose name the app gets.
    "the main server": World(
        {
            "pages and rules of the main server": Setup(
                {
                    "conf-enabled/z-all.conf": f"{ALLOWED}ServerName {APP}\nDocumentRoot /srv/others/main\n"
                    "Alias /alias /srv/others/alias\nRewriteEngine On\n"
                    "RewriteRule ^/rule$ /srv/others/alias/index.html\n",
                    "mods-enabled/rewrite.load": "LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so\n",
                },
                ("main", "alias"),
                (loopback("x", "/alias/"), loopback("x", "/rule"), loopback("x", "/none"), loopback("@IP@")),
            )
        }
    ),
    "all ports": World(
        {
            "a directory of pages": ALL,
            "virtual hosts of all ports": alone("star.example", addresses="*", before="Listen 8081\n"),
            "an address on all ports": alone("address.example", addresses="@IP@"),
            "an address of IPv6": Setup(
                {"sites-enabled/six.conf": site("[::1]:80", "six.example")},
                ("six.example",),
                (("::1", 80, "six.example", "/"), ("::1", 80, "unknown.example", "/")),
            ),
        },
        port=8081,
    ),
    "the distribution's page": World(
        {"the distribution's site, beside a default server of another port": Setup({})},
        without=(),
        app={"default_server": True, "port": 8090},
        serves_at=(("@IP@", 8090),),
    ),
    "listeners at addresses": World(
        {
            "a directory of pages": ALL,
            "no listener for all addresses": Setup({"ports.conf": "Listen @IP@:80\nListen [::1]:8083\n"}),
            "a site at one of the listeners": Setup(
                {"sites-enabled/six.conf": site("[::1]:8083", "six.example")},
                ("six.example",),
                (("::1", 8083, "unknown.example", "/"),),
            ),
        },
        without=(),
        serves_at=(("@IP@", 80),),
    ),
    "only IPv6": World(
        {
            "a directory of pages": ALL,
            "a listener for IPv6 alone": Setup({"ports.conf": "Listen [::1]:80\n"}),
            "its site": alone("six.example"),
        },
        addresses=("::1",),
        serves_at=(("::1", 80),),
    ),
}
