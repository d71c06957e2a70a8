"""The guest book: a form, and a database that is kept across releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, flash, redirect, render_template, request, url_for

from . import facts
from .database import connect
from .security import check_csrf_token

if TYPE_CHECKING:
    import sqlite3

    from werkzeug.wrappers import Response

bp = Blueprint("guestbook", __name__, url_prefix="/guestbook")

LIMITS = {"name": 60, "message": 500}
MAX_BODY = 16 * 1024
SHOWN = 50
KEPT = 1000  # older entries are dropped, so that the guest book cannot fill the disk


@bp.get("")
def index() -> str:
    """Show the entries, newest first, and the form."""
    return render_page({}, {})


@bp.post("")
def add() -> Response | tuple[str, int]:
    """Add an entry, or show the form again with what is wrong about it."""
    request.max_content_length = MAX_BODY
    check_csrf_token()
    values = {
        "name": " ".join(request.form.get("name", "").split()),
        "message": request.form.get("message", "").replace("\r\n", "\n").strip(),
    }
    problems = validate(values)
    if problems:
        return render_page(values, problems), 422

    with connect() as database:  # one transaction
        database.execute(
            "INSERT INTO entry (name, message, release) VALUES (:name, :message, :release)",
            {**values, "release": facts.collect().release},
        )
        database.execute("DELETE FROM entry WHERE id <= (SELECT max(id) FROM entry) - ?", (KEPT,))
    flash(f"Thank you, {values['name']}. Your entry is in the book.")
    return redirect(url_for("guestbook.index"), 303)


def validate(values: dict[str, str]) -> dict[str, str]:
    """Return what is wrong about the values, by field."""
    problems = {}
    for field, limit in LIMITS.items():
        length = len(values[field])
        if not length:
            problems[field] = f"Please fill in your {field}."
        elif length > limit:
            problems[field] = f"Please keep your {field} to {limit} characters; it has {length}."
    return problems


def render_page(values: dict[str, str], problems: dict[str, str]) -> str:
    """Render the page with these values in the form."""
    entries: list[sqlite3.Row] = (
        connect().execute("SELECT * FROM entry ORDER BY id DESC LIMIT ?", (SHOWN,)).fetchall()
    )
    return render_template("guestbook.html", entries=entries, values=values, problems=problems, limits=LIMITS)
