"""In which release a command of the operator's runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import interpreter
from flask_apachectl.cli import parser
from flask_apachectl.commands import shell
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import report
from tests.unit.flask_apachectl.model import BROKEN, SOURCES, Host

if TYPE_CHECKING:
    from collections.abc import Sequence


class Became(Exception):  # noqa: N818 - it is no error
    """The process is another program now."""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, host: Host) -> list[str]:
    """Return what is said; a command ends in `Became`."""
    assert host

    def become(_app: object, release: str, command: Sequence[str]) -> None:
        raise Became(release, list(command))

    found: list[str] = []
    monkeypatch.setattr(interpreter, "become", become)
    monkeypatch.setattr(report, "say", found.append)
    return found


def run(host: Host, *words: str) -> tuple[Any, ...]:
    """Return the release and the command that would run."""
    function = {"run": shell.run, "shell": shell.shell}[words[0]]
    with pytest.raises(Became) as became:
        function(host.app, parser().parse_args(list(words)))
    return became.value.args


def test_the_live_release_unless_another_one_is_named(host: Host, said: list[str]) -> None:
    one, two = (host.deploy(source)["release"] for source in SOURCES[:2])
    said.clear()
    assert run(host, "run", "--", "flask", "routes") == (two, ["flask", "routes"])
    assert said == []
    assert run(host, "run", "--release", one, "--", "flask", "db", "stamp") == (one, ["flask", "db", "stamp"])
    assert run(host, "shell", "--release", one)[0] == one
    assert said == [f"run     in {one}, which is not live"] * 2


def test_a_refused_release_before_the_first_live_one(host: Host, said: list[str]) -> None:
    with pytest.raises(RefusedError, match="did not become healthy"):
        host.deploy(BROKEN)
    (refused,) = host.releases()
    assert host.live() is None
    assert run(host, "run", "env")[0] == refused
    assert run(host, "run", "--release", refused, "env")[0] == refused
    assert run(host, "shell")[0] == refused
    assert said


@pytest.mark.usefixtures("said")
def test_a_release_that_is_not_there(host: Host) -> None:
    with pytest.raises(RefusedError, match="shop has no release yet: run the role"):
        shell.run(host.app, parser().parse_args(["run", "env"]))
    release = host.deploy(SOURCES[0])["release"]
    with pytest.raises(RefusedError, match=f"there is no release gone; kept releases: {release}"):
        shell.run(host.app, parser().parse_args(["run", "--release", "gone", "env"]))
