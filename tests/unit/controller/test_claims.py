"""Which addresses the user's own directives take from the app."""

from __future__ import annotations

import re

import pytest

from controller.claims import claims, is_tls, restricts


def read_by_apache(quoted: str) -> str:
    """Return a pattern as Apache reads it between double quotes."""
    return re.sub(r'\\(["\\])', r"\1", quoted)


@pytest.mark.parametrize(
    ("directives", "taken", "left"),
    [
        (["Alias /files /srv/files"], ["/files", "/files/x"], ["/filesystem", "/x/files", "/"]),
        (['Alias "/my files/" "/srv/files/"'], ["/my files/x"], ["/my files", "/my"]),
        (["alias /a.b /srv"], ["/a.b"], ["/aXb"]),
        (["AliasMatch '^/v(\\d+)/(.*)$' /srv/$2"], ["/v12/x"], ["/vx/y"]),
        (["ScriptAlias /cgi-bin/ /usr/lib/cgi-bin/"], ["/cgi-bin/x"], ["/cgi"]),
        (["Redirect /old https://example.com/"], ["/old", "/old/x"], ["/older"]),
        (["Redirect permanent /old https://example.com/"], ["/old"], ["/permanent"]),
        (["RedirectMatch 410 ^/gone"], ["/gone", "/gone-too"], ["/x/gone"]),
        (["ProxyPass /socket http://127.0.0.1:81/"], ["/socket/1"], ["/sock"]),
        (["<Location /status>", "SetHandler server-status", "</Location>"], ["/status"], ["/statuses"]),
        (['<Location "/a*c">', "ProxyPass http://127.0.0.1:81/", "</Location>"], ["/abc", "/abbc/x"], ["/a/c"]),
        (['<LocationMatch "\\.cgi$">', "SetHandler cgi-script", "</LocationMatch>"], ["/x.cgi"], ["/x.cgi/y"]),
        (["<Location ~ ^/x>", "RewriteRule ^ https://example.com/ [R]", "</Location>"], ["/x"], ["/y"]),
        (
            ["<IfModule mod_proxy.c>", "<Location /a>", "<IfModule x>", "ProxyPass http://b/", "</IfModule>"],
            ["/a"],
            ["/b"],
        ),
        (["<Location /a>", "ProxyPass http://b/", "</Location>", "Alias /c /d"], ["/a", "/c"], ["/b", "/d"]),
        # These take no address.
        (["<Location /admin>", "Require ip 192.0.2.1", "</Location>"], [], ["/admin"]),
        (["<Directory /srv/files>", "SetHandler server-status", "Require all granted", "</Directory>"], [], ["/"]),
        (["Header set X-Run 1", "SSLEngine on", "SetEnv A /b", "RewriteRule ^/x - [F]", ""], [], ["/", "/x"]),
    ],
)
def test_what_a_directive_names_is_left_to_it(directives: list[str], taken: list[str], left: list[str]) -> None:
    found = claims(directives)
    patterns = [read_by_apache(pattern) for pattern in found.claimed]
    assert not found.claimed_anywhere
    assert [path for path in [*taken, *left] if any(re.search(pattern, path) for pattern in patterns)] == taken


@pytest.mark.parametrize(
    "directives",
    [
        ["Include /etc/apache2/snippets/acme.conf"],
        ["Use Site www"],
        ["DocumentRoot /var/www/html"],
        ["SetHandler server-status"],
        ["<If \"%{HTTP_HOST} == 'a'\">", "Redirect /x https://example.com/", "</If>"],
        ["Redirect"],
    ],
)
def test_what_cannot_be_told_may_be_anywhere(directives: list[str]) -> None:
    assert claims(directives).claimed_anywhere
    assert claims(directives).claimed == []


@pytest.mark.parametrize(
    ("directives", "expected"),
    [
        (["<Location />", "AuthType Basic", "Require valid-user", "</Location>"], True),
        (["<Location />", "  require ip 192.0.2.0/24", "</Location>"], True),
        (["Deny from 192.0.2.1"], True),
        (["Header set X-Require 1", "# Require valid-user", ""], False),
        ([], False),
    ],
)
def test_directives_that_restrict_visits(directives: list[str], expected: bool) -> None:  # noqa: FBT001 - a parameter
    assert restricts(directives) is expected


@pytest.mark.parametrize("line", ["SSLEngine on", "  sslengine ON", 'SSLEngine "on"'])
def test_directives_of_https(line: str) -> None:
    assert is_tls(["Header set A b", line])
    assert not is_tls(["SSLEngine off", "# SSLEngine on"])
