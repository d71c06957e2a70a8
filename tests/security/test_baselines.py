"""Two baselines by the numbers of their controls, asked of running hosts; what is not kept has its reason.

dev-sec's apache-baseline has 14 controls. Of the CIS Apache HTTP Server 2.4 Benchmark v2.3.0, all recommendations are
here that can be checked by a program, and those of TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.security.checks import (
    access_denied,
    by_address,
    errors_are_logged,
    etag,
    few_options,
    framing,
    hidden,
    is_closed_after,
    keep_alive,
    limits,
    locked,
    logged,
    no_overrides,
    no_renegotiation,
    no_trace,
    no_write,
    nothing,
    old_tls,
    old_versions,
    only_one_root,
    owned_by_root,
    private_key,
    server_header,
    service,
    signature,
    source_is_hidden,
    status,
    too_large,
    weak_ciphers,
    with_module,
    without_modules,
)
from tests.security.shared import ADMIN_PORT, NAME, Place
from tests.support.parallel import each

if TYPE_CHECKING:
    from collections.abc import Callable

Check = dict[str, "Callable[[Place], object]"]

DEV_SEC = {f"apache-{number:02}" for number in range(1, 15)}
CIS = {
    *(f"2.{number}" for number in range(2, 10)),
    *(f"3.{number}" for number in range(1, 13)),
    *("4.1", "4.3", "4.4"),
    *(f"5.{number}" for number in range(1, 17)),
    *(f"6.{number}" for number in (1, 2, 3, 5, 6, 7)),
    *(f"7.{number}" for number in range(1, 13)),
    *("8.1", "8.2", "8.3", "8.4"),
    *(f"9.{number}" for number in range(1, 7)),
    *("10.1", "10.2", "10.3", "10.4"),
}
DEBIANS = "it is Debian's own, and other sites may rely on it; "
WAIVED = {
    "apache-10": "apps need PUT, PATCH, DELETE and OPTIONS; an app refuses what it has not: test_answers.test_methods",
    "apache-13": "each cipher that is offered is strong, so the client's choice is the fast one (Mozilla's advice)",
    "2.9": DEBIANS + "logins of flask_apache_directives use it",
    "5.1": DEBIANS + "nothing is served from /, as all access is denied",
    "5.4": DEBIANS + "it answers unknown names as before the first app came; flask_apache_default_server replaces it",
    "5.7": "see apache-10",
    "5.15": "of level 2; which addresses a host has is not known in advance, and `Listen` is the administrator's",
    "6.2": "of level 2; logs are files for `flask-apachectl logs`; flask_apache_error_log may name another",
    "6.5": "the administrator upgrades packages; the sandbox and all settings survive that: test_sandbox",
    "6.6": "of level 2; a firewall for requests knows nothing of an app until somebody teaches it",
    "6.7": "see 6.6",
    "7.2": "the administrator chooses the certificate: flask_apache_tls_certificate",
    "7.9": "the administrator chooses whether there is TLS; then plain HTTP only redirects: tests/hosts/test_tls.py",
    "7.10": "browsers do not ask for it any more, and public authorities end their service",
    "7.11": "it cannot be taken back for its whole time: flask_apache_hsts turns it on",
    "8.3": "see 5.4",
    "9.1": "10 seconds without a packet end requests of phones in a tunnel; see test_slow_clients",
    "10.4": "uploads are larger: flask_apache_request_body_limit, 10 MiB by default, checked here",
}
GET = "GET / HTTP/1.1"
CHECKS: Check = {
    "apache-01": service("is-active"),
    "apache-02": service("is-enabled"),
    "apache-03": only_one_root,
    "apache-04": nothing("find /etc/apache2 -maxdepth 0 ! -user root -o ! -group root -o -perm /022"),
    "apache-05": nothing(
        r"find /etc/apache2 -name '*.conf' ! -type l \( ! -user root -o ! -group root -o -perm /133 \)"
    ),
    "apache-06": only_one_root,
    "apache-07": server_header,
    "apache-08": without_modules("dav", "cgi", "cgid", "include"),
    "apache-09": no_trace,
    "apache-11": status(404, "/icons/apache_pb.png"),  # the app's answer: its sites do not have Debian's icons
    "apache-12": status(403, "/icons/", "x"),
    "apache-14": logged,
    "2.2": with_module("log_config"),
    "2.3": without_modules("dav", "dav_fs"),
    "2.4": status(403, "/server-status", "x"),  # Debian enables it, for the host itself
    "2.5": few_options,
    "2.6": without_modules("proxy", "proxy_http", "proxy_ftp", "proxy_ajp", "proxy_connect"),
    "2.7": without_modules("userdir"),
    "2.8": without_modules("info"),
    "3.1": only_one_root,
    "3.2": locked,
    "3.3": locked,
    "3.4": owned_by_root,
    "3.5": owned_by_root,
    "3.6": no_write,
    "3.7": nothing("grep -rhi '^ *CoreDumpDirectory' /etc/apache2 || true"),
    "3.8": nothing("find /run/lock/apache2 -maxdepth 0 -perm /022"),
    "3.9": nothing(r"find /run/apache2 -maxdepth 1 -name '*.pid' \( ! -user root -o -perm /022 \)"),
    "3.10": nothing("grep -rhi '^ *ScoreBoardFile' /etc/apache2 || true"),
    "3.11": no_write,
    "3.12": no_write,
    "4.1": access_denied,
    "4.3": access_denied,
    "4.4": no_overrides,
    "5.2": few_options,
    "5.3": few_options,
    "5.5": status(404, "/cgi-bin/printenv", "x"),
    "5.6": status(404, "/cgi-bin/test-cgi", "x"),
    "5.8": no_trace,
    "5.9": old_versions,
    "5.10": hidden(".htaccess", ".htpasswd"),
    "5.11": hidden(".git/config"),
    "5.12": hidden(".svn/entries"),
    "5.13": source_is_hidden,
    "5.14": by_address,
    "5.16": framing,
    "6.1": errors_are_logged,
    "6.3": logged,
    "7.1": with_module("ssl"),
    "7.3": private_key,
    "7.4": old_tls,
    "7.5": weak_ciphers,
    "7.6": no_renegotiation,
    "7.7": old_tls,
    "7.8": weak_ciphers,
    "7.12": weak_ciphers,
    "8.1": server_header,
    "8.2": signature,
    "8.4": etag,
    "9.2": keep_alive,
    "9.3": keep_alive,
    "10.1": limits(f"GET /{'a' * 8000} HTTP/1.1", f"GET /{'a' * 8190} HTTP/1.1"),
    "10.2": limits(GET + "\r\nX: y" * 90, GET + "\r\nX: y" * 100),
    "10.3": limits(f"{GET}\r\nX: {'a' * 8000}", f"{GET}\r\nX: {'a' * 8190}"),
}
LATER = {"9.4", "9.5", "9.6"}  # they take their time: one test has them all


def test_every_control_is_kept_or_has_a_reason() -> None:
    assert (CHECKS.keys() | LATER) & WAIVED.keys() == set()
    assert CHECKS.keys() | LATER | WAIVED.keys() == DEV_SEC | CIS


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")  # asked for on purpose
@pytest.mark.parametrize("number", CHECKS)
def test_control(places: list[Place], number: str) -> None:
    each(places, CHECKS[number])


def test_slow_clients_are_closed(places: list[Place]) -> None:
    """Keep-alive (9.4), headers (9.5) and bodies (9.6), on the port of Debian's page and on one of the apps' own."""
    head = f"Host: {NAME}\r\n"
    asked = {
        "keep-alive": (f"GET / HTTP/1.1\r\n{head}\r\n", 80, 4, 15),
        "header": (f"GET / HTTP/1.1\r\n{head}", 80, 8, 40),
        "header of an app's port": ("GET / HTTP/1.1\r\nHost: ", ADMIN_PORT, 8, 40),
        "body": (f"POST /read HTTP/1.1\r\n{head}Content-Length: 10\r\n\r\nx", 80, 8, 20),
    }
    cases = [(place, *case) for place in places for case in asked.values()]

    def go(case: tuple[Place, str, int, int, int]) -> None:
        place, text, port, least, most = case
        assert least < is_closed_after(place, text.encode(), port) < most, case

    each(cases, go)


def test_bodies_have_a_limit(places: list[Place]) -> None:
    each(places, too_large)
