"""Which app a command applies to, and its paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import app as apps
from flask_apachectl.errors import RefusedError
from tests.unit.flask_apachectl.samples import declare, shop

if TYPE_CHECKING:
    from flask_apachectl.app import App


def test_the_only_app_needs_no_name(app: App) -> None:
    with pytest.raises(RefusedError, match="on this host: none"):
        apps.load_app(None)
    declare(app, "shop")
    assert apps.load_app(None) == apps.load_app("shop") == app
    declare(app, "blog")
    with pytest.raises(RefusedError, match="blog, shop"):
        apps.load_app(None)
    with pytest.raises(RefusedError, match="there is no app wiki on this host; apps: blog, shop"):
        apps.load_app("wiki")


def test_a_damaged_declaration_is_named(app: App) -> None:
    declare(app, "shop", '{"app": ')
    with pytest.raises(RefusedError, match=r"shop/app\.json is damaged .*: run the role for this app"):
        apps.load_app("shop")


@pytest.mark.parametrize(
    ("change", "url", "path"),
    [
        ({}, "http://www.example.com/", "/"),
        ({"port": 8080, "mount": "/shop"}, "http://www.example.com:8080/shop/", "/shop/"),
        ({"mount": "/a/b", "health_path": "/healthz"}, "http://www.example.com/a/b/", "/a/b/healthz"),
    ],
)
def test_addresses(change: dict[str, Any], url: str, path: str) -> None:
    app = shop(**change)
    assert (app.url, app.url_path) == (url, path)
