"""The application factory and its settings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from flask_apache_sample import create_app
from flask_apache_sample.security import DEVELOPMENT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flask import Flask


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLASK_APACHE_APP", "shop")
    monkeypatch.setenv("FLASK_APACHE_RELEASE", "7")
    monkeypatch.setenv("FLASK_APACHE_POOL", "shop-blue")
    monkeypatch.setenv("FLASK_APACHE_DATA", str(tmp_path))
    monkeypatch.setenv("SECRET_KEY", "from the environment")
    app = create_app()
    assert app.secret_key == "from the environment"  # noqa: S105
    facts = app.test_client().get("/api/info").json
    assert facts
    assert [facts[key] for key in ("app", "release", "pool", "data_dir")] == [
        "shop",
        "7",
        "shop-blue",
        str(tmp_path),
    ]


def test_production_needs_a_secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_APACHE_APP", "shop")
    with pytest.raises(RuntimeError, match="SECRET_KEY is not set"):
        create_app()


def test_production_needs_a_secret_key_that_is_not_empty(make_app: Callable[..., Flask]) -> None:
    with pytest.raises(RuntimeError, match="SECRET_KEY is not set"):
        make_app(SECRET_KEY="")


def test_development_has_a_key_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    app = create_app()
    assert app.secret_key == DEVELOPMENT_KEY
    assert "SECRET_KEY is not set" in caplog.text


def test_development_keeps_data_in_the_instance_path() -> None:
    app = create_app()
    assert app.config["FLASK_APACHE_DATA"] == app.instance_path


def test_loading_can_be_slow(make_app: Callable[..., Flask]) -> None:
    start = time.monotonic()
    make_app(SAMPLE_IMPORT_SECONDS="0.2")
    assert time.monotonic() - start >= 0.2
