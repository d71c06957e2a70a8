"""Tables in the engine's output."""

from __future__ import annotations

import string
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_apachectl.host import report

WORDS = st.text(string.ascii_letters + string.digits + "-_.:", min_size=1, max_size=40)


def test_a_table_is_aligned() -> None:
    rows: list[dict[str, Any]] = [{"a": "x", "b": None, "c": 1}, {"a": "longer", "b": True, "c": ""}]
    assert report.table(("a", "b", "c"), rows).splitlines() == ["a       b     c", "x       None  1", "longer  True"]
    assert report.table(("a", "b"), []) == "a  b"


@given(st.lists(st.fixed_dictionaries({"a": WORDS, "b": st.integers(), "c": st.none()}), max_size=5))
def test_a_table_has_a_line_for_each_row(rows: list[dict[str, Any]]) -> None:
    heading, *lines = report.table(("a", "b", "c"), rows).splitlines()
    assert [line.split() for line in lines] == [[str(row[column]) for column in "abc"] for row in rows]
    assert all(line[heading.index("c") :] == "None" for line in lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clone https://me:hunter2@git.example.com/x", "clone https://****@git.example.com/x"),
        ("pip install --proxy me:hunter2@host:1 -r x", "pip install --proxy ****@host:1 -r x"),
        ("['--proxy', 'me:hunter2@host:1']", "['--proxy', '****@host:1']"),
        ('"--proxy",\n "me:hunter2@host:1"', '"--proxy",\n "****@host:1"'),
        ("--proxy=me:hunter2@[::1]:3128", "--proxy=****@[::1]:3128"),
        ("flask create --password hunter2 --admin", "flask create --password **** --admin"),
        ("flask create --db-password=hunter2", "flask create --db-password=****"),
        ("['flask', '--token', 'hunter2']", "['flask', '--token', '****']"),
        ("API_TOKEN=hunter2 flask x", "API_TOKEN=**** flask x"),
        ('{"DB_PASSWORD": "hunter2", "A": "b"}', '{"DB_PASSWORD": "****", "A": "b"}'),
        ('AuthLDAPBindPassword "hunter2"', 'AuthLDAPBindPassword "****"'),
        ("Authorization: Basic bWU6aHVudGVyMg==", "Authorization: Basic ****"),
        ("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n", "****\n"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2", "****"),
    ],
)
def test_secrets_are_not_shown(text: str, shown: str) -> None:
    assert report.redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:me/shop.git",
        "--find-links=git+ssh://git@example.com/x".replace("git@", ""),
        "WSGIPassAuthorization On",
        '"environment_secrets": ["*SECRET*", "*PASSWORD*"]',
        "/etc/flask-apache/shop/secret_key",
        "flask-apache-shop-worker@1.service",
        "the password must not be empty",
        "2026-01-01T10:00:00Z me@host",
        "RewriteRule ^ http://%{HTTP_HOST}/ [R]",
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert report.redact(text) == text


@pytest.mark.parametrize("part", ["-", "a", "-a", "%", "a.", "a:", "a://", "password", "--token", "Aa", "-----BEGIN "])
def test_a_long_text_takes_no_long_time(part: str) -> None:
    """An app may log anything."""
    began = time.process_time()
    report.redact(part * 5000)
    assert time.process_time() - began < 2  # seconds


@given(st.text(string.ascii_letters + string.digits + "+.%_-", min_size=1, max_size=30))
def test_no_password_is_shown_wherever_it_is(password: str) -> None:
    secret = f"Q{password}Q"
    for text in ("--proxy u:{}@h:1", "x --password {} y", "['--token', '{}']", 'A_SECRET="{}"', "http://u:{}@h/"):
        assert secret not in report.redact(text.format(secret))


def test_an_apps_secrets_are_told_in_no_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are, line by line, and as Python and JSON quote them; what is too short may be anything."""
    monkeypatch.setattr(report, "_concealed", set())
    monkeypatch.setattr(report, "_secrets", set())
    report.conceal(iter(['it\'s "secret"', "line one\nline two", "short"]))
    assert report.concealed('a it\'s "secret" short password=plain') == "a **** short password=plain"
    assert report.concealed(repr({"A": 'it\'s "secret"'})) == "{'A': '****'}"
    assert report.concealed('{"A": "it\'s \\"secret\\""}') == '{"A": "****"}'
    assert report.concealed("> line two\n> line one") == "> ****\n> ****"
    assert report.short('hook failed:\n  it\'s "secret"') == "hook failed … ****"
    assert "secret" not in report.without_secrets('it\'s "secret"')
