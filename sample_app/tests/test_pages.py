"""The front page, the mount, the error pages and the headers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from flask import url_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask
    from flask.testing import FlaskClient


def test_front_page_shows_what_serves_it(client: FlaskClient, mod_wsgi: dict[str, Any]) -> None:
    page = client.get("/", environ_overrides=mod_wsgi).text
    for fact in ("20250301-1", "shop-green", "Apache/2.4.65 (Debian)", "5.0.2", "the main interpreter"):
        assert fact in page
    assert 'class="green"' in page
    assert "1 request</b>" in page


def test_front_page_is_honest_about_the_development_server(make_app: Callable[..., Flask]) -> None:
    app = make_app(FLASK_APACHE_APP="", FLASK_APACHE_RELEASE="", FLASK_APACHE_POOL="")
    page = app.test_client().get("/", environ_overrides={"SERVER_SOFTWARE": "Werkzeug/3.1.3"}).text
    assert "development server" in page
    assert "not in use" in page
    assert "none: no mod_wsgi" in page


def test_front_page_in_embedded_mode(make_app: Callable[..., Flask], mod_wsgi: dict[str, Any]) -> None:
    client = make_app(FLASK_APACHE_POOL="").test_client()
    page = client.get("/", environ_overrides={**mod_wsgi, "mod_wsgi.process_group": ""}).text
    assert "none: embedded mode" in page


def test_pages_need_nothing_that_the_policy_forbids(client: FlaskClient) -> None:
    for path in ("/", "/guestbook", "/nowhere"):
        page = client.get(path).text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", page)
        assert not re.search(r'\b(src|href)="(https?:)?//', page)


@pytest.mark.parametrize("path", ["/", "/guestbook", "/api/info", "/healthz", "/nowhere", "/static/logo.svg"])
def test_security_headers(client: FlaskClient, path: str) -> None:
    with client.get(path) as response:
        headers = response.headers
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_mount_without_a_slash(client: FlaskClient, mod_wsgi: dict[str, Any]) -> None:
    response = client.get(
        "/", environ_overrides={**mod_wsgi, "PATH_INFO": "", "REQUEST_URI": "/flask-apache"}
    )
    assert response.status_code == 308
    assert response.location == "http://localhost/flask-apache/"


def test_links_stay_below_the_mount(client: FlaskClient, mod_wsgi: dict[str, Any]) -> None:
    response = client.get("/", environ_overrides=mod_wsgi)
    assert response.status_code == 200
    links = re.findall(r'(?:href|src|data-url)="([^"#]+)"', response.text)
    assert len(links) > 5
    assert all(link.startswith("/flask-apache/") for link in links)
    assert "/flask-apache/static/style.css?v=20250301-1" in links


def test_url_for_below_the_mount(app: Flask) -> None:
    with app.test_request_context("/", environ_overrides={"SCRIPT_NAME": "/flask-apache"}):
        assert url_for("pages.index") == "/flask-apache/"
        assert url_for("guestbook.index") == "/flask-apache/guestbook"
        assert url_for("api.info", _external=True) == "http://localhost/flask-apache/api/info"


def test_unknown_page(client: FlaskClient) -> None:
    response = client.get("/nowhere")
    assert response.status_code == 404
    assert "<h1>Not Found</h1>" in response.text
    assert "Back to the front page" in response.text


def test_unknown_api_path(client: FlaskClient) -> None:
    response = client.get("/api/nowhere")
    assert response.status_code == 404
    assert response.json
    assert response.json["status"] == 404
    assert response.json["error"] == "Not Found"


def test_wrong_method_keeps_the_allow_header(client: FlaskClient) -> None:
    response = client.get("/echo")
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}
    assert len(response.headers.getlist("Content-Type")) == 1


def test_unexpected_errors(app: Flask) -> None:
    @app.get("/broken")
    @app.get("/api/broken", endpoint="api_broken")
    def broken() -> str:
        raise ValueError("a secret detail")

    app.testing = False
    client = app.test_client()
    response = client.get("/broken")
    assert response.status_code == 500
    assert "<h1>Internal Server Error</h1>" in response.text
    assert "a secret detail" not in response.text
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    response = client.get("/api/broken")
    assert response.status_code == 500
    assert response.json
    assert response.json["error"] == "Internal Server Error"


@pytest.mark.parametrize(
    ("name", "mimetype"),
    [("style.css", "text/css"), ("logo.svg", "image/svg+xml"), ("who.js", "text/javascript")],
)
def test_static_files(client: FlaskClient, name: str, mimetype: str) -> None:
    with client.get(f"/static/{name}") as response:
        assert response.status_code == 200
        assert response.mimetype == mimetype
        assert response.headers.get("Cache-Control") != "no-store"
