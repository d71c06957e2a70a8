"""The code that the other tests rely on."""

from __future__ import annotations

import subprocess
import time
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests import conftest
from tests.support import images, main, parallel, playbooks
from tests.support.commands import ROOT, SetupError
from tests.support.load import Answer, Visitors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["unit", "lint"], ["tests/unit", "tests/lint"]),
        (["unit", "-x", "lint"], ["tests/unit", "-x", "lint"]),
        (["unit", "--", "lint"], ["tests/unit", "lint"]),
        (["molecule", "default"], ["tests/molecule", "--scenario=default"]),
        (["tests/unit/test_support.py::test_x"], ["tests/unit/test_support.py::test_x"]),
    ],
)
def test_words_become_pytests_arguments(words: list[str], expected: list[str]) -> None:
    assert main.pytest_arguments(words) == expected


def test_a_scenario_without_molecule_before_it_is_refused() -> None:
    with pytest.raises(SetupError, match="no suite, scenario or path: default"):
        main.pytest_arguments(["default"])


def test_a_recap_is_read() -> None:
    stdout = """\
TASK [flask_apache : source | Stage the source] ***********************
changed: [one]
fatal: [two]: FAILED! => {"changed": false}
RUNNING HANDLER [flask_apache : Reload Apache] ************************
changed: [one] => (item=x)

PLAY RECAP ************************************************************
one              : ok=5    changed=2    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
two              : ok=3    changed=0    unreachable=0    failed=1    skipped=0    rescued=0    ignored=0
"""
    play = playbooks.read(subprocess.CompletedProcess([], 2, stdout, ""))
    assert play.recap["one"] == playbooks.Recap(ok=5, changed=2, skipped=1)
    assert play.recap["two"] == playbooks.Recap(ok=3, failed=1)
    assert play.changed == 2
    assert play.changed_tasks == ["flask_apache : source | Stage the source", "flask_apache : Reload Apache"]
    assert play.failed_tasks == ["flask_apache : source | Stage the source"]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that replaces docker with a shell script."""
    monkeypatch.setattr(images, "PULL_ANSWER_SECONDS", 0.3)
    # Set and removed again, so that what the tested code learns about registries does not outlive the test.
    monkeypatch.setenv(images.NO_REGISTRY_VARIABLE, "")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def write(script: str) -> None:
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return write


def test_a_slow_download_is_no_silent_registry(docker: Callable[[str], None]) -> None:
    docker("echo 12: Pulling from library/debian; sleep 1; echo done")
    assert images.pull("debian:12") is None


def test_a_silent_registry_is_asked_once(docker: Callable[[str], None]) -> None:
    docker("exec sleep 60")
    assert images.pull("debian:12") == "the registry does not answer"
    docker("exit 0")
    assert images.pull("debian:12") == "the registry does not answer"


def test_an_image_that_a_registry_lacks_says_nothing_about_the_next(docker: Callable[[str], None]) -> None:
    docker("echo 'Error response from daemon: manifest for x not found: manifest unknown' >&2; exit 1")
    assert images.pull("ubuntu:26.04") == "manifest unknown"
    docker("exit 0")
    assert images.pull("ubuntu:24.04") is None


def test_the_files_with_a_length_exist() -> None:
    """And those of a directory are listed as one, for they share its hosts."""
    for name in parallel.MINUTES:
        assert (ROOT / name).exists()
        assert parallel.shared_hosts(f"{name}::test_x" if name.endswith(".py") else f"{name}/test_x.py::test_x") == name


def test_the_longest_come_first() -> None:
    """After the files that run alone and those without hosts; what shares hosts stays together."""
    long, short = "tests/hosts/test_damage.py", "tests/hosts/test_sources.py"
    names = [short, "tests/unit/test_x.py", "tests/hosts/faults/test_a.py", long, "tests/hosts/faults/test_b.py"]
    items: list[Any] = [Item(f"{name}::test_x") for name in names] + [Item("tests/hosts/test_x.py::test_y", "alone")]
    conftest.pytest_collection_modifyitems(items)
    files = [item.nodeid.partition("::")[0] for item in items]
    faults = ["tests/hosts/faults/test_a.py", "tests/hosts/faults/test_b.py"]
    assert files[:2] == ["tests/hosts/test_x.py", "tests/unit/test_x.py"]
    assert files[2:] in ([long, *faults, short], [*faults, long, short])


class Item(NamedTuple):
    """Stands for a test."""

    nodeid: str
    marker: str = ""

    def get_closest_marker(self, name: str) -> str | None:
        """Return the marker of a name."""
        return self.marker or None if name == self.marker else None


def answer(ago: float, status: int = 503) -> Answer:
    """Return the answer to a request that was made so many seconds ago and took 0.2 s."""
    began = time.monotonic() - ago
    return Answer("single", began, began + 0.2, status, "", {} if status == 200 else None)


def logging(*ago: float) -> Any:  # noqa: ANN401 - stands for a host
    """Return a host whose log says, in two files, that mod_wsgi had no socket so many seconds ago."""
    times = [datetime.fromtimestamp(time.time() - each, timezone.utc) for each in ago]
    lines = [f"[{each:%a %b %d %H:%M:%S.%f %Y}] [wsgi:error] (2)No such file or directory: x\n" for each in times]
    return SimpleNamespace(run=lambda *_, **__: SimpleNamespace(stdout="".join(lines + lines)))


def test_only_what_apaches_log_explains_is_forgiven() -> None:
    lost, good, other = answer(9), answer(9, 200), answer(9, 500)
    assert Visitors([lost, good]).failed_beside_a_reload(logging(8.9)) == []
    assert Visitors([lost, good]).failed_beside_a_reload(logging()) == [lost]
    assert Visitors([lost, good]).failed_beside_a_reload(logging(5, 12)) == [lost], "at another time"
    assert Visitors([lost, other]).failed_beside_a_reload(logging(8.9)) == [other]
    assert Visitors([lost, answer(9)]).failed_beside_a_reload(logging(8.9)) != [], "one line, two requests"
    many = [answer(9), answer(7), answer(5)]
    assert Visitors(many[:2]).failed_beside_a_reload(logging(8.9, 6.9)) == []
    assert Visitors(many).failed_beside_a_reload(logging(8.9, 6.9, 4.9)) == many
