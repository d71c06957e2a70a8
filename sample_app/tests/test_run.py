"""The development server's mount, without the server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from werkzeug.test import Client

import run

if TYPE_CHECKING:
    from flask import Flask


@pytest.fixture
def browser(app: Flask) -> Client:
    """Return a client for all of the development server's paths."""
    return Client(run.mounted(app))


@pytest.mark.parametrize("path", ["/", "/flask-apache", "/flask-apache/", "/elsewhere"])
def test_every_way_leads_to_the_front_page(browser: Client, path: str) -> None:
    response = browser.get(path, follow_redirects=True)
    assert response.status_code == 200
    assert "It works" in response.text


def test_application_knows_its_mount(browser: Client) -> None:
    facts = browser.get("/flask-apache/api/info").json
    assert facts
    assert facts["script_name"] == "/flask-apache"
    assert facts["url_root"] == "http://localhost/flask-apache/"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("192.0.2.1", False),
        ("example.org", False),
    ],
)
def test_debugger_is_for_this_computer_only(host: str, loopback: bool) -> None:  # noqa: FBT001
    assert run.is_loopback(host) is loopback


def test_without_flask_one_line_says_how() -> None:
    here = Path(run.__file__).parent
    command = [sys.executable, "-I", "-S", here / "run.py"]  # without the packages of any environment
    done = subprocess.run(command, cwd=here.parent, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("run.py: Flask is missing (No module named 'werkzeug'). Run: ")
    for path in re.findall(r"sample_app/(?!\.venv)\S+", line):
        assert (here.parent / path).exists()
