"""TLS: what is asked of the host, what is read on the control node, and what of it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controller import requests, tls
from controller.checks import tls as checks
from controller.values import Values
from tests.unit.controller.given import errors, variables
from tests.unit.role.cases import variables_of

PATHS = {"certificate": "/etc/ssl/own.pem", "chain": "", "key": "/etc/ssl/own.key"}
TEXT = "-----BEGIN x-----"


def declared(**own: object) -> dict[str, Any]:
    """Return all variables, with some that are written without ``flask_apache_``."""
    return variables_of("defaults") | {f"flask_apache_{name}": value for name, value in own.items()}


def on_host(**own: object) -> dict[str, Any]:
    """Return variables for files on the host."""
    return declared(tls="files", tls_on="host", tls_certificate=PATHS["certificate"], tls_key=PATHS["key"], **own)


def test_a_host_is_asked_for_its_own_files_only() -> None:
    assert tls.question(on_host()) == PATHS
    assert tls.question(on_host(tls_chain="/chain.pem")) == {**PATHS, "chain": "/chain.pem"}
    for own in ({"tls": "none"}, {"tls": "self_signed"}, {"tls_on": "controller"}):
        assert tls.question({**on_host(), **{f"flask_apache_{name}": value for name, value in own.items()}}) is None


@pytest.mark.parametrize("value", ["", "own.pem", "/a\0b", "/../etc/shadow", "/a b", TEXT, 5, None, ["/a"]])
def test_a_value_that_was_not_checked_asks_nothing(value: object) -> None:
    assert tls.question({**on_host(), "flask_apache_tls_certificate": value}) is None


def test_texts_and_files_on_the_control_node() -> None:
    def read(path: str) -> str:
        if path == "/none":
            raise FileNotFoundError(2, "No such file or directory")
        if path == "/vault":
            raise ValueError(TEXT)
        return f"the text of {path}"

    own = {"tls_certificate": "/own.pem", "tls_chain": TEXT, "tls_key": "/none"}
    assert tls.material(declared(**own), read) == {
        "certificate": "the text of /own.pem",
        "chain": TEXT,
        "key": "",
        "problems": {"key": "no such file or directory"},
    }
    assert tls.material(declared(tls_key="/vault"), read)["problems"] == {"key": "it cannot be read"}
    assert tls.material(declared(tls_key=5), read)["key"] == ""


def test_what_is_sent() -> None:
    found = {"certificate": "a\n\n", "chain": "b", "key": "c"}
    nothing = {"certificate": "", "key": "", "self_signed": False, "external_account": ""}

    def sent(**own: object) -> dict[str, Any]:
        return requests.certificate_of(Values(declared(**own)), found)

    assert sent() == sent(tls="files", tls_on="host") == sent(tls="acme") == nothing
    assert sent(tls="files") == {**nothing, "certificate": "a\nb\n", "key": "c\n"}
    assert sent(tls="self_signed") == {**nothing, "self_signed": True}
    account = sent(tls="acme", acme_key_id="customer", acme_hmac="secret")["external_account"]
    assert json.loads(account) == {"kid": "customer", "hmac": "secret"}


ACME = {"tls": "acme", "acme_terms_agreed": True, "acme_email": "admin@example.com"}


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ({}, ""),
        ({"acme_directory": "https://ca.example.com:14000/acme/dir?x"}, ""),
        ({"acme_key_id": "a", "acme_hmac": "b_-="}, ""),
        (
            {"acme_terms_agreed": False},
            (
                "flask_apache_acme_terms_agreed must be true for a certificate by ACME, got false; read the terms of "
                "https://acme-v02.api.letsencrypt.org/directory, and set true if you agree"
            ),
        ),
        (
            {"acme_email": ""},
            "flask_apache_acme_email must be set for a certificate by ACME: the authority writes there, got ''",
        ),
        ({"port": 8080}, "flask_apache_port must be 80, where the authority asks for a proof, got 8080"),
        (
            {"server_aliases": ["a.example.com", "*.example.com"]},
            (
                "flask_apache_server_aliases[1] must be a host name for a certificate by ACME, got '*.example.com'; an "
                "authority proves a wildcard by DNS only: name each host, or use flask_apache_tls: files"
            ),
        ),
        (
            {"acme_hmac": "secret"},
            "flask_apache_acme_key_id must be set together with flask_apache_acme_hmac, got ''",
        ),
        (
            {"acme_key_id": "customer"},
            "flask_apache_acme_hmac must be set together with flask_apache_acme_key_id, got a value that is not shown",
        ),
        (
            {"acme_directory": "http://ca.example.com/"},
            "flask_apache_acme_directory must be the https:// address of a directory, got 'http://ca.example.com/'",
        ),
    ],
)
def test_acme(source: Any, own: dict[str, Any], line: str) -> None:  # noqa: ANN401 - a path
    assert errors(variables(source, **{**ACME, **own})) == ([line] if line else [])
    assert not [*checks.check({name.removeprefix("flask_apache_"): each for name, each in declared(**own).items()})]
