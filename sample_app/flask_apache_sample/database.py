"""The SQLite database in the data directory."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from flask import current_app, g

if TYPE_CHECKING:
    from flask import Flask

SCHEMA = """
    CREATE TABLE IF NOT EXISTS entry (
        id      INTEGER PRIMARY KEY AUTOINCREMENT,
        created TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
        name    TEXT NOT NULL,
        message TEXT NOT NULL,
        release TEXT NOT NULL
    )
"""


def connect() -> sqlite3.Connection:
    """Return this request's connection; the database is created at the first use.

    Several processes may do this at once: SQLite locks the file, and a process waits up to the timeout.
    """
    if "database" not in g:
        directory = Path(current_app.config["FLASK_APACHE_DATA"])
        directory.mkdir(parents=True, exist_ok=True)
        g.database = sqlite3.connect(directory / "guestbook.sqlite3", timeout=10)
        g.database.row_factory = sqlite3.Row
        g.database.execute(SCHEMA)
    connection: sqlite3.Connection = g.database
    return connection


def close(_error: BaseException | None = None) -> None:
    """Close this request's connection, if there is one."""
    connection = g.pop("database", None)
    if connection is not None:
        connection.close()


def init_app(app: Flask) -> None:
    """Close the connection at the end of every request."""
    app.teardown_appcontext(close)
