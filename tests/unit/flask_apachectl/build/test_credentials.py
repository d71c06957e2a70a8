"""Credentials of package indexes are found, and kept out of messages."""

from __future__ import annotations

from flask_apachectl.build import credentials
from flask_apachectl.host import report


def test_credentials_are_read_from_addresses() -> None:
    urls = ["https://user:p%40ss%2Fword@pypi.example.com:8443/simple", "https://packages.example.org/simple", ""]
    assert credentials.of_addresses(urls) == [("pypi.example.com", "user", "p@ss/word")]


def test_no_secret_gets_into_a_message() -> None:
    forms = credentials.secret_forms("user", "p@ss/word")
    said = "user:p@ss/word p%40ss%2Fword dXNlcjpwQHNzL3dvcmQ= https://a:b@example.com/x git+ssh://git@example.com"
    assert report.redact(said, forms) == "**** **** **** https://****@example.com/x git+ssh://****@example.com"
    assert report.redact("a package", credentials.secret_forms("user", "a")) == "a package"


def test_a_proxy_is_no_argument() -> None:
    proxy = "user:password@host:1"
    for arguments in (["--proxy", proxy, "--pre"], [f"--proxy={proxy}", "--pre"]):
        assert credentials.hide_proxy(arguments) == (["--pre"], {"PIP_PROXY": proxy})
    assert credentials.hide_proxy(["--pre", "-r", "x"]) == (["--pre", "-r", "x"], {})
