"""Strings: their forms and characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controller.checks import values
from tests.unit.controller.given import SPEC, errors, refused, variables

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"app": "a" + 31 * "z", "user": "a" + 31 * "z"},
        {"app": "my-shop-2", "user": "_shop"},
        {"mount": "/a/b"},
        {"mount": "/a.b", "health_path": "/healthz?full=1&x=%20"},
        {"wsgi": "package.module:app"},
        {"mod_wsgi_telemetry": "unix:/run/telemetry.sock interval=0.5", "mod_wsgi_slow_requests": 0.5},
        {"daemon_umask": "077", "daemon_lang": "en_GB.utf8", "daemon_locale": "de_DE.UTF-8"},
        {"daemon_supplementary_groups": ["adm", "ssl-cert"]},
        {"source_exclude": ["*.log", "tests", "[!a]*"]},
        {"source_exclude": [], "pip_args": ["--index-url=https://it's.example.com/simple", "--no-deps"]},
        {"health_host": "www.example.com", "health_body": 'it\'s "up"', "health_successes": "3"},
        {"health_host": "WWW.Example.com"},
        {"rollback_to": "0123456789ab-cdef01"},
    ],
    ids=repr,
)
def test_what_works_is_accepted(source: Path, own: dict[str, Any]) -> None:
    assert errors(variables(source, **own)) == []


REFUSED = [
    *refused(
        "app",
        "be a lower-case letter followed by up to 31 lower-case letters, digits or hyphens, not 'tools' or 'vhosts'",
        "",
        "Shop",
        "1shop",
        "../etc",
        "a" * 33,
        "vhosts",
        "café",
    ),
    *refused("user", "be the name of a Unix user of the app's own", "a b"),
    *refused(
        "mount",
        "be / or a path such as /shop, without a slash at its end",
        "",
        "shop",
        "/shop/",
        "//",
        "/a/../b",
        "/größe",
    ),
    *refused(
        "mount", "be / or a path such as /shop, without a slash at its end", "/" + "a" * 998, got=f"'/{'a' * 95}..."
    ),
    *refused("health_path", "be a path below the mount, such as /healthz", "healthz", "/a b", "/größe"),
    *refused("health_body", "not contain control characters", "a\nb"),
    *refused(
        "health_host",
        "be a host name, or an empty string for the server name",
        "*.example.com",
        "www.example.com:80",
        "a b",
        "\u212aelvin.example",
    ),
    *refused(
        "ready_path",
        "be a path below the mount, such as /-/ready",
        "",
        "/",
        "ready",
        "/ready/",
        "/a b",
        "/../ready",
        "/ready?x",
    ),
    *refused("rollback_to", "be the id of a release, as `flask-apachectl releases` shows it", "last"),
    *refused("wsgi", "be module:callable or module:factory()", "app", "app:"),
    *refused(
        "requirements[0]",
        "be the relative path of a file in the source, such as requirements.txt",
        ["/etc/passwd"],
        got="'/etc/passwd'",
    ),
    *refused(
        "requirements[0]", "be the relative path of a file in the source, such as requirements.txt", ["-r"], got="'-r'"
    ),
    *refused(
        "source_exclude[0]",
        "be a name or a pattern such as *.log, without slashes or a leading hyphen",
        ["a/b"],
        got="'a/b'",
    ),
    *refused(
        "source_exclude[0]",
        "be a name or a pattern such as *.log, without slashes or a leading hyphen",
        ["-x"],
        got="'-x'",
    ),
    *refused(
        "pip_args[0]",
        "not contain control characters",
        ["--no-deps\n"],
        got="'--no-deps\\n'",
        advice="remove the line break at its end: in YAML, use >- or |- instead of > or |",
    ),
    *refused("python", "be the absolute path of an interpreter on the host, such as /usr/bin/python3", "python3"),
    *refused("mod_wsgi_version", "be a version of mod_wsgi, such as 6.1.1", "latest"),
    *refused(
        "mod_wsgi_telemetry",
        "be unix:/path, or unix:/path interval=SECONDS with at least 0.5 seconds",
        "udp:1.2.3.4:5",
        "unix:/a interval=0.1",
    ),
    *refused(
        "access_log",
        "be an absolute path, journald, or an empty string for the app's own log files",
        *("access.log", "journal", "journald:x", "Journald"),
    ),
    *refused(
        "metrics_textfile",
        "be the absolute path of a directory on the host, or an empty string for none",
        *("metrics", "/", "/a b", "/a/", "/a/../b", "/a%n", "/$HOME"),
    ),
    *refused(
        "error_log",
        "be an absolute path, journald, or an empty string for the app's own log files",
        "/var/log/a b.log",
        "syslog:local1",
        "/var/log/../lib/a.log",
    ),
    *refused(
        "access_log",
        "not lie in /var/lib/flask-apache",
        "/var/lib/flask-apache/shop/a.log",
        advice="choose a directory of root's, such as /var/log/apache2",
    ),
    *refused(
        "error_log",
        "be a path that only root can change",
        "/home/app/a.log",
        advice="/home/app belongs to app: choose a directory of root's, such as /var/log/apache2",
    ),
    *refused("daemon_umask", "be three octal digits in quotes, such as '0027'", "0800"),
    *refused("daemon_lang", "be a UTF-8 locale, such as C.UTF-8", "C"),
    *refused("daemon_locale", "be a UTF-8 locale, such as C.UTF-8", "de_DE.ISO-8859-1"),
    *refused("daemon_supplementary_groups[0]", "be the name of a Unix group", ["a,b"], got="'a,b'"),
]


@pytest.mark.parametrize(("own", "line"), REFUSED)
def test_a_string_of_another_form_is_refused(source: Path, own: dict[str, Any], line: str) -> None:
    assert errors(variables(source, **own)) == [line]


@pytest.mark.parametrize("text", ['"', "'", "`", "\\", "${APACHE_LOG_DIR}"])
def test_nothing_gets_out_of_apaches_quotes(source: Path, text: str) -> None:
    value = f"/var/log/{text}"
    line = values.error("access_log", "not contain quotes, backslashes or ${", value)
    assert line in errors(variables(source, access_log=value))


CONTROL = "must not contain control characters, got "


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x7f", "\u0085", "\u2028", "\t"])
def test_no_variable_takes_a_control_character(source: Path, character: str) -> None:
    text = [name for name, spec in SPEC.items() if spec["type"] in ("str", "path") and "choices" not in spec]
    several_lines = {f"flask_apache_{name}" for name in ("git_key", "tls_certificate", "tls_chain", "tls_key")}
    for name in sorted({*text} - several_lines):
        value = f"a{character}Alias /x /etc"
        found = errors({**variables(source), name: value})
        assert any(line.startswith(f"{name} {CONTROL}") for line in found), name
        assert not any(character in line for line in found)


@pytest.mark.parametrize(
    ("own", "place"),
    [
        ({"workers": [{"name": "a", "command": "sleep 9\n"}]}, "workers[0].command"),
        ({"workers": [{"name": "a", "command": ["sleep", "9\n"]}]}, "workers[0].command[1]"),
        ({"timers": [{"name": "a", "command": "x", "calendar": "daily\n"}]}, "timers[0].calendar"),
        ({"hooks": [{"at": "before_start", "run": ["a", "b\n"]}]}, "hooks[0].run[1]"),
        ({"data_directories": ["a", {"name": "b\n"}]}, "data_directories[1].name"),
        ({"data_directories": [{"name": "b", "link": "c\n"}]}, "data_directories[0].link"),
        ({"static": [{"url": "/a\n", "path": "a"}]}, "static[0].url"),
        ({"static": [{"url": "/a", "path": "a\n"}]}, "static[0].path"),
        ({"data_directories": [{"name": "b", "link\n": "c"}]}, "data_directories[0]"),
        ({"data_directories": [{"name": "b", "li-nk": ["c\n"]}]}, "data_directories[0]['li-nk'][0]"),
        ({"extra_index_urls": ["https://example.com/\n"]}, "extra_index_urls[0]"),
    ],
    ids=repr,
)
def test_a_control_character_is_found_however_deep(source: Path, own: dict[str, Any], place: str) -> None:
    found = [line for line in errors(variables(source, **own)) if line.startswith(f"flask_apache_{place} {CONTROL}")]
    assert len(found) == 1
    assert found[0].endswith("; remove the line break at its end: in YAML, use >- or |- instead of > or |")


def test_texts_may_have_lines(source: Path) -> None:
    own = {"git_key": "-----BEGIN PRIVATE KEY-----\n", "git_signers": ["a\nb"], "environment": {"A": "b\nc"}}
    assert errors(variables(source, **own)) == []
