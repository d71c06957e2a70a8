"""What the host says of itself, also where nothing is installed, and whatever it is asked."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import cli, paths
from flask_apachectl.commands import inspect
from flask_apachectl.host import facts
from tests.unit.flask_apachectl.samples import declared

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.flask_apachectl.commands.conftest import Machine


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a host on which nothing is."""
    for name in ("ETC", "SRV", "APACHE", "LIB", "UNITS", "SYSTEMD", "APACHE_PID"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **question: object) -> dict[str, Any]:
    """Return the answer to a question, as the role gets it."""
    asked: dict[str, Any] = {
        "app": "shop",
        "user": "no-such-user",
        "python": sys.executable,
        "packages": [],
        "calendars": [],
        "logs": [],
        "tls": None,
        "textfile": "",
    }
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({**asked, **question})))
    assert cli.main(["--json", "inspect"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.usefixtures("bare")
def test_a_bare_host(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer = ask(monkeypatch, capsys, packages=["no-such-package"])
    assert answer["changed"] is False
    assert answer["root"] is True
    assert answer["packages_missing"] == ["no-such-package"]
    assert answer["modules_built"] == []
    assert [listen["port"] for listen in answer["configuration"]["listens"]] == [80]
    (stock,) = answer["configuration"]["sites"]
    assert (stock["address"], stock["port"], stock["stock"]) == ("*", 80, True)
    nothing: dict[str, Any] = {
        "apache_running": False,
        "apache_enabled": False,
        "systemd": False,
        "user": None,
        "group": None,
        "apps": [],
        "reserved": False,
        "live": None,
        "digest": "",
        "salt": "",
        "drift": [],
        "sources": [],
        "wheelhouses": [],
    }
    assert {name: answer[name] for name in nothing} == nothing
    assert answer["python"] == "{}.{}".format(*sys.version_info)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("odd", [None, 5, ["a"], "../../etc", "a b", "größe", "a\0b"], ids=repr)
def test_whatever_the_question_holds_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], odd: object
) -> None:
    answer = ask(monkeypatch, capsys, app=odd, user=odd, python=odd)
    assert (answer["python"], answer["user"], answer["sources"]) == (None, None, [])
    assert (answer["reserved"], answer["group"]) == (False, None)


def test_apps_that_are_declared(bare: Path) -> None:
    assert inspect.declared_apps() == []
    shop = {"app": "shop", **declared(port=8080, server_aliases=["example.com"])}
    first = {"app": "first", "user": "first", "port": 81, "server_name": "first.example.com", "python": "/python3"}
    texts = {
        "shop": json.dumps(shop),
        "first": json.dumps(first),  # of the first version: flat
        "torn": '{"app":',
        "list": "[1]",
        "vhosts": None,
    }
    for name, text in texts.items():
        (bare / "etc" / name).mkdir(parents=True)
        if text is not None:
            (bare / "etc" / name / "app.json").write_text(text)
    old, new = inspect.declared_apps()
    assert new == {
        "app": "shop",
        "user": "shop",
        "server_name": "www.example.com",
        "server_aliases": ["example.com"],
        "default_server": False,
        "port": 8080,
        "https_port": 0,
        "tls": False,
        "certificate": "",
        "mount": "/",
        "python": "/usr/bin/python3",
        "python_version": "3.11",
        "proxy_protocol": False,
        "shared": {},
    }
    assert {name: value for name, value in old.items() if value is not None} == first


@pytest.mark.usefixtures("bare")
def test_a_directory_for_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"": False, str(tmp_path): False, str(tmp_path / "no"): True, __file__: True}
    for textfile, missing in places.items():
        assert ask(monkeypatch, capsys, textfile=textfile)["textfile_missing"] is missing


def test_what_is_declared_and_applied_is_no_drift(machine: Machine) -> None:
    machine.apply("shop", digest="d1")
    found = inspect.state("shop")
    assert (found["reserved"], found["salt"], found["digest"], found["live"]) == (True, "salt", "d1", None)
    assert machine.drift("shop") == []
    assert inspect.state("other")["digest"] == ""


def test_a_damaged_declaration_is_drift(machine: Machine) -> None:
    machine.apply("shop", digest="d1")
    (paths.ETC / "shop/app.json").write_text("{")
    found = inspect.state("shop")
    assert (found["digest"], found["live"]) == ("", None)
    assert "app.json is damaged" in found["drift"][0]


def test_a_link_that_depends_on_all_apps_is_watched(machine: Machine) -> None:
    machine.apply("shop", default_server=True)
    link = paths.APACHE / "sites-enabled/00-flask-apache-www.example.com-80.conf"
    link.unlink()
    assert machine.drift("shop") == [str(link)]
    machine.apply("shop", default_server=True)
    assert machine.drift("shop") == []


def test_a_neighbour_that_cannot_be_read_is_named(machine: Machine) -> None:
    machine.apply("blog", server_name="blog.example.com")
    machine.apply("shop")
    (paths.ETC / "blog/app.json").write_text("{")
    (problem,) = machine.drift("shop")
    assert "blog/app.json is damaged" in problem


@pytest.mark.usefixtures("bare")
def test_calendars(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(facts, "is_calendar", lambda text: text != "whenever")
    assert ask(monkeypatch, capsys, calendars=["daily", "whenever"])["calendars_wrong"] == ["whenever"]
