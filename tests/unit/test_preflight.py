"""What the role refuses before it touches anything, and in which words."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.programs import FILES, ROLE, load

if TYPE_CHECKING:
    from pathlib import Path

preflight = load("preflight.py")

SPECS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
SPEC = SPECS["main"]["options"]
KNOWN = sorted({name for spec in SPECS.values() for name in spec["options"]})
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
DISTRIBUTIONS = {"Debian": {"12": "4.9.4", "13": "5.0.2"}, "Ubuntu": {"24.04": "5.0.0"}}
SECRET = "correct horse battery staple"

HOST: dict[str, Any] = {
    "root": True,
    "distribution": "Debian",
    "distribution_version": "12",
    "python": "3.11",
    "distribution_python": "3.11",
    "listeners": {"80": "apache2 (pid 7)", "8080": "nginx (pid 12)"},
    "user": None,
    "systemd": True,
    "calendars_wrong": ["whenever"],
    "apps": [
        {
            "app": "shop",
            "user": "shop",
            "default_server": True,
            "python": "/opt/shop/bin/python3",
            "python_version": "3.11",
            "port": 80,
            "server_name": "shop.example.com",
            "server_aliases": ["buy.example.com"],
            "mount": "/",
        }
    ],
    "configuration": {
        "sites": [
            {"file": "/etc/apache2/sites-enabled/000-default.conf", "port": 80, "hosts": [], "stock": True},
            {"file": "/etc/blog.conf", "port": 81, "hosts": ["blog.example.com"], "stock": False},
        ]
    },
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    (path / "requirements.txt").write_text("flask\n")
    (path / "-r").write_text("")
    return path


def variables(source: Path, /, **own: object) -> dict[str, Any]:
    """Return the defaults with their templates filled in, and what a test changes, by short names."""
    values: dict[str, Any] = copy.deepcopy(DEFAULTS)
    values |= {
        "flask_apache_source": str(source),
        "flask_apache_user": "app",
        "flask_apache_server_name": "www.example.com",
        "flask_apache_environment": {"DATABASE_PASSWORD": SECRET, "WORKERS": 3},
    }
    return values | {f"flask_apache_{name}": value for name, value in own.items()}


def errors(values: dict[str, Any], **host: object) -> list[str]:
    found: list[str] = preflight.errors(values, KNOWN, HOST | host, DISTRIBUTIONS)
    return found


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"app": "a" + 31 * "z", "user": "a" + 31 * "z"},
        {"app": "my-shop-2", "user": "_shop"},
        {"mount": "/a/b"},
        {"mount": "/a.b", "health_path": "/healthz?full=1&x=%20"},
        {"server_name": "192.0.2.7"},
        {"server_name": "WWW.Example.COM", "server_aliases": ["example.com", "*.example.com", "xn--bcher-kva.example"]},
        {"port": 8443, "request_body_limit": 0},
        {
            "static": [
                {"url": "/", "path": "public"},
                {"url": "/a/b", "path": "site-packages/a/static", "immutable": True},
            ]
        },
        {"port": "443", "health_timeout": "5", "health_status": ["200", 404]},  # as `-e` gives them
        {"default_server": "no", "manage_service": "false", "port": 81},
        {"port": 82, "default_server": "True", "manage_service": 1, "daemon_server_metrics": "off"},
        {"wsgi": "package.module:app"},
        {"wsgi": "package:factory()"},
        {"wsgi": "package:holder.factory('production', 5, {'a': [1, None]}, debug=True)"},
        {"requirements": []},
        {"access_log": "/var/log/shop/access.log", "error_log": None},
        {"mod_wsgi_telemetry": "unix:/run/telemetry.sock interval=0.5", "mod_wsgi_slow_requests": 0.5},
        {"mod_wsgi_telemetry": None, "mod_wsgi_slow_requests": None},
        {"mod_wsgi_source": "pip", "mod_wsgi_version": "4.9"},
        {"daemon_umask": "077", "daemon_lang": "en_GB.utf8", "daemon_locale": "de_DE.UTF-8"},
        {"daemon_umask": "0027", "daemon_cpu_priority": -20, "daemon_switch_interval": "0.001"},
        {"daemon_supplementary_groups": ["adm", "ssl-cert"]},
        {name.removeprefix("flask_apache_"): None for name, spec in SPEC.items() if spec["default"] is None},
        {"source_exclude": ["*.log", "tests", "[!a]*"]},
        {"source_exclude": [], "pip_args": ["--index-url=https://it's.example.com/simple", "--no-deps"]},
        {"app": "shop", "user": "shop", "server_name": "shop.example.com"},  # the app itself is no neighbour
        {"server_name": "shop.example.com", "mount": "/blog"},
        {"server_name": "shop.example.com", "port": 81},
        {"server_name": "shop.example.com", "mount": "/blog", "default_server": True},  # the same default
        {"health_host": "www.example.com", "health_body": 'it\'s "up"', "health_successes": "3"},
        {"health_host": "WWW.Example.com"},
        {"ready_path": "/ready", "retry_after": 1, "lock_wait": 3600, "health_request_timeout": 600},
        {"soak": 0, "access_log": "/dev/stdout"},
        {"soak": 60, "soak_errors": 0, "access_log": "/var/log/shop/access.log"},
        {"soak": "60", "access_log": None},
        {"strategy": "rolling", "canary": 0, "idle_pool": "cold"},
        {"strategy": "rolling", "canary": "0"},
        {"strategy": "blue_green", "canary": 99},
        {"rollback_to": "0123456789ab-cdef01"},
        {"environment_secrets": []},
        {"data_directories": ["uploads", "media/images", {"name": "instance", "link": "shop/instance"}]},
        {"data_directories": [{"name": "uploads"}, {"name": "all", "link": "a"}, {"name": "all", "link": "ab"}]},
        {"hooks": [{"at": "before_start", "run": "flask db upgrade", "once": True, "timeout": 60}]},
        {"hooks": [{"at": "after_switch", "run": ["sh", "-c", 'echo "it\'s" ${HOME}']}], "irreversible": "yes"},
    ],
    ids=repr,
)
def test_what_works_is_accepted(source: Path, own: dict[str, Any]) -> None:
    assert errors(variables(source, **own)) == []


NO_STRING = "is no string; write it in quotes"
NO_CALL = "is not valid; write module:factory() with literal arguments"
LOCALE = "is not valid; write a UTF-8 locale such as C.UTF-8: others break file names"
MOUNT_FORM = "write / or a path such as /shop, with no slash at its end"
MOUNT = f"is not valid; {MOUNT_FORM}"
HOST_NAME = "is no host name; write one such as www.example.com"
STATIC_PATH = "write a path below the source, such as shop/static"
ALIAS = "is no host name; write one such as example.com or *.example.com"
APP = "is not valid; write a lower-case letter, then up to 31 letters, digits or hyphens"
WSGI = "is not valid; write module:callable or module:factory()"
REQUIREMENTS = "is not valid; write paths below the source, such as requirements.txt"
PATTERN = "is not valid; write names or patterns such as *.log, without a slash or a leading hyphen"
LOG = "is not valid; write an absolute path, or nothing for the app's own files"
TELEMETRY = "is not valid; write unix:/path, or unix:/path interval=SECONDS with at least 0.5"
UMASK = "is not valid; write three octal digits in quotes, such as '0027'"
PORT = "write 1 to 65535"
CONTROL = "holds a control character; write it without"
QUOTE = "holds a quote, a backslash or ${; write it without"
SYSTEM_USER = "is a user of the system; write a user of the app's own"
READY = "is not valid; write a path below the mount, such as /-/ready"
HEALTH_HOST = "is not valid; write a host name, or nothing for the server name"
TWO_POOLS = "needs two pools; write 0, or flask_apache_strategy: blue_green"
LOG_FILE = "needs an access log that is a file; write 0, or another access log"
STATUS = "is no HTTP status; write numbers such as 200"
CERTIFICATE = "is no PEM certificate on the controller; write its path"

RELATIVE = "is not valid; write a relative path such as static/uploads"
NO_DIRECTORY = "is no directory; write uploads, or {name: uploads, link: uploads}"
NO_HOOK = "is no hook; write {at: before_start, run: flask db upgrade}"
NO_COMMAND = "is no command; write its words as in a shell, or a list of them"
REFUSED: list[tuple[str, Any, str]] = [
    # variable, its value, the line without the variable's name
    ("app", "", f"'' {APP}"),
    ("app", "Shop", f"'Shop' {APP}"),
    ("app", "1shop", f"'1shop' {APP}"),
    ("app", "../etc", f"'../etc' {APP}"),
    ("app", "a" * 33, f"'{'a' * 33}' {APP}"),
    ("app", "vhosts", f"'vhosts' {APP}"),
    ("app", "café", f"'café' {APP}"),
    ("app", None, "None is no string; write one, in quotes"),
    ("app", ["shop"], "['shop'] is no string; write one, in quotes"),
    ("user", "a b", "'a b' is not valid; write a Unix user name of the app's own"),
    ("user", 1000, "1000 is no string; write one, in quotes"),
    ("user", "root", f"'root' {SYSTEM_USER}"),
    ("user", "nobody", f"'nobody' {SYSTEM_USER}"),
    ("user", "flask-apache-build", f"'flask-apache-build' {SYSTEM_USER}"),
    ("user", "shop", "'shop' is the user of the app shop; write a user of the app's own"),
    ("mount", "", f"'' {MOUNT}"),
    ("mount", "shop", f"'shop' {MOUNT}"),
    ("mount", "/shop/", f"'/shop/' {MOUNT}"),
    ("mount", "//", f"'//' {MOUNT}"),
    ("mount", "/a/../b", f"'/a/../b' {MOUNT}"),
    ("mount", "/größe", f"'/größe' {MOUNT}"),
    ("mount", "/" + "a" * 998, f"'/{'a' * 95}... {MOUNT}"),
    ("health_path", "healthz", "'healthz' is not valid; write a path below the mount, such as /healthz"),
    ("health_path", "/a b", "'/a b' is not valid; write a path below the mount, such as /healthz"),
    ("health_path", "/größe", "'/größe' is not valid; write a path below the mount, such as /healthz"),
    ("health_status", [200, 42], f"42 {STATUS}"),
    ("health_status", [True], f"True {STATUS}"),
    ("health_status", [], "[] holds nothing; write numbers such as 200"),
    ("health_status", 200, "200 is no list; write one such as [a, b]"),
    ("health_body", None, "None is no string; write one, in quotes"),
    ("health_body", "a\nb", f"'a\\nb' {CONTROL}"),
    ("health_host", None, "None is no string; write one, in quotes"),
    ("health_host", "*.example.com", f"'*.example.com' {HEALTH_HOST}"),
    ("health_host", "www.example.com:80", f"'www.example.com:80' {HEALTH_HOST}"),
    ("health_host", "a b", f"'a b' {HEALTH_HOST}"),
    ("health_host", "\u212aelvin.example", f"'\u212aelvin.example' {HEALTH_HOST}"),
    ("health_successes", 0, "0 is out of range; write 1 to 100 rounds"),
    ("health_request_timeout", 0, "0 is out of range; write 1 to 600 seconds"),
    ("ready_path", "", f"'' {READY}"),
    ("ready_path", "/", f"'/' {READY}"),
    ("ready_path", "ready", f"'ready' {READY}"),
    ("environment_secrets", "*KEY*", "'*KEY*' is no list; write one such as [a, b]"),
    ("environment_secrets", [1], "1 is no string; write it in quotes"),
    ("irreversible", "maybe", "'maybe' is neither true nor false; write one of these"),
    ("data_directories", ["../etc"], f"'../etc' {RELATIVE}"),
    ("data_directories", ["/etc"], f"'/etc' {RELATIVE}"),
    ("data_directories", [".ssh"], f"'.ssh' {RELATIVE}"),
    ("data_directories", [{"name": "a/../../b"}], f"'a/../../b' {RELATIVE}"),
    ("data_directories", [{"name": "a", "link": "/etc"}], f"'/etc' {RELATIVE}"),
    ("data_directories", [{"name": "a", "link": "a/.."}], f"'a/..' {RELATIVE}"),
    ("data_directories", [{"name": 1}], f"1 {RELATIVE}"),
    ("data_directories", [{"name": ""}], "{'name': ''} has no name; write one such as uploads"),
    ("data_directories", [{"path": "a"}], f"{{'path': 'a'}} {NO_DIRECTORY}"),
    ("data_directories", [3], f"3 {NO_DIRECTORY}"),
    (
        "data_directories",
        [{"name": "a", "link": "x"}, {"name": "b", "link": "x/y"}],
        "'x/y' is linked twice, or below another link; write one link for both",
    ),
    ("hooks", ["flask db upgrade"], f"'flask db upgrade' {NO_HOOK}"),
    ("hooks", [{"at": "before_start"}], f"{{'at': 'before_start'}} {NO_HOOK}"),
    (
        "hooks",
        [{"at": "later", "run": "x"}],
        "'later' is no point of a deploy; write one of before_check, before_start, before_switch, after_switch",
    ),
    ("hooks", [{"at": "before_start", "run": ""}], f"'' {NO_COMMAND}"),
    (
        "hooks",
        [{"at": "before_check", "run": "make keys", "once": True}],
        "'before_check' is not for one host only, as each imports the app; leave once out",
    ),
    ("hooks", [{"at": "before_start", "run": "echo 'a"}], f'"echo \'a" {NO_COMMAND}'),
    ("hooks", [{"at": "before_start", "run": ["a", 1]}], f"['a', 1] {NO_COMMAND}"),
    (
        "hooks",
        [{"at": "before_start", "run": "x", "once": "on"}],
        "'on' is neither true nor false; write one of these for once",
    ),
    (
        "hooks",
        [{"at": "before_start", "run": "x", "timeout": 0}],
        "0 is out of range; write 1 to 86400 seconds for timeout",
    ),
    ("ready_path", "/ready/", f"'/ready/' {READY}"),
    ("ready_path", "/a b", f"'/a b' {READY}"),
    ("ready_path", "/../ready", f"'/../ready' {READY}"),
    ("ready_path", "/ready?x", f"'/ready?x' {READY}"),
    ("retry_after", 0, "0 is out of range; write 1 to 86400 seconds"),
    ("lock_wait", -1, "-1 is out of range; write 0 to 3600 seconds"),
    ("lock_wait", 3601, "3601 is out of range; write 0 to 3600 seconds"),
    ("lock_wait", "soon", "'soon' is no number; write 0 to 3600 seconds"),
    ("lock_wait", None, "None is no number; write 0 to 3600 seconds"),
    ("lock_wait", 0.5, "0.5 is no number; write 0 to 3600 seconds"),
    ("soak", -1, "-1 is out of range; write 0 to 3600 seconds, 0 for none"),
    ("soak_errors", -1, "-1 is out of range; write 0 to 1000000 answers"),
    ("canary", 100, "100 is out of range; write 0 to 99 percent, 0 for all at once"),
    ("canary", -1, "-1 is out of range; write 0 to 99 percent, 0 for all at once"),
    ("canary", True, "True is no number; write 0 to 99 percent, 0 for all at once"),
    ("rollback_to", "last", "'last' is not valid; write a release's id, as `flask-apachectl releases` shows it"),
    ("server_name", "", f"'' {HOST_NAME}"),
    ("server_name", None, "None is no string; write one, in quotes"),
    ("server_name", "a_b.example.com", f"'a_b.example.com' {HOST_NAME}"),
    ("server_name", "*.example.com", f"'*.example.com' {HOST_NAME}"),
    ("server_name", "bücher.example", f"'bücher.example' {HOST_NAME}"),
    ("server_name", "\u212aelvin.example", f"'\u212aelvin.example' {HOST_NAME}"),
    ("server_name", "::1", f"'::1' {HOST_NAME}"),
    ("server_name", ".".join(["a" * 60] * 4), f"'{'a' * 60}.{'a' * 35}... {HOST_NAME}"),
    (
        "server_name",
        "buy.example.com",
        (
            "'buy.example.com' would share buy.example.com with the app shop of "
            "shop.example.com; write the same server name, or names that only one has"
        ),
    ),
    ("server_aliases", ["*"], f"'*' {ALIAS}"),
    ("server_aliases", ["a.*.example.com"], f"'a.*.example.com' {ALIAS}"),
    ("server_aliases", [80], f"80 {NO_STRING}"),
    ("server_aliases", "example.com", "'example.com' is no list; write one such as [a, b]"),
    ("server_aliases", None, "None is no list; write one such as [a, b]"),
    ("port", 0, f"0 is out of range; {PORT}"),
    ("port", "65536", f"'65536' is out of range; {PORT}"),
    ("port", 10**30, f"{10**30} is out of range; {PORT}"),
    ("port", True, f"True is no number; {PORT}"),
    ("port", 80.0, f"80.0 is no number; {PORT}"),
    ("port", " 80 ", f"' 80 ' is no number; {PORT}"),
    ("port", "080", f"'080' is no number; {PORT}"),
    ("port", None, f"None is no number; {PORT}"),
    ("port", 8080, "8080 is held by nginx (pid 12); stop that program, or write another port"),
    ("port", "8080", "'8080' is held by nginx (pid 12); stop that program, or write another port"),
    ("keep_releases", 1, "1 is out of range; write 2 to 1000 releases: the live and the previous one are always kept"),
    ("request_body_limit", -1, "-1 is out of range; write 0 to 2147483647 bytes, 0 for no limit"),
    ("static", ["static"], "'static' is not valid; write {url: /static, path: shop/static}"),
    ("static", [{"url": "/static"}], "{'url': '/static'} is not valid; write {url: /static, path: shop/static}"),
    ("static", [{"url": "static", "path": "a"}], f"'static' is not valid as url; {MOUNT_FORM}"),
    ("static", [{"url": "/a", "path": "../a"}], f"'../a' is not valid as path; {STATIC_PATH}"),
    ("static", [{"url": "/a", "path": "/a"}], f"'/a' is not valid as path; {STATIC_PATH}"),
    (
        "static",
        [{"url": "/a", "path": "a", "immutable": "maybe"}],
        "'maybe' is not valid as immutable; write true or false",
    ),
    ("static", [{"url": "/a", "path": "a"}, {"url": "/a", "path": "b"}], "'/a' stands twice; write another url"),
    ("static", "/static", "'/static' is no list; write one such as [a, b]"),
    ("static_max_age", -1, "-1 is out of range; write 0 to 31536000 seconds"),
    ("compression", "gzip", "'gzip' is neither true nor false; write one of these"),
    ("log_keep_days", 0, "0 is out of range; write 1 to 36500 days"),
    ("wsgi", "app", f"'app' {WSGI}"),
    ("wsgi", "app:", f"'app:' {WSGI}"),
    ("wsgi", "app:create(config)", f"'app:create(config)' {NO_CALL}"),
    ("wsgi", "app:create(open('/etc/passwd'))", f"\"app:create(open('/etc/passwd'))\" {NO_CALL}"),
    ("wsgi", "app:create()()", f"'app:create()()' {NO_CALL}"),
    ("wsgi", "app:create().app.run(1)", f"'app:create().app.run(1)' {NO_CALL}"),
    ("wsgi", "app:create({[]: 1})", f"'app:create({{[]: 1}})' {NO_CALL}"),
    ("wsgi", "app:create(*[1])", f"'app:create(*[1])' {NO_CALL}"),
    ("wsgi", f"app:create({'-' * 5000}1)", f"'app:create({'-' * 85}... {NO_CALL}"),
    ("requirements", ["/etc/passwd"], f"'/etc/passwd' {REQUIREMENTS}"),
    ("requirements", ["-r"], f"'-r' {REQUIREMENTS}"),
    ("requirements", "requirements.txt", "'requirements.txt' is no list; write one such as [a, b]"),
    ("source_exclude", ["a/b"], f"'a/b' {PATTERN}"),
    ("source_exclude", ["-x"], f"'-x' {PATTERN}"),
    ("pip_args", ["--timeout", 30], f"30 {NO_STRING}"),
    ("pip_args", ["--no-deps\n"], f"'--no-deps\\n' {CONTROL}"),
    (
        "python",
        "python3",
        "'python3' is not valid; write the absolute path of an interpreter on the host, such as /usr/bin/python3",
    ),
    ("mod_wsgi_version", 6.1, "6.1 is no string; write one, in quotes"),
    ("mod_wsgi_version", "latest", "'latest' is not valid; write a version of mod_wsgi on PyPI, such as 6.1.1"),
    ("mod_wsgi_telemetry", "udp:1.2.3.4:5", f"'udp:1.2.3.4:5' {TELEMETRY}"),
    ("mod_wsgi_telemetry", "unix:/a interval=0.1", f"'unix:/a interval=0.1' {TELEMETRY}"),
    ("mod_wsgi_slow_requests", "nan", "'nan' is no number; write 0 to 86400 seconds"),
    ("mod_wsgi_slow_requests", -0.5, "-0.5 is out of range; write 0 to 86400 seconds"),
    ("access_log", "access.log", f"'access.log' {LOG}"),
    ("error_log", "/var/log/a b.log", f"'/var/log/a b.log' {LOG}"),
    ("error_log", "syslog:local1", f"'syslog:local1' {LOG}"),
    ("manage_service", "y", "'y' is neither true nor false; write one of these"),
    ("default_server", None, "None is neither true nor false; write one of these"),
    ("environment", f"SECRET_KEY={SECRET}", "is no mapping; write one such as {NAME: 'value'}"),
    ("environment", {"A-B": SECRET}, "'A-B' is no name of an environment variable; write letters, digits and _"),
    ("environment", {"A": [SECRET]}, "'A' has a list for a value; write a string in quotes"),
    ("environment", {"A": None}, "'A' has a NoneType for a value; write a string in quotes"),
    ("environment", {"A": f"{SECRET}\0"}, "'A' has a NUL byte in its value; encode it, for example as base64"),
    (
        "environment",
        {"FLASK_APACHE_POOL": SECRET},
        "'FLASK_APACHE_POOL' is set by the role itself; choose another name",
    ),
    ("ca_certificates", ["/nowhere"], f"'/nowhere' {CERTIFICATE}"),
    ("ca_certificates", ["/"], f"'/' {CERTIFICATE}"),
    ("daemon_umask", 511, "511 is no string; write one, in quotes"),  # what YAML makes of 0777
    ("daemon_umask", "0800", f"'0800' {UMASK}"),
    ("daemon_lang", "C", f"'C' {LOCALE}"),
    ("daemon_locale", "de_DE.ISO-8859-1", f"'de_DE.ISO-8859-1' {LOCALE}"),
    ("daemon_processes", 0, "0 is out of range; write 1 to 1000 processes"),
    ("daemon_processes", None, "None is no number; write 1 to 1000 processes"),
    ("daemon_memory_limit", 512, "512 is out of range; write 33554432 to 4611686018427387904 bytes"),
    ("daemon_cpu_priority", 20, "20 is out of range; write -20 to 19"),
    ("daemon_switch_interval", 0, "0 is out of range; write 0.0001 to 60 seconds"),
    ("daemon_header_buffer_size", 4096, "4096 is out of range; write 8192 to 2147483647 bytes"),
    ("daemon_queue_timeout", -1, "-1 is out of range; write 0 to 86400 seconds"),
    ("daemon_supplementary_groups", ["a,b"], "'a,b' is not valid; write names of Unix groups"),
]


@pytest.mark.parametrize(
    ("name", "value", "line"), REFUSED, ids=[f"{name}-{value!r:.40}" for name, value, _ in REFUSED]
)
def test_what_does_not_work_is_refused_in_one_line(source: Path, name: str, value: object, line: str) -> None:
    own = {name: value} if name != "app" else {name: value, "user": "own"}
    assert errors(variables(source, **own)) == [f"flask_apache_{name}: {line}"]


@pytest.mark.parametrize(
    ("own", "host", "line"),
    [
        (
            {},
            {"distribution": "Debian", "distribution_version": "11"},
            "host: Debian 11 is not supported; use one of Debian 12, Debian 13, Ubuntu 24.04",
        ),
        (
            {},
            {"distribution": "Arch", "distribution_version": ""},
            "host: Arch  is not supported; use one of Debian 12, Debian 13, Ubuntu 24.04",
        ),
        ({}, {"root": False}, "host: the role does not run as root there; set become: true on the play"),
        (
            {"python": "/opt/python"},
            {"python": None},
            "flask_apache_python: '/opt/python' does not run on the host; write an installed interpreter",
        ),
        (
            {"python": "/opt/python"},
            {"python": "3.14", "apps": []},
            (
                "flask_apache_python: '/opt/python' is Python 3.14, but the distribution's mod_wsgi is of 3.11; "
                "write /usr/bin/python3, or set flask_apache_mod_wsgi_source: pip"
            ),
        ),
        (
            {"python": "/opt/python", "mod_wsgi_source": "pip"},
            {"python": "3.14"},
            (
                "flask_apache_python: '/opt/python' is Python 3.14, but the app shop on this Apache runs 3.11; "
                "one Apache has one mod_wsgi, and that one Python: write the same interpreter"
            ),
        ),
        (
            {"mod_wsgi_source": "pip", "mod_wsgi_version": "4.7.1"},
            {},
            "flask_apache_mod_wsgi_version: '4.7.1' is too old; write 4.9.0 or newer",
        ),
        (
            {"user": "backup"},
            {"user": {"uid": 34}},
            "flask_apache_user: 'backup' is a user of the system; write a user of the app's own",
        ),
        ({"canary": 10, "strategy": "rolling"}, {}, f"flask_apache_canary: 10 {TWO_POOLS}"),
        ({"canary": "10", "strategy": "rolling"}, {}, f"flask_apache_canary: '10' {TWO_POOLS}"),
        ({"soak": 30, "access_log": "/dev/stdout"}, {}, f"flask_apache_soak: 30 {LOG_FILE}"),
        ({"soak": "30", "access_log": "/dev/null"}, {}, f"flask_apache_soak: '30' {LOG_FILE}"),
        (
            {"user": "clerk"},
            {"user": {"uid": 1000, "group": "staff"}},
            "flask_apache_user: 'clerk' has the group staff; write a user whose group has the same name",
        ),
        (
            {"user": "clerk"},
            {"user": {"uid": 1000, "group": None}},
            "flask_apache_user: 'clerk' has the group None; write a user whose group has the same name",
        ),
        (
            {"default_server": "yes"},
            {},
            (
                "flask_apache_default_server: 'yes' is what shop.example.com of the app shop is already; "
                "write false, or another port"
            ),
        ),
        (
            {"server_name": "Shop.example.com"},
            {},
            "flask_apache_mount: '/' is the mount of the app shop; write another path or server name",
        ),
        (
            {"server_aliases": ["BUY.example.com"], "mount": "/other"},
            {},
            (
                "flask_apache_server_name: 'www.example.com' would share buy.example.com with the app shop of "
                "shop.example.com; write the same server name, or names that only one has"
            ),
        ),
        (
            {"port": "81", "server_name": "blog.example.com"},
            {},
            (
                "flask_apache_server_name: 'blog.example.com' is already served by /etc/blog.conf; "
                "write another name or port"
            ),
        ),
        (
            {"port": 81, "default_server": "yes"},
            {},
            (
                "flask_apache_default_server: 'yes' would take requests away from /etc/blog.conf; "
                "write false and a server name, or another port"
            ),
        ),
    ],
    ids=lambda value: f"{value}"[:40],
)
def test_what_the_host_does_not_allow_is_refused_in_one_line(
    source: Path, own: dict[str, Any], host: dict[str, Any], line: str
) -> None:
    assert errors(variables(source, **own), **host) == [line]


@pytest.mark.parametrize(
    ("own", "host"),
    [
        ({"user": "clerk"}, {"user": {"uid": 1000, "group": "clerk"}}),
        ({"user": "clerk"}, {"user": {"uid": 1000}}),  # an older inspect_host.py
        ({"default_server": True, "port": 82}, {}),  # the default of another port
        # The distribution's Python has been upgraded: the neighbour's next deploy will find it too.
        ({"python": "/opt/shop/bin/python3", "mod_wsgi_source": "pip"}, {"python": "3.12"}),
        ({}, {"python": "3.12", "distribution_python": "3.12", "apps": [{"app": "old", "python_version": "3.11"}]}),
    ],
    ids=repr,
)
def test_what_the_host_allows_is_accepted(source: Path, own: dict[str, Any], host: dict[str, Any]) -> None:
    assert errors(variables(source, **own), **host) == []


def test_what_is_not_on_the_controller_is_refused(source: Path) -> None:
    gone = f"{source}-gone"
    remedy = "is no directory of the controller; write the app's absolute path"
    assert errors(variables(source, source=gone)) == [preflight.message("source", gone, remedy)]
    assert errors(variables(source, source="app")) == [f"flask_apache_source: 'app' {remedy}"]
    assert errors(variables(source, source="/" + "a" * 5000)) == [f"flask_apache_source: '/{'a' * 95}... {remedy}"]
    assert errors(variables(source, source=None)) == [
        "flask_apache_source: None is no string; write one, in quotes",
    ]
    assert errors(variables(source, requirements=["dev.txt"])) == [
        f"flask_apache_requirements: 'dev.txt' is not in {source}; write an existing file, or [] for none"
    ]
    (source / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    (source / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    own = variables(source, ca_certificates=[str(source / "ca.pem"), str(source / "key.pem")])
    assert errors(own) == [preflight.message("ca_certificates", str(source / "key.pem"), CERTIFICATE)]


HOST_KEY = "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJ0"
KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----\n"
DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    "own",
    [
        {"source_type": "git", "source": "https://git.example.com/shop.git"},
        {"source_type": "git", "source": "https://me:token@git.example.com:8443/shop", "git_version": "release/1.0"},
        {"source_type": "git", "source": "git@git.example.com:me/shop.git", "git_known_hosts": [HOST_KEY]},
        {
            "source_type": "git",
            "source": "ssh://git.example.com:2222/shop",
            "git_known_hosts": [f"@revoked {HOST_KEY}"],
        },
        {"source_type": "git", "source": "https://h/x", "git_key": KEY, "git_depth": "0", "git_submodules": "no"},
        {"source_type": "git", "source": "https://h/x", "git_key": "{source}/key"},
        {"source_type": "git", "source": "https://h/x", "git_key": "{source}/vaulted"},
        {"source_type": "git", "source": "{source}", "source_directory": "not/here yet"},
        {"source_type": "git", "source": "/on/the/host", "git_on": "host", "requirements": ["not-here.txt"]},
        {"source_type": "git", "source": "https://h/x", "git_signers": [f"me@h {HOST_KEY.partition(' ')[2]} me@home"]},
        {"source_type": "git", "source": "https://h/x", "git_signers": [f"{preflight.PGP}\n\nmQENB\n"]},
        {"source_type": "archive", "source": "http://h/shop.zip", "archive_checksum": DIGEST},
        {"source_type": "archive", "source": "{source}/shop.tar.gz", "archive_checksum": DIGEST},
        {"source_type": "package", "source": "shop==1.0", "requirements": []},
        {"source_type": "package", "source": "My.Shop[db,cache]==1!2.0rc1+local"},
        {"source_type": "package", "source": "{source}/s.whl", "package_requirements": ["x==1; python_version<'3.12'"]},
        {"source_type": "package", "source": "{source}/s.whl[db]"},
        {"source_directory": "backend"},
    ],
    ids=repr,
)
def test_a_source_that_works(source: Path, own: dict[str, Any]) -> None:
    (source / "backend").mkdir()
    for name, text in {
        "backend/requirements.txt": "",
        "key": KEY,
        "vaulted": "$ANSIBLE_VAULT;1.1;AES256\n",
        "shop.tar.gz": "",
        "s.whl": "",
    }.items():
        (source / name).write_text(text)
    filled = {
        key: value.format(source=source) if key != "git_signers" and isinstance(value, str) else value
        for key, value in own.items()
    }
    assert errors(variables(source, **filled)) == []


REPOSITORY = "is no repository; write https://…, ssh://…, git@host:path or an absolute path"
SIGNER = "is no line of allowed_signers and no armored OpenPGP public key"
ARCHIVE = "is no file of the controller; write an archive's absolute path, or https://…"
PACKAGE = "is no package; write name==version, or a wheel's absolute path"


@pytest.mark.parametrize(
    ("own", "line"),
    [
        (
            {"source_type": "git", "source": "https://h/x", "source_directory": "../x"},
            "source_directory: '../x' is not valid; write a directory below the source",
        ),
        ({"source_directory": "nowhere"}, "source_directory: 'nowhere' is no directory in "),
        ({"source_type": "git", "source": "http://me:pass@h/x"}, f"source: 'http://****@h/x' {REPOSITORY}"),
        ({"source_type": "git", "source": "git://h/x"}, f"source: 'git://h/x' {REPOSITORY}"),
        ({"source_type": "git", "source": "ext::sh -c id"}, f"source: 'ext::sh -c id' {REPOSITORY}"),
        (
            {"source_type": "git", "source": "ssh://-oProxyCommand=id/x"},
            f"source: 'ssh://-oProxyCommand=id/x' {REPOSITORY}",
        ),
        ({"source_type": "git", "source": "--upload-pack=id"}, f"source: '--upload-pack=id' {REPOSITORY}"),
        ({"source_type": "git", "source": "/nowhere"}, "source: '/nowhere' is no directory of the controller"),
        (
            {"source_type": "git", "source": "git@h:x"},
            "git_known_hosts: [] holds no key of h; write what `ssh-keyscan h`",
        ),
        (
            {"source_type": "git", "source": "https://h/x", "git_known_hosts": ["h"]},
            "git_known_hosts: 'h' is not valid",
        ),
        ({"source_type": "git", "source": "https://h/x", "git_version": "-x"}, "git_version: '-x' is not valid"),
        ({"source_type": "git", "source": "https://h/x", "git_version": "a..b"}, "git_version: 'a..b' is not valid"),
        ({"source_type": "git", "source": "https://h/x", "git_depth": -1}, "git_depth: -1 is out of range"),
        ({"source_type": "git", "source": "https://h/x", "git_signers": ["me"]}, f"git_signers: 'me' {SIGNER}"),
        ({"source_type": "git", "source": "https://h/x", "git_key": SECRET}, "git_key: is neither a private key nor"),
        (
            {"source_type": "git", "source": "https://h/x", "git_key": "/nowhere"},
            "git_key: is neither a private key nor",
        ),
        (
            {"source_type": "archive", "source": "ftp://h/x", "archive_checksum": DIGEST},
            f"source: 'ftp://h/x' {ARCHIVE}",
        ),
        ({"source_type": "archive", "source": "https://h/x"}, "archive_checksum: '' is needed for an archive; write"),
        (
            {"source_type": "archive", "source": "https://h/x", "archive_checksum": "sha1:0"},
            "archive_checksum: 'sha1:0' is not valid; write sha256: and 64 digits",
        ),
        ({"source_type": "package", "source": "shop"}, f"source: 'shop' {PACKAGE}"),
        ({"source_type": "package", "source": "shop>=1"}, f"source: 'shop>=1' {PACKAGE}"),
        ({"source_type": "package", "source": "--pre shop==1"}, f"source: '--pre shop==1' {PACKAGE}"),
        ({"source_type": "package", "source": "/nowhere.whl"}, "source: '/nowhere.whl' is no file of the controller"),
        (
            {"source_type": "package", "source": "shop==1", "source_directory": "a"},
            "source_directory: 'a' is not in a package; write nothing",
        ),
        (
            {"source_type": "package", "source": "shop==1", "requirements": ["dev.txt"]},
            "requirements: ['dev.txt'] are not in a package; see flask_apache_package_requirements",
        ),
    ],
    ids=repr,
)
def test_a_source_that_does_not_work(source: Path, own: dict[str, Any], line: str) -> None:
    (found,) = errors(variables(source, **own))
    assert found.startswith(f"flask_apache_{line}")
    assert SECRET not in found


@pytest.mark.parametrize("text", ['"', "'", "`", "\\", "${APACHE_LOG_DIR}"])
def test_nothing_gets_out_of_apaches_quotes(source: Path, text: str) -> None:
    value = f"/var/log/{text}"
    assert preflight.message("access_log", value, QUOTE) in errors(variables(source, access_log=value))


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x7f", "\u0085", "\u2028", "\t"])
def test_no_variable_takes_a_control_character(source: Path, character: str) -> None:
    text = [name for name, spec in SPEC.items() if spec["type"] in ("str", "path") and "choices" not in spec]
    for name in sorted({*text} - {"flask_apache_git_key"}):  # which has lines, and reaches no file of Apache's
        value = f"a{character}Alias /x /etc"
        found = errors({**variables(source), name: value})
        assert any(line.startswith(f"{name}: ") and line.endswith(CONTROL) for line in found), name
        assert not any(character in line for line in found)


def test_all_errors_are_reported_at_once(source: Path) -> None:
    own = variables(
        source,
        app="Shop",
        port=0,
        server_aliases="example.com",
        environment=f"A={SECRET}",
        daemon_threads="many",
        source="nowhere",
        enviroment={"A": SECRET},
    )
    lines = errors(own, root=False)
    names = [line.partition(":")[0].removeprefix("flask_apache_") for line in lines]
    assert sorted(names) == sorted(
        ["app", "port", "server_aliases", "environment", "daemon_threads", "source", "enviroment", "host"]
    )


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("flask_apache_enviroment", "flask_apache_environment"),
        ("flask_apache_deamon_threads", "flask_apache_daemon_threads"),
        ("flask_apache_servername", "flask_apache_server_name"),
        ("flask_apache_heath_path", "flask_apache_health_path"),
    ],
)
def test_a_typing_error_gets_the_nearest_name(source: Path, typo: str, meant: str) -> None:
    assert errors({**variables(source), typo: SECRET}) == [f"{typo}: no such variable; did you mean {meant}?"]


def test_a_neighbour_of_an_older_role_is_no_traceback(source: Path) -> None:
    assert errors(variables(source), apps=[{}, {"app": "old"}]) == []


def test_the_program_answers_json(source: Path) -> None:
    question = {
        "variables": variables(source, port=0),
        "known": KNOWN,
        "host": HOST,
        "distributions": DISTRIBUTIONS,
    }
    answer = subprocess.run(
        [sys.executable, FILES / "preflight.py"], input=json.dumps(question), check=True, capture_output=True, text=True
    )
    assert json.loads(answer.stdout) == [f"flask_apache_port: 0 is out of range; {PORT}"]


ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**40), 10**40),
        st.floats(),
        st.text(max_size=30),
        st.sampled_from(
            ["", "80", "yes", "a=b", '{"a": [1]}', "a,b", "/", "a:b(", "nan", "1e999", "x" * 5000, "/" * 5000]
        ),
    ),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(sorted(SPEC)), ANYTHING, min_size=1, max_size=3))
def test_whatever_ansible_lets_through_gets_lines_not_a_traceback(source: Path, changes: dict[str, Any]) -> None:
    values = variables(source) | changes
    if ArgumentSpecValidator(SPEC).validate(values).error_messages:
        return
    for line in errors(values):
        assert line.startswith(("flask_apache_", "host: "))
        assert len(line.splitlines()) == 1
        assert SECRET not in line


# --- Workers and timers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"workers": [{"name": "a-b", "command": "x"}]}, "'a-b' is not valid; write a lower-case letter"),
        ({"workers": [{"name": "a", "command": "x 'y"}]}, "is no command; write a program and its arguments"),
        ({"workers": [{"name": "a", "command": []}]}, "is no command"),
        ({"workers": [{"name": "a", "command": ["x", 1]}]}, "is no command"),
        ({"workers": [{"name": "a", "command": "x", "stop_signal": "SIGKILL"}]}, "is no signal to stop by"),
        ({"workers": [{"name": "a", "command": "x", "instances": 0}]}, "0 is out of range for instances"),
        ({"workers": [{"name": "a", "command": "x", "stop_timeout": "long"}]}, "is out of range for stop_timeout"),
        ({"timers": [{"name": "a", "command": "x", "calendar": "whenever"}]}, "'whenever' is not what systemd reads"),
        ({"timers": [{"name": "a", "command": "x", "calendar": "daily"}] * 2}, "'a' is the name of two"),
    ],
)
def test_a_unit_that_could_not_start(source: Path, own: dict[str, Any], says: str) -> None:
    (error,) = errors(variables(source, **own))
    assert error.startswith(f"flask_apache_{next(iter(own))}: ")
    assert says in error


def test_units_need_systemd(source: Path) -> None:
    workers = [{"name": "a", "command": "x 'y z' \"$1\"", "instances": "2"}]
    assert errors(variables(source, workers=workers)) == []
    assert "needs systemd" in errors(variables(source, workers=workers), systemd=False)[0]


# --- What the app depends on -----------------------------------------------------------------------------------------

PRIVATE = "https://user:correct%20horse@pypi.example.com/simple"


@pytest.mark.parametrize(
    "own",
    [
        {"requirements": None},
        {"requirements": ["requirements.txt"], "constraints": ["requirements.txt"]},
        {"extras": ["pg", "my.extra_2"]},
        {"index_url": "https://pypi.example.com/simple", "extra_index_urls": ["http://127.0.0.1:8080/"]},
        {
            "index_url": "https://user:p%40ss@pypi.example.com/a",
            "extra_index_urls": ["https://user:p%40ss@pypi.example.com/b"],
        },
        {"installer": "uv", "uv_version": "0.13"},
        {"system_packages": ["libpq5", "g++", "libstdc++-12-dev"]},
        {"pip_args": ["--find-links=git+ssh://git@example.com/x"]},
    ],
    ids=repr,
)
def test_dependencies_that_work_are_accepted(source: Path, own: dict[str, Any]) -> None:
    assert errors(variables(source, **own)) == []


@pytest.mark.parametrize(
    ("own", "error"),
    [
        (
            {"index_url": "pypi.example.com"},
            "flask_apache_index_url: an address in it is not valid; write https://host/path",
        ),
        ({"index_url": "https://u:a/b@example.com"}, "flask_apache_index_url: an address in it is not valid"),
        ({"index_url": "https://a b@example.com"}, "flask_apache_index_url: an address in it is not valid"),
        (
            {"index_url": "https://token@example.com"},
            "flask_apache_index_url: an address lacks the user or the password",
        ),
        ({"index_url": "https://:b@example.com"}, "flask_apache_index_url: an address lacks the user or the password"),
        ({"extra_index_urls": [PRIVATE]}, "flask_apache_extra_index_urls: user or password holds a space, quote"),
        (
            {"index_url": "https://a:b@example.com/1", "extra_index_urls": ["https://a:c@example.com/2"]},
            "flask_apache_extra_index_urls: example.com has two users or passwords; write the same for both",
        ),
        (
            {"pip_args": ["--extra-index-url", "https://a:b@example.com"]},
            "flask_apache_pip_args: an address in it holds credentials, which every user of the host could see",
        ),
        ({"extras": ["a,b"]}, "flask_apache_extras: 'a,b' is not valid; write names of extras"),
        ({"system_packages": ["libpq5 nginx"]}, "flask_apache_system_packages: 'libpq5 nginx' is not valid"),
        ({"constraints": ["/etc/limits.txt"]}, "flask_apache_constraints: '/etc/limits.txt' is not valid"),
        ({"uv_version": "latest"}, "flask_apache_uv_version: 'latest' is not valid; write a version of uv"),
        ({"wheelhouse": "wheels"}, "flask_apache_wheelhouse: 'wheels' has no wheels; write the absolute path"),
        ({"requirements": "requirements.txt"}, "flask_apache_requirements: 'requirements.txt' is no list"),
    ],
    ids=repr,
)
def test_dependencies_that_cannot_work_are_refused(source: Path, own: dict[str, Any], error: str) -> None:
    assert any(line.startswith(error) for line in errors(variables(source, **own))), errors(variables(source, **own))


@pytest.mark.parametrize("value", [PRIVATE, f"{PRIVATE}\n", f"x{PRIVATE}", [PRIVATE], {PRIVATE: PRIVATE}], ids=type)
@pytest.mark.parametrize("name", ["index_url", "extra_index_urls", "pip_args", "wheelhouse", "source"])
def test_no_error_shows_credentials(source: Path, name: str, value: object) -> None:
    assert "horse" not in str(errors(variables(source, **{name: value})))


def test_two_truths_in_a_source_are_refused(source: Path) -> None:
    (source / "uv.lock").touch()
    (found,) = errors(variables(source))
    assert found.startswith("flask_apache_requirements: the source has uv.lock and requirements.txt, which may differ;")


def test_a_wheelhouse_has_wheels_and_no_index_beside_it(source: Path) -> None:
    (source / "a-1-py3-none-any.whl").touch()
    assert errors(variables(source, wheelhouse=str(source))) == []
    (found,) = errors(variables(source, wheelhouse=str(source), index_url="https://example.com"))
    assert found.endswith("is asked instead of an index; write no flask_apache_*index_url*")
