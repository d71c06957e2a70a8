"""How Apache routes requests: the mount, canaries, probes, maintenance, readiness, static files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.unit.role.cases import directives

if TYPE_CHECKING:
    from tests.unit.role.conftest import Rendered


@pytest.mark.parametrize(
    ("case", "hit", "miss"),
    [
        ("defaults", ["/", "/x", "/x/y", ""], []),
        ("names", ["/a.b", "/a.b/", "/a.b/c"], ["/", "/a", "/a.bc", "/aXb", "/x/a.b"]),
    ],
)
def test_only_requests_below_the_mount_get_a_pool(
    rendered: Rendered, case: str, hit: list[str], miss: list[str]
) -> None:
    rules = directives(rendered[case]["apache/app.conf.j2"], "RewriteRule")
    pooled = [rule for rule in rules if "E=FLASK_APACHE_" in rule[2] and rule[1] == "-"]
    # its pages; live, by the map and its copy; its request's id; a canary by cookie and by header, its cookie; a probe;
    # a bypass; maintenance; and which configuration is loaded
    assert len(pooled) == 11
    for pattern, _, _flags in pooled:
        assert all(re.search(pattern, path) for path in hit)
        assert not any(re.search(pattern, path) for path in miss)


def test_the_pool_comes_from_the_apps_own_map(rendered: Rendered) -> None:
    text = rendered["names"]["apache/app.conf.j2"]
    assert directives(text, "RewriteMap") == [
        ["my-shop", "rnd:/etc/flask-apache/my-shop/live.map"],
        ["my-shop_copy", "rnd:/etc/flask-apache/my-shop/live.map.copy"],
        ["flask_apache_unescape", "int:unescape"],
    ]
    *others, probe = [flags for *_, flags in directives(text, "RewriteRule") if "E=FLASK_APACHE_POOL" in flags]
    by_map, of_canary = others[:2], others[2:]  # live, by the map and its copy
    assert by_map == ["[E=FLASK_APACHE_POOL_MY_SHOP:my-shop-%1,E=FLASK_APACHE_ROUTED:1]"] * 2
    assert of_canary == ["[E=FLASK_APACHE_POOL_MY_SHOP:my-shop-%1]"] * 2
    assert probe == "[E=FLASK_APACHE_POOL_MY_SHOP:my-shop-%1,E=FLASK_APACHE_PROBE:1]"
    assert conditions(text, "${my-shop:live}") == conditions(text, "${my-shop_copy:live}") == 2 * ["^(blue|green)$"]
    assert directives(text, "WSGIProcessGroup") == [["%{ENV:FLASK_APACHE_POOL_MY_SHOP}"]]


def test_a_probe_comes_from_this_machine_and_has_a_token(rendered: Rendered) -> None:
    conditions = {
        test: pattern for test, pattern, *_ in directives(rendered["names"]["apache/app.conf.j2"], "RewriteCond")
    }
    address = conditions["%{CONN_REMOTE_ADDR}=%{SERVER_ADDR}"]
    own = ("127.0.0.1", "127.0.1.1", "::1")
    others = ("192.0.2.1", "1270.0.0.1", "2001:db8::1", "::10")
    assert all(re.search(address, f"{ip}={server}") for ip in own for server in (*own, *others))
    assert all(re.search(address, f"{ip}={ip}") for ip in others)  # from this machine, to an address of its own
    assert not any(re.search(address, f"{ip}={server}") for ip in others for server in {*own, *others} - {ip})
    token = conditions["%{HTTP:X-Flask-Apache-Probe}"]
    assert re.search(token, "0123456789abcdef" * 2)
    assert not any(re.search(token, text) for text in ("", "live", "0" * 31, "0" * 33, "0" * 32 + "}"))


def conditions(text: str, tested: str) -> list[str]:
    """Return the patterns of the conditions on a variable of the request."""
    return [pattern for test, pattern, *_ in directives(text, "RewriteCond") if test == tested]


def test_a_cookie_keeps_a_visitor_with_a_release(rendered: Rendered) -> None:
    text = rendered["names"]["apache/app.conf.j2"]
    release, _bypass = conditions(text, "%{HTTP_COOKIE}")
    for cookies in ("flask_apache_my-shop=0a-1b", "a=b; flask_apache_my-shop=0a-1b", "flask_apache_my-shop=0a-1b;a=b"):
        match = re.search(release, cookies)
        assert match is not None
        assert match[1] == "0a-1b"
    for cookies in ("flask_apache_my-shop_bypass=0a-1b", "xflask_apache_my-shop=0a", "flask_apache_my-shop=0a|b", ""):
        assert not re.search(release, cookies)
    written = [" ".join(line) for line in directives(text, "Header") if "Set-Cookie" in line]
    assert len(written) == 2
    assert all("; Path=/a.b; HttpOnly; SameSite=Lax env=" in line for line in written)
    assert written[0].startswith("always add Set-Cookie flask_apache_my-shop=%{FLASK_APACHE_CANARY_MY_SHOP}e;")


def test_the_operator_passes_while_the_app_is_closed(rendered: Rendered) -> None:
    text, secret = rendered["names"]["apache/app.conf.j2"], "0123456789abcdef" * 2
    (query,), (_, cookie) = conditions(text, "%{QUERY_STRING}"), conditions(text, "%{HTTP_COOKIE}")
    for pattern, asked in (
        (query, f"flask_apache_bypass={secret}"),
        (query, f"a=b&flask_apache_bypass={secret}&c"),
        (cookie, f"a=b; flask_apache_my-shop_bypass={secret}"),
    ):
        match = re.search(pattern, asked)
        assert match is not None
        assert match[1] == secret
    assert not re.search(query, f"xflask_apache_bypass={secret}")
    assert not re.search(query, f"flask_apache_bypass={secret}0")
    assert conditions(text, "${my-shop:bypass-%1}:%1") == ["^on:(.+)$"]
    assert conditions(text, "${my-shop:maintenance}") == ["^on$"]


def test_visitors_are_told_when_to_come_back(rendered: Rendered) -> None:
    text = rendered["names"]["apache/app.conf.j2"]
    assert [line[-2:] for line in directives(text, "Header") if "Retry-After" in line] == [
        ["120", "env=FLASK_APACHE_CLOSED_MY_SHOP"],
        ["120", "env=REDIRECT_FLASK_APACHE_CLOSED_MY_SHOP"],
    ]


@pytest.mark.parametrize(
    ("case", "paths"),
    [
        ("defaults", {"/": "/", "/a//b": "/a//b", "": "", "/a\nb": "/a\nb", "/x/": "/x/"}),
        ("names", {"/a.b": "", "/a.b/": "/", "/a.b//c": "//c", "/a": None, "/a.bc": None, "/aXb/c": None}),
    ],
)
def test_an_app_gets_the_path_below_its_mount(rendered: Rendered, case: str, paths: dict[str, str | None]) -> None:
    """The script is named without the path, and nothing that Apache has for all sites comes before."""
    text, mount = rendered[case]["apache/app.conf.j2"], {"defaults": "", "names": "/a.b"}[case]
    *_, (pattern, script, flags) = directives(text, "RewriteRule")
    app = {"defaults": "app", "names": "my-shop"}[case]
    assert script == f"/etc/flask-apache/{app}/entry.wsgi"
    assert flags == f"[L,H=wsgi-script,E=FLASK_APACHE_MOUNT:{mount},E=FLASK_APACHE_PATH:$1]"
    for path, below in paths.items():
        found = re.search(pattern, path)
        assert (found[1] if found else None) == below
    assert directives(text, "WSGIScriptAlias") == []


def test_pages_are_those_of_the_app_that_gets_the_request(rendered: Rendered) -> None:
    vhost = rendered["names"]["apache/vhost.conf.j2:plain"]
    pages = {arguments[0]: arguments[1] for arguments in directives(vhost, "ErrorDocument")}
    assert pages["503"] == "/.flask-apache/%{reqenv:FLASK_APACHE_PAGES}/503.html"
    assert (pages["502"][-9:], pages["431"][-9:]) == ("/500.html", "/400.html")
    own, common, nothing = directives(vhost, "RewriteRule")
    assert re.search(own[0], "/.flask-apache/my-shop/503.html")
    assert own[1] == "/etc/flask-apache/$1/pages/$2"
    assert re.search(common[0], "/.flask-apache//414.html")
    for path in ("/.flask-apache/../env/503.html", "/.flask-apache/my-shop/env", "/x/.flask-apache/a/503.html"):
        assert not re.search(own[0], path)
        assert not re.search(common[0], path)
    assert nothing == ["^", "-", "[R=404,L]"]


def test_each_app_of_a_virtual_host_says_which_configuration_is_loaded(rendered: Rendered) -> None:
    """The header names the app, and is set by a variable of its own: another app's must not replace it."""
    text = rendered["names"]["apache/app.conf.j2"]
    headers = [line for line in directives(text, "Header") if "X-Flask-Apache-Configuration" in line]
    assert [line[-2:] for line in headers] == [
        ["my-shop @CONFIGURATION@", "env=FLASK_APACHE_ASKED_MY_SHOP"],
        ["my-shop @CONFIGURATION@", "env=REDIRECT_FLASK_APACHE_ASKED_MY_SHOP"],
    ]


@pytest.mark.parametrize(
    ("case", "path", "app"), [("defaults", "/-/ready", "app"), ("names", "/a.b/-/ready", "my-shop")]
)
def test_load_balancers_get_the_health_check_or_503(rendered: Rendered, case: str, path: str, app: str) -> None:
    """Its address is that of the live release, in the map: the path is decoded, a query stays as it is."""
    drained, ready, with_query = (
        rule for rule in directives(rendered[case]["apache/app.conf.j2"], "RewriteRule") if "ready" in rule[0]
    )
    assert drained[1:] == ["-", "[R=503,L]"]
    mount, script = path.removesuffix("/-/ready"), f"/etc/flask-apache/{app}/entry.wsgi"
    flags = f"[L,H=wsgi-script,E=FLASK_APACHE_MOUNT:{mount},E=FLASK_APACHE_PATH:${{flask_apache_unescape:%1}}]"
    assert ready[1:] == [script, flags]
    assert with_query[1:] == [f"{script}?%2", flags]
    text = rendered[case]["apache/app.conf.j2"]
    for name in (app, f"{app}_copy"):
        one, other = conditions(text, f"${{{name}:ready}}")
        assert re.fullmatch(one, f"{mount}/healthz")[1] == "/healthz"  # type: ignore[index]
        assert re.fullmatch(other, f"{mount}/healthz?a=b?c").groups() == ("/healthz", "a=b?c")  # type: ignore[union-attr]
        assert not re.search(one, f"{mount}/healthz?a=b")
    for pattern in (drained[0], ready[0], with_query[0]):
        assert re.search(pattern, path)
        assert not any(re.search(pattern, other) for other in (f"{path}/", f"/x{path}", path.replace("/-/", "/x/")))


def test_static_files_are_looked_for_in_every_release(rendered: Rendered) -> None:
    text = rendered["static"]["apache/app.conf.j2"]
    rules = [rule for rule in directives(text, "RewriteRule") if "static" in rule[0]]
    chosen = [flags for _, substitution, flags in rules if substitution == "-"]
    variables = "E=!FLASK_APACHE_CANARY_APP,E=!FLASK_APACHE_BYPASS_APP"
    assert chosen == [
        f"[E=FLASK_APACHE_STATIC_APP:{place},{variables}]" for place in ("%1", "blue", "green", "replaced")
    ]
    served = [substitution for _, substitution, flags in rules if flags == "[L,H=default-handler]"]
    assert [path.rpartition("/")[2] for path in served] == ["br$1", "gzip$1", "plain$1"]
    for pattern, *_ in rules:
        for path in ("/a.b/static", "/a.b/static/x.css", "/a.b/i+g/x.png"):
            match = re.search(pattern, path)
            assert match is not None
            assert match[1] == path.removeprefix("/a.b")
        assert not any(
            re.search(pattern, path) for path in ("/static/x", "/a.b/statics", "/a.b/iig/x", "/axb/static/x")
        )
    assert "FLASK_APACHE_STATIC" not in rendered["defaults"]["apache/app.conf.j2"]


def test_browsers_keep_static_files_as_declared(rendered: Rendered) -> None:
    text = rendered["static"]["apache/app.conf.j2"]
    kept = [arguments[2] for arguments in directives(text, "Header") if arguments[1] == "Cache-Control"]
    forever = "public, max-age=31536000, immutable"
    assert kept == ["public, max-age=90", forever, forever]  # any file, a file with a hash in its name, a declared one
    assert '<Directory "/srv/flask-apache/app/*/public/*/i+g">' in text


SENT = {
    "GET / HTTP/1.1": "/",
    "GET /a%20b//c?d=/e HTTP/1.1": "/a%20b//c",
    "POST /a?b HTTP/1.1": "/a",
    "GET http://www.example.com:8080/a?b HTTP/1.1": "/a",
    "GET http://www.example.com?b HTTP/1.1": None,
    "GET /x": "/x",
}


@pytest.mark.parametrize(("request_line", "path"), SENT.items())
def test_a_redirect_keeps_the_path_as_it_was_sent(rendered: Rendered, request_line: str, path: str | None) -> None:
    text = rendered["tls"]["apache/app.conf.j2:leading"]
    named, unknown = (rule for rule in directives(text, "RewriteRule") if "R=308" in rule[2])
    assert named[1] == "https://%1:8443%2"
    assert unknown[1] == "https://www.example.com:8443%1"
    assert {rule[2] for rule in (named, unknown)} == {"[R=308,NE,L]"}
    (by_name,) = conditions(text, "%1 %{THE_REQUEST}")
    (by_request,) = conditions(text, "%{THE_REQUEST}")
    found = re.search(by_name, f"example.com {request_line}")
    assert found
    assert found.groups() == ("example.com", path)
    (first,) = re.search(by_request, request_line).groups()  # type: ignore[union-attr]
    assert first == path


def test_only_names_of_the_app_are_redirected_to_themselves(rendered: Rendered) -> None:
    (names,) = conditions(rendered["tls"]["apache/app.conf.j2:leading"], "%{SERVER_NAME}")
    for name in ("www.example.com", "example.com", "a.example.org", "b.a.example.org"):
        found = re.search(names, name)
        assert found
        assert found[1] == name
    for name in ("evil.com", "www.example.com.evil.com", "wwwXexample.com", "example.org", ""):
        assert not re.search(names, name)


def test_the_readiness_address_is_not_redirected_unless_visits_are_restricted(rendered: Rendered) -> None:
    for case, is_open in (("tls", True), ("tls-modern", False)):
        for pattern in conditions(rendered[case]["apache/app.conf.j2:leading"], "%{REQUEST_URI}"):
            mount = {"tls": "/a.b", "tls-modern": ""}[case]
            assert bool(re.search(pattern.removeprefix("!"), f"{mount}/-/ready")) == is_open
            assert not re.search(pattern.removeprefix("!"), f"{mount}/x/-/ready")
    assert "Require ip" not in rendered["tls-modern"]["apache/app.conf.j2:leading"]
    assert "Require ip" in rendered["tls-modern"]["apache/app.conf.j2"]


def test_the_canonical_host_is_for_visitors_only(rendered: Rendered) -> None:
    text = rendered["tls-modern"]["apache/app.conf.j2"]
    assert conditions(text, "%{SERVER_NAME}") == [r"!^www\.example\.com$"]
    assert "^$" in conditions(text, "%{ENV:FLASK_APACHE_PROBE}")
    assert "R=308" not in rendered["tls"]["apache/app.conf.j2"]


def test_visitors_are_redirected_once_an_authority_has_given_its_certificate(rendered: Rendered) -> None:
    flag = "/srv/flask-apache/.https/www.example.com-443-5e76d315"
    text, host = rendered["tls-acme"]["apache/app.conf.j2:leading"], rendered["tls-acme"]["apache/vhost.conf.j2:plain"]
    assert conditions(text, flag) == ["-s", "-s"]
    assert f'<IfFile !"{flag}">' in host
    assert "SSLCertificateFile" not in host
    assert "SetEnv A b" in text
