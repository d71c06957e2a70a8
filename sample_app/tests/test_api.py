"""The endpoints for programs."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from flask.testing import FlaskClient


def test_healthz(client: FlaskClient) -> None:
    response = client.get("/healthz")
    assert response.status_code == 200
    assert response.json == {"status": "ok", "release": "20250301-1"}
    assert response.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in response.headers


def test_info_below_mod_wsgi(client: FlaskClient, mod_wsgi: dict[str, Any]) -> None:
    response = client.get("/api/info", environ_overrides=mod_wsgi)
    assert response.headers["Cache-Control"] == "no-store"
    facts = response.json
    assert facts
    data_dir, flask, started = facts.pop("data_dir"), facts.pop("flask"), facts.pop("started")
    assert data_dir.endswith("data")
    assert flask.startswith("3.")
    assert datetime.fromisoformat(started).tzinfo
    assert isinstance(facts.pop("locale"), str)
    assert facts == {
        "apache": "2.4.65",
        "app": "shop",
        "application_group": "",
        "authorization": None,
        "filesystem_encoding": sys.getfilesystemencoding(),
        "mod_wsgi": "5.0.2",
        "multiprocess": True,
        "multithread": True,
        "pid": os.getpid(),
        "pool": "shop-green",
        "prefix": sys.prefix,
        "process_group": "shop-green",
        "python": platform.python_version(),
        "release": "20250301-1",
        "remote_addr": "127.0.0.1",
        "requests": 1,
        "script_name": "/flask-apache",
        "server": "Apache/2.4.65 (Debian)",
        "thread": "3",
        "url_root": "http://localhost/flask-apache/",
    }


def test_info_below_the_development_server(make_app: Callable[..., Flask]) -> None:
    app = make_app(FLASK_APACHE_APP="", FLASK_APACHE_RELEASE="", FLASK_APACHE_POOL="")
    facts = app.test_client().get("/api/info", environ_overrides={"SERVER_SOFTWARE": "Werkzeug/3.1.3"}).json
    assert facts
    assert facts["app"] == "flask-apache-sample"
    assert facts["release"] == "development"
    assert facts["pool"] == "development server"
    assert facts["mod_wsgi"] is None
    assert facts["apache"] is None
    assert facts["application_group"] is None
    assert facts["script_name"] == ""


@pytest.mark.parametrize(
    ("header", "scheme"),
    [("Basic dXNlcjpwYXNz", "Basic"), ("Bearer hidden-token", "Bearer"), ("hidden-token", None), ("", None)],
)
def test_info_never_shows_credentials(client: FlaskClient, header: str, scheme: str | None) -> None:
    response = client.get("/api/info", headers={"Authorization": header})
    assert response.json
    assert response.json["authorization"] == scheme
    assert "dXNlcjpwYXNz" not in response.text
    assert "hidden-token" not in response.text


def test_counter_counts_every_request_once(app: Flask) -> None:
    def ask(_: int) -> int:
        facts = app.test_client().get("/api/info").json
        assert facts
        number: int = facts["requests"]
        return number

    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(ask, range(200)))
    assert sorted(numbers) == list(range(1, 201))


@pytest.mark.parametrize("body", [b"", b"{}", b"\x00\xff" * 100_000])
def test_echo(client: FlaskClient, body: bytes) -> None:
    response = client.post("/echo", data=body)
    assert response.json == {
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "transfer_encoding": None,
    }


def test_echo_of_a_chunked_body(client: FlaskClient, mod_wsgi: dict[str, Any]) -> None:
    body = b"0123456789" * 20_000
    response = client.post(
        "/echo",
        input_stream=io.BytesIO(body),
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides=mod_wsgi,
    )
    assert response.json == {
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "transfer_encoding": "chunked",
    }


@pytest.mark.parametrize("switch", ["", "0"])
@pytest.mark.parametrize("path", ["/slow?seconds=0", "/stream?chunks=1"])
def test_slow_endpoints_are_off(make_app: Callable[..., Flask], switch: str, path: str) -> None:
    assert make_app(SAMPLE_SLOW=switch).test_client().get(path).status_code == 404


def test_slow(make_app: Callable[..., Flask]) -> None:
    response = make_app(SAMPLE_SLOW="1").test_client().get("/slow?seconds=0.1")
    assert response.json == {
        "seconds": 0.1,
        "release": "20250301-1",
        "pool": "shop-green",
        "pid": os.getpid(),
    }


def test_slow_from_the_environment(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_SLOW", "1")
    assert make_app().test_client().get("/slow?seconds=0").status_code == 200


@pytest.mark.parametrize("seconds", ["", "-1", "30.1", "nan", "inf", "soon"])
def test_slow_refuses_other_values(make_app: Callable[..., Flask], seconds: str) -> None:
    response = make_app(SAMPLE_SLOW="1").test_client().get("/slow", query_string={"seconds": seconds})
    assert response.status_code == 400
    assert response.json
    assert response.json["message"] == "seconds must be a number from 0 to 30."


def test_stream(make_app: Callable[..., Flask]) -> None:
    response = make_app(SAMPLE_SLOW="1").test_client().get("/stream?chunks=3")
    assert response.mimetype == "text/plain"
    assert "Content-Length" not in response.headers
    assert response.text.splitlines() == [f"{n}/3 release 20250301-1 pid {os.getpid()}" for n in (1, 2, 3)]


@pytest.mark.parametrize("chunks", ["", "0", "-1", "101", "1.5", "many"])
def test_stream_refuses_other_values(make_app: Callable[..., Flask], chunks: str) -> None:
    response = make_app(SAMPLE_SLOW="1").test_client().get("/stream", query_string={"chunks": chunks})
    assert response.status_code == 400
    assert response.json
    assert response.json["message"] == "chunks must be a whole number from 1 to 100."
