"""What the tests share: an application with a data directory of its own, and clients for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flask_apache_sample import ENVIRONMENT, create_app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask import Flask
    from flask.testing import FlaskClient

PRODUCTION = {
    "FLASK_APACHE_APP": "shop",
    "FLASK_APACHE_RELEASE": "20250301-1",
    "FLASK_APACHE_POOL": "shop-green",
    "SECRET_KEY": "a key for the tests",
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[..., Flask]:
    """Make applications as in production, with other settings if wanted."""

    def make(**config: Any) -> Flask:
        return create_app({**PRODUCTION, "FLASK_APACHE_DATA": tmp_path / "data", **config})

    return make


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Make the application."""
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Make a client for the application at the root of the site."""
    return app.test_client()


@pytest.fixture
def mod_wsgi() -> dict[str, Any]:
    """Return what mod_wsgi adds to the environ of a request below /flask-apache."""
    return {
        "SCRIPT_NAME": "/flask-apache",
        "SERVER_SOFTWARE": "Apache/2.4.65 (Debian)",
        "mod_wsgi.version": (5, 0, 2),
        "mod_wsgi.process_group": "shop-green",
        "mod_wsgi.application_group": "",
        "mod_wsgi.thread_id": 3,
        "wsgi.input_terminated": True,
        "wsgi.multiprocess": True,
        "wsgi.multithread": True,
    }
