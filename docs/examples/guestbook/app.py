"""A guest book with migrations by Flask-Migrate, for PostgreSQL or SQLite."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask, request
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import inspect, text
from sqlalchemy.orm import Mapped, mapped_column

db = SQLAlchemy()


class Entry(db.Model):  # type: ignore[name-defined,misc]
    """An entry of a visitor."""

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def create_app() -> Flask:
    """Create the app."""
    app = Flask(__name__)
    data = os.environ.get("FLASK_APACHE_DATA", app.instance_path)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get("DATABASE_URL", f"sqlite:///{data}/guestbook.sqlite")
    db.init_app(app)
    Migrate(app, db)

    @app.get("/healthz")
    def healthz() -> str:
        db.session.execute(text("SELECT 1"))
        return "ok"

    @app.get("/")
    def entries() -> list[str]:
        return list(db.session.scalars(db.select(Entry.text).order_by(Entry.id)))

    @app.post("/")
    def add() -> tuple[str, int]:
        db.session.add(Entry(text=request.form["text"]))
        db.session.commit()
        return "thank you", 201

    @app.get("/schema")
    def schema() -> dict[str, Any]:
        inspector = inspect(db.engine)
        return {
            table: [column["name"] for column in inspector.get_columns(table)] for table in inspector.get_table_names()
        }

    return app
