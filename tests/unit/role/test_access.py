"""What Apache is told of proxies and of visitors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controller.access import HEADERS, NEVER
from tests.unit.role.cases import CASES, directives, lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    Rendered = Mapping[str, Mapping[str, str]]


def unset(text: str) -> dict[str, str]:
    """Return the headers that are removed from requests, with the condition."""
    found = {}
    for action, name, *condition in directives(text, "RequestHeader"):
        if action == "unset":
            found[name] = " ".join(condition)
    return found


@pytest.mark.parametrize("case", [case for case in CASES if "flask_apache_trusted_proxies" not in CASES[case][0]])
def test_nobody_is_believed_unless_declared(rendered: Rendered, case: str) -> None:
    for name, text in rendered[case].items():
        if name.startswith("apache/vhost.conf.j2"):
            assert unset(text) == dict.fromkeys(HEADERS, "")
        assert "RemoteIP" not in text
        assert "E=HTTPS" not in text


def test_proxies_are_believed(rendered: Rendered) -> None:
    vhosts = [text for name, text in rendered["proxies"].items() if name.startswith("apache/vhost.conf.j2")]
    assert vhosts
    for text in vhosts:
        assert directives(text, "RemoteIPHeader") == [["X-Forwarded-For"]]
        assert directives(text, "RemoteIPInternalProxy") == [["192.0.2.1"], ["2001:db8::/32"]]
        assert directives(text, "RemoteIPProxyProtocol") == []
        untrusted = "expr=-z reqenv('FLASK_APACHE_PROXY')"
        assert unset(text) == {name: "" if name in NEVER else untrusted for name in HEADERS}
        tests = [line[:3] for line in directives(text, "RewriteCond") if line[0] == "expr"]
        assert tests == [
            ["expr", "%{CONN_REMOTE_ADDR} -ipmatch '192.0.2.1'", "[OR]"],
            ["expr", "%{CONN_REMOTE_ADDR} -ipmatch '2001:db8::/32'"],
        ]


def test_browsers_stay_with_https_where_a_proxy_speaks_it(rendered: Rendered) -> None:
    for name, text in rendered["proxies"].items():
        if name.startswith("apache/vhost.conf.j2"):
            (header,) = (line for line in directives(text, "Header") if "Strict-Transport-Security" in line)
            assert header[3] == "max-age=300"
            assert ("reqenv('HTTPS') == 'on'" in header[-1]) == (":leading" in name)


def test_the_proxy_protocol(rendered: Rendered) -> None:
    vhosts = [text for name, text in rendered["proxy-protocol"].items() if name.startswith("apache/vhost.conf.j2")]
    for text in vhosts:
        assert directives(text, "RemoteIPProxyProtocol") == [["On"]]
        assert directives(text, "RemoteIPHeader") == []
        assert unset(text) == dict.fromkeys(HEADERS, "")
        assert directives(text, "RewriteRule")[-2:] == [["^", "-", "[F]"], ["^", "-", "[R=404,L]"]]


def test_no_password_is_in_the_configuration(rendered: Rendered) -> None:
    assert not [name for name, text in rendered["guarded"].items() if "wonderland" in text or 'a"b' in text]


def test_what_guards_is_a_section_for_each_way_to_a_path(rendered: Rendered) -> None:
    text = rendered["guarded"]["apache/app.conf.j2"]
    sections = [line for line in lines(text) if line.startswith("<If ")]
    assert len(sections) == 4 + 1 + 1  # of guards, of the readiness address, and of probes, which comes last
    assert sections[-2] == (
        "<If \"reqenv('FLASK_APACHE_PAGES') == 'app' && %{REQUEST_URI} == '/a.b/-/ready' && "
        "%{REQUEST_METHOD} in {'GET', 'HEAD'}\">"
    )
    assert sections[-1] == "<If \"reqenv('FLASK_APACHE_PROBE') == '1'\">"
    assert directives(text, "AuthName") == [["Restricted"], ["Staff"], ["Restricted"]]
    assert directives(text, "AuthName") == [["Restricted"], ["Staff"], ["Restricted"]]
    asked = [" ".join(line) for line in directives(text, "Require")]
    assert "ip 192.0.2.1 2001:db8::/32" in asked
    assert sorted(directives(text, "WSGIPassAuthorization")) == [["Off"]] * 3 + [["On"]] * 2
    files = {line[0] for line in directives(text, "AuthUserFile")}
    assert len(files) == 2
    assert all(path.startswith("/etc/flask-apache/app/users-") for path in files)


def test_guards_and_directives_apply_wherever_the_app_is_served(rendered: Rendered) -> None:
    """Behind a proxy, visitors get the app at the port that leads others to HTTPS."""
    own = {name: text for name, text in rendered["proxies"].items() if name.startswith("apache/app.conf.j2")}
    assert len(own) == 2
    for text in own.values():
        assert ["ip", "192.0.2.1"] in directives(text, "Require")
    for name, text in rendered["proxy-protocol"].items():  # there, nobody gets it
        if name.startswith("apache/app.conf.j2"):
            assert (["ip", "192.0.2.1"] in directives(text, "Require")) != name.endswith(":leading")


def test_the_readiness_address_tells_its_status_only(rendered: Rendered) -> None:
    for case, is_guarded in (("guarded", True), ("defaults", False)):
        text = rendered[case]["apache/app.conf.j2"]
        rules = [
            line for line in directives(text, "RewriteRule") if line[0].endswith("ready$") and "entry.wsgi" in line[1]
        ]
        assert len(rules) == 2
        assert all(("E=FLASK_APACHE_STATUS_ONLY:1" in line[2]) is is_guarded for line in rules)
        assert rules[0][1].endswith("entry.wsgi?" if is_guarded else "entry.wsgi")
        assert (["%{REQUEST_METHOD}", "^(?:GET|HEAD)$"] in directives(text, "RewriteCond")) is is_guarded
