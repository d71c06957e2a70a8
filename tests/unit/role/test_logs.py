"""The logs: where they go, and that a line of JSON is valid whatever a client sends."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import logs
from controller.files import fragments
from flask_apachectl.host import report
from flask_apachectl.serve import lines
from tests.unit.programs import ROLE, load
from tests.unit.role.cases import directives
from tests.unit.role.cases import lines as config_lines
from tests.unit.role.conftest import derived

if TYPE_CHECKING:
    from tests.unit.role.conftest import Rendered

APP = "apache/app.conf.j2"
BYTES = st.binary(max_size=40).map(lambda content: content.replace(b"\0", b"").decode("latin-1"))
UNESCAPED = "$-_.+!*'(),:;@&=/~"  # of what ap_os_escape_path leaves, besides letters and digits
CONTROL = {"\b": r"\b", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", '"': r"\"", "\\": r"\\"}
# What Apache itself knows of a request, by the items of the format.
KNOWN = {
    "%>s": "200",
    "%I": "80",
    "%O": "300",
    "%D": "1234",
    "%a": "2001:db8:1111:2222:3333:4444:5555:6666",
    "%{%Y-%m-%dT%H:%M:%S}t": "2026-11-27T20:10:40",
    "%{usec_frac}t": "000123",
    "%{sec}t": "1795810240",
    "%{%z}t": "+0000",
    "%^FB": "-",
}


def escaped(text: str) -> str:
    """Return a text as the map int:escape has it, and %{escape:...}."""
    return "".join(
        each if each in UNESCAPED or (each.isalnum() and each.isascii()) else f"%{ord(each):02x}" for each in text
    )


def logged(text: str) -> str:
    """Return a text as Apache escapes it in a log."""
    return "".join(CONTROL.get(each, each if " " <= each <= "~" else f"\\x{ord(each):02x}") for each in text)


class Request:
    """A request, and what mod_rewrite's rules for the log make of it."""

    def __init__(self, text: str, line: str, headers: dict[str, str]) -> None:
        self.line, self.headers, self.set = line, headers, dict[str, str]()
        conditions: list[list[str]] = []
        for directive in (each for each in config_lines(text) if each.startswith(("RewriteCond", "RewriteRule"))):
            name, *rest = self.words(directive)
            if name == "RewriteCond":
                conditions.append(rest)
                continue
            groups = self.matched(conditions)
            conditions = []
            if groups is not None and "FLASK_APACHE_LOG" in rest[2]:
                for variable, value in re.findall(r"E=(\w+):([^,\]]*)", rest[2]):
                    self.set[variable] = self.expand(value, groups)

    @staticmethod
    def words(directive: str) -> list[str]:
        """Return a directive's name and arguments."""
        found = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', directive)
        return ["".join(groups) for groups in found]

    def expand(self, value: str, groups: list[str]) -> str:
        """Return a string of a rule with its variables and maps, each read once."""
        method, _, rest = self.line.partition(" ")
        known = {"THE_REQUEST": self.line, "REQUEST_METHOD": method, "SERVER_PROTOCOL": rest.rpartition(" ")[2]}

        def one(found: re.Match[str]) -> str:
            if found["group"]:
                return groups[int(found["group"])]
            if found["map"]:
                return escaped(self.expand(found["map"], groups))
            kind, _, name = found["variable"].rpartition(":")
            return {"HTTP": self.headers, "ENV": self.set}.get(kind, known).get(name, "")

        return re.sub(
            r"%(?P<group>\d)|\$\{flask_apache_escape:(?P<map>%\d|%\{[\w:-]+\})\}|%\{(?P<variable>[\w:-]+)\}", one, value
        )

    def matched(self, conditions: list[list[str]]) -> list[str] | None:
        """Return what the last condition has captured, if all are met."""
        groups = [""] * 10
        for tested, pattern, *_ in conditions:
            text = self.expand(tested, groups)
            found = re.search(pattern.removeprefix("!"), text)
            if (found is None) != pattern.startswith("!"):
                return None
            if found:
                groups = [found[0], *(each or "" for each in found.groups())]
        return groups


def line_of(rendered: Rendered, request: Request, user: str = "") -> str:
    """Return what Apache writes of a request."""
    ((_, form, _),) = directives(rendered["logs-json"][APP], "CustomLog")
    notes = {"FLASK_APACHE_USER": escaped(user)[: logs.USER]} if user else {}
    set_ = {**request.set, "FLASK_APACHE_REQUEST_ID": "x" * 128, "FLASK_APACHE_POOL_MY_SHOP": "my-shop-blue"}

    def item(found: re.Match[str]) -> str:
        if found["kind"]:
            return logged((set_ if found["kind"] == "e" else notes).get(found["name"], "-"))
        return KNOWN[found[0]]

    return re.sub(r"%(?:<?\{(?P<name>\w+)\}(?P<kind>[en])|\{[^}]*\}t|>?[a-zA-Z]|\^FB)", item, form) + "\n"


def request_of(rendered: Rendered, line: str, **headers: str) -> Request:
    """Return a request of an app with a log in JSON."""
    known = {"host": "Host", "user_agent": "User-Agent", "referer": "Referer"}
    return Request(rendered["logs-json"][APP], line, {known[name]: value for name, value in headers.items()})


def test_a_usual_request_is_logged_as_it_was_sent(rendered: Rendered) -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64) [a] 100%"
    request = request_of(
        rendered,
        "GET /a.b/x%20y?q=$1&r=[1] HTTP/1.1",
        host="www.example.com",
        user_agent=agent,
        referer="http://x/?a=b",
    )
    found = json.loads(line_of(rendered, request, user="jane@example.com"))
    assert found == {
        "time": "2026-11-27T20:10:40.000123+0000",
        "timestamp": 1795810240.000123,
        "request_id": "x" * 128,
        "client": KNOWN["%a"],
        "user": "jane@example.com",
        "host": "www.example.com",
        "method": "GET",
        "path": "/a.b/x%20y?q=$1&r=[1]",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes_in": 80,
        "bytes_out": 300,
        "duration_us": 1234,
        "first_byte_us": 0,
        "app_us": 0,
        "release": "-",
        "pool": "my-shop-blue",
        "user_agent": agent,
        "referer": "http://x/?a=b",
        "encoded": "-",
    }


def test_what_json_would_escape_in_another_way_is_percent_encoded(rendered: Rendered) -> None:
    request = request_of(rendered, 'GET /a.b/"\xff?%41 HTTP/1.1', user_agent='a"b\\c %41', referer="/\xfc", host="h")
    found = json.loads(line_of(rendered, request, user='"\n\xff'))
    assert found["path"] == "/a.b/%22%ff%3f%2541"
    assert (found["user_agent"], found["referer"]) == ("a%22b%5cc%20%2541", "/%fc")
    assert (found["user"], found["host"]) == ("%22%0a%ff", "h")
    assert found["encoded"].split() == ["path", "user_agent", "referer"]


def test_a_line_is_valid_json_whatever_a_client_sends(rendered: Rendered) -> None:
    @settings(max_examples=300)
    @given(st.tuples(BYTES, BYTES, BYTES, BYTES, BYTES, BYTES, BYTES))
    def check(sent: tuple[str, ...]) -> None:
        method, path, protocol, host, agent, referer, user = sent
        request = request_of(rendered, f"{method} {path} {protocol}", host=host, user_agent=agent, referer=referer)
        line = line_of(rendered, request, user)
        assert line.count("\n") == 1
        assert list(json.loads(line)) == [name for name, _ in logs.LINE]
        assert lines.read(line) == (200, agent == lines.OWN)

    check()


@pytest.mark.parametrize("byte", range(1, 256))
def test_each_byte_is_told_or_encoded(rendered: Rendered, byte: int) -> None:
    value = f"a{chr(byte)}b"
    request = request_of(rendered, f"GET /{value} HTTP/1.1", host=value, user_agent=value, referer=value)
    found = json.loads(line_of(rendered, request, value))
    for name in ("host", "user_agent", "referer"):
        assert (escaped(value) if name in found["encoded"].split() else value) == found[name]
    assert found["path"] == (f"/{escaped(value)}" if "path" in found["encoded"].split() else f"/{value}")
    assert found["user"] == escaped(value)


@pytest.mark.parametrize("filling", ["a", '"', "\\", "\xff", "%", "\t"])
def test_a_line_fits_into_a_pipe_at_once(rendered: Rendered, filling: str) -> None:
    much = filling * 8000
    request = request_of(rendered, f"GET /a.b/{much} HTTP/1.1", host=much, user_agent=much, referer=much)
    line = line_of(rendered, request, much)
    assert json.loads(line)["path"].startswith("/a.b/")
    assert 3000 < len(line) < 4096 - 250, "there is room for what is short here"


def test_the_engines_own_visits_are_known(rendered: Rendered) -> None:
    request = request_of(rendered, "GET /a.b/ HTTP/1.1", user_agent="flask-apachectl")
    assert lines.read(line_of(rendered, request)) == (200, True)


@pytest.mark.parametrize("case", ["defaults", "logs"])
def test_combined_is_apaches_own_format(rendered: Rendered, case: str) -> None:
    text = rendered[case][APP]
    ((_, form, condition),) = directives(text, "CustomLog")
    assert (form, condition) == ("combined", "env=FLASK_APACHE_POOL_APP")
    assert "FLASK_APACHE_LOG" not in text


def test_logs_go_to_the_journal(rendered: Rendered) -> None:
    text = rendered["logs-json"][APP]
    for directive, kind, priority in (("ErrorLog", "error", "warning"), ("CustomLog", "access", "info")):
        name = f"flask-apache-my-shop-{kind}"
        assert directives(text, directive)[0][0] == (
            f"|$trap '' TERM; FLASK_APACHE_LOG={name} exec /usr/bin/systemd-cat --identifier={name} "
            f"--priority={priority} --level-prefix=false"
        )
    assert directives(text, "ErrorLog") == directives(rendered["logs-json"]["apache/pools.conf.j2"], "ErrorLog")


@pytest.mark.parametrize("name", [APP, "apache/pools.conf.j2"])
def test_the_error_log_names_the_request(rendered: Rendered, name: str) -> None:
    ((form,),) = directives(rendered["defaults"][name], "ErrorLogFormat")
    assert r"[request\ %{FLASK_APACHE_REQUEST_ID}e] %M" in form


@pytest.mark.parametrize(
    "prefix",
    [
        "[Fri Nov 27 20:10:41.1 2026] [wsgi:error] [pid 51:tid 1] [client 172.17.0.1:34742] [request awn@-_Ek] ",
        "[Fri Nov 27 20:10:41.1 2026] [wsgi:error] [pid 51] [shop-blue] [request awn] ",
        "[Fri Nov 27 20:10:41.1 2026] [core:error] [pid 51:tid 1] [request awn] ",
        "[Fri Nov 27 20:10:41.1 2026] [core:error] [pid 51:tid 1] ",
    ],
)
def test_what_a_person_reads_has_no_prefix(prefix: str) -> None:
    assert report.LOG_PREFIX.sub("", f"{prefix}boo [request x] boo\n") == "boo [request x] boo\n"


def test_a_visitors_own_id_is_dropped(rendered: Rendered) -> None:
    text = rendered["defaults"][APP]
    (rule,) = [each for each in directives(text, "RewriteRule") if "REQUEST_ID" in each[2]]
    assert rule[2] == "[E=FLASK_APACHE_REQUEST_ID:%{ENV:UNIQUE_ID}]"
    assert directives(text, "RequestHeader")[0][:2] == ["set", "X-Request-Id"]
    assert "HTTP:X-Request-Id" not in text


@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [
        ("awnrRcZyc-Zv3DOH7eT6_wAAQDw", True),
        ("Root=1-67891233-abcdef012345678912345678", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        *((f"a{byte}b", False) for byte in " \",\\;'\t\xff{}%"),
    ],
)
def test_that_of_a_trusted_proxy_is_kept(sent: str, *, is_kept: bool) -> None:
    text = fragment_of("defaults", trusted_proxies=["192.0.2.7", "2001:db8::/32"])
    conditions = directives(text, "RewriteCond")
    at = next(number for number, each in enumerate(conditions) if each[0] == "%{HTTP:X-Request-Id}")
    assert conditions[at - 1] == ["%{ENV:FLASK_APACHE_PROXY}", "^1$"]
    _, pattern, flag = conditions[at]
    assert flag == "[NV]"
    assert bool(re.search(pattern, sent)) == is_kept
    rules = [flags for *_, flags in directives(text, "RewriteRule") if "REQUEST_ID" in flags]
    assert rules == ["[E=FLASK_APACHE_REQUEST_ID:%{ENV:UNIQUE_ID}]", "[E=FLASK_APACHE_REQUEST_ID:%1]"]


def test_behind_the_proxy_protocol_it_is_the_visitors_own() -> None:
    text = fragment_of("defaults", trusted_proxies=["192.0.2.7"], proxy_protocol=True)
    assert "HTTP:X-Request-Id" not in text


def fragment_of(case: str, **changes: object) -> str:
    """Return an app's configuration with other values of what templates know."""
    plugin = load("action_plugins/flask_apache_engine.py")
    found = derived(case)
    render = plugin.renderer(ROLE / "templates", {**found.as_app(), **changes}, plugin.MANAGED)
    text: str = render(next(iter(fragments(found).values())))
    return text


# --- Metrics over HTTP


def test_only_who_is_allowed_gets_metrics(rendered: Rendered) -> None:
    text = rendered["logs-json"][APP]
    rules = [each for each in directives(text, "RewriteRule") if each[0] == r"^/a\.b/numbers$"]
    assert [flags for *_, flags in rules] == ["[R=404,L]", "[R=403,L]", "[R=503,L]", "[L,H=default-handler]"]
    assert ["expr", "! (-R '192.0.2.7' || -R '2001:db8::/32')"] in directives(text, "RewriteCond")
    assert rules[-1][1] == "/srv/flask-apache/.metrics/my-shop.prom"
    assert "/srv/flask-apache/.metrics" not in rendered["defaults"][APP]
