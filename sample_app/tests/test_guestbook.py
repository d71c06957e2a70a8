"""The guest book."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from flask_apache_sample import guestbook

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse


def sign(client: FlaskClient, name: str = "Ada", message: str = "Hello.", **more: Any) -> TestResponse:
    """Load the form and send it."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/guestbook").text)
    assert token
    form = {"csrf_token": token[1], "name": name, "message": message}
    return client.post("/guestbook", data=form, **more)


def test_empty_book(client: FlaskClient, tmp_path: Path) -> None:
    page = client.get("/guestbook")
    assert page.status_code == 200
    assert "No entries yet" in page.text
    assert (tmp_path / "data" / "guestbook.sqlite3").exists()


def test_signing(client: FlaskClient) -> None:
    response = sign(client, "  Ada   Lovelace ", "First line.\r\nSecond line.\r\n")
    assert response.status_code == 303
    assert response.location == "/guestbook"
    page = client.get("/guestbook").text
    assert "Thank you, Ada Lovelace." in page
    assert "<h3>Ada Lovelace</h3>" in page
    assert "First line.\nSecond line.</p>" in page
    assert "release 20250301-1" in page
    assert "Thank you" not in client.get("/guestbook").text


def test_signing_below_the_mount(app: Flask) -> None:
    client = app.test_client()
    base = {"base_url": "https://example.org/flask-apache/"}
    page = client.get("guestbook", **base)
    cookie = page.headers["Set-Cookie"]
    for attribute in ("Path=/flask-apache/", "HttpOnly", "SameSite=Lax", "Secure"):
        assert f"; {attribute}" in cookie
    assert 'action="/flask-apache/guestbook"' in page.text
    token = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    response = client.post(
        "guestbook", data={"csrf_token": token, "name": "Ada", "message": "Hello."}, **base
    )
    assert response.status_code == 303
    assert response.location == "/flask-apache/guestbook"


def test_cookie_works_without_encryption(client: FlaskClient) -> None:
    assert "Secure" not in client.get("/guestbook").headers["Set-Cookie"]


def test_entries_outlive_the_release(make_app: Callable[..., Flask]) -> None:
    sign(make_app(FLASK_APACHE_RELEASE="1").test_client(), "Ada")
    client = make_app(FLASK_APACHE_RELEASE="2").test_client()
    sign(client, "Grace")
    page = client.get("/guestbook").text
    assert page.index("<h3>Grace</h3>") < page.index("release 2\n") < page.index("<h3>Ada</h3>")


def test_output_is_escaped(client: FlaskClient) -> None:
    sign(client, "<b>Ada</b>", "<script>alert(1)</script>")
    page = client.get("/guestbook").text
    assert "&lt;b&gt;Ada&lt;/b&gt;" in page
    assert "<b>Ada" not in page
    assert "<script>" not in page


@pytest.mark.parametrize(
    ("name", "message", "problem"),
    [
        ("", "Hello.", "Please fill in your name."),
        (" \t ", "Hello.", "Please fill in your name."),
        ("n" * 61, "Hello.", "Please keep your name to 60 characters; it has 61."),
        ("Ada", "", "Please fill in your message."),
        ("Ada", "\r\n", "Please fill in your message."),
        ("Ada", "m" * 501, "Please keep your message to 500 characters; it has 501."),
    ],
)
def test_refused_entries(client: FlaskClient, name: str, message: str, problem: str) -> None:
    response = sign(client, name, message)
    assert response.status_code == 422
    assert problem in response.text
    assert response.text.count('aria-invalid="true"') == 1
    assert "No entries yet" in response.text
    for value in (name.strip(), message.strip()):
        assert value in response.text  # nobody has to type it again


def test_limits_are_inclusive(client: FlaskClient) -> None:
    assert sign(client, "ä" * 60, "ö\r\n" * 249 + "öö").status_code == 303


@pytest.mark.parametrize("token", [None, "", "wrong", "ä"])
def test_forged_forms(client: FlaskClient, token: str | None) -> None:
    client.get("/guestbook")
    form = {"name": "Ada", "message": "Hello."} | ({} if token is None else {"csrf_token": token})
    response = client.post("/guestbook", data=form)
    assert response.status_code == 400
    assert "The form has expired." in response.text
    assert "No entries yet" in client.get("/guestbook").text


def test_forged_form_without_a_session(client: FlaskClient) -> None:
    form = {"csrf_token": "", "name": "Ada", "message": "Hello."}
    assert client.post("/guestbook", data=form).status_code == 400


def test_token_of_another_visitor(app: Flask) -> None:
    mallory, ada = app.test_client(), app.test_client()
    ada.get("/guestbook")
    token = mallory.get("/guestbook").text.split('name="csrf_token" value="')[1].split('"')[0]
    form = {"csrf_token": token, "name": "Ada", "message": "Hello."}
    assert ada.post("/guestbook", data=form).status_code == 400


def test_large_bodies_are_refused(client: FlaskClient) -> None:
    assert sign(client, message="m" * 20_000).status_code == 413


def test_old_entries_are_dropped(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guestbook, "KEPT", 2)
    for name in ("Ada", "Grace", "Barbara"):
        sign(client, name)
    assert re.findall("<h3>(.*)</h3>", client.get("/guestbook").text) == ["Barbara", "Grace"]


def test_many_write_at_once(app: Flask) -> None:
    def write(number: int) -> int:
        return sign(app.test_client(), f"Visitor {number}").status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(write, range(24))) == {303}
    page = app.test_client().get("/guestbook").text
    assert len(set(re.findall("<h3>(.*)</h3>", page))) == 24
