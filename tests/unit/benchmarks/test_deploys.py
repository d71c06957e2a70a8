"""The benchmark of deploys: its output and its errors, without hosts."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from benchmarks import deploys

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in deploys.PEER_ROLES:
        (tmp_path / name / "tasks").mkdir(parents=True)
    monkeypatch.setenv("PEERS", str(tmp_path))
    return tmp_path


def test_table_shows_medians_and_the_medians_of_the_ratios() -> None:
    results = [
        {"bare": {"role": 10.0, "plain": 10.0}},
        {"bare": {"plain": 5.0, "role": 20.0}},
        {"bare": {"role": 30.0, "plain": 10.0}},
    ]
    assert deploys.table("debian-13", results).splitlines() == [
        "| debian-13, median of 3 | role | plain playbook | role / plain playbook |",
        "|---|---|---|---|",
        "| bare host to first answer | 20.0 s | 10.0 s | 3.00 |",
    ]


def test_table_without_the_role_has_no_ratios() -> None:
    assert "/" not in deploys.table("debian-13", [{"bare": {"script": 1.0, "plain": 2.0}}])


def test_each_way_is_first_in_turn() -> None:
    assert [deploys.rotated(["a", "b", "c"], number) for number in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_peers_are_measured_when_their_roles_are_named(peers: Path) -> None:
    assert peers.is_dir()
    assert deploys.parse([]).only == ["role", "script", "plain", "peers"]


def test_peers_are_left_out_without_their_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEERS", raising=False)
    assert deploys.parse([]).only == ["role", "script", "plain"]


def test_the_bare_host_comes_first_whatever_steps_are_chosen() -> None:
    assert deploys.parse(["2", "--only", "plain", "--steps", "requirement", "code"]).steps == [
        "bare",
        "code",
        "requirement",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0"], "RUNS must be a number from 1, got 0"),
        (["--only", "peers"], "PEERS must name a directory that holds the roles geerlingguy.apache and ansistrano"),
    ],
)
def test_wrong_arguments(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PEERS", str(tmp_path) if "peers" in arguments else "")
    with pytest.raises(SystemExit) as ended:
        deploys.parse(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_every_change_of_the_source_is_a_version_of_its_own(tmp_path: Path) -> None:
    source = deploys.Source(tmp_path / "app")
    module = tmp_path / "app/flask_apache_sample/pages.py"
    texts = {}
    for step in deploys.STEPS:
        source.change(step)
        texts[step] = module.read_text()
        ast.parse(texts[step])
    assert texts["unchanged"] == texts["bare"]
    assert len(set(texts.values())) == 3
    assert source.version == "requirement"
    assert "humanize" in (tmp_path / "app/requirements.txt").read_text()
    assert not (tmp_path / "app/tests").exists()
