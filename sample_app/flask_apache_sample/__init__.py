"""A small Flask application that shows which server, release and process serve it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from flask import Flask

from . import api, database, errors, facts, guestbook, pages, security, slow

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT = (
    "FLASK_APACHE_APP",  # the name under which this application is deployed; set in production only
    "FLASK_APACHE_RELEASE",  # the release that this process runs
    "FLASK_APACHE_POOL",  # the pool of processes that this process belongs to
    "FLASK_APACHE_DATA",  # the one directory that the application may write to
    "SECRET_KEY",  # signs the session cookie
    "SAMPLE_SLOW",  # "1" adds /slow and /stream
    "SAMPLE_IMPORT_SECONDS",  # seconds that loading the application takes, for tests
)


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Create the application, configured by environment variables and then by ``config``."""
    app = Flask(__name__)
    app.config.from_mapping({name: os.environ.get(name, "") for name in ENVIRONMENT})
    app.config.from_mapping(SESSION_COOKIE_SAMESITE="Lax")
    app.config.from_mapping(config)
    app.config["FLASK_APACHE_DATA"] = app.config["FLASK_APACHE_DATA"] or app.instance_path

    time.sleep(float(app.config["SAMPLE_IMPORT_SECONDS"] or 0))

    for part in (security, facts, database, errors):
        part.init_app(app)
    for blueprint in (pages.bp, guestbook.bp, api.bp):
        app.register_blueprint(blueprint)
    if str(app.config["SAMPLE_SLOW"]) == "1":
        app.register_blueprint(slow.bp)
    return app
