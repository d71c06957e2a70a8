"""Which virtual environment a source needs, and where its packages come from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import releases
from flask_apachectl.build import environment
from tests.unit.flask_apachectl.samples import shop

if TYPE_CHECKING:
    from pathlib import Path

PLAN: dict[str, Any] = {"lines": [], "steps": [], "inputs": ["flask==3.1"], "tied": False}


def key(source: Path, source_id: str = "s", python: str = "3.11", plan: dict[str, Any] = PLAN, **change: object) -> str:
    return environment.venv_key(plan, source, source_id, shop(**change).spec, python)


def test_a_virtual_environment_is_shared_by_sources_with_the_same_requirements(tmp_path: Path) -> None:
    assert re.fullmatch(r"[0-9a-f]{12}", key(tmp_path))
    assert key(tmp_path, "one") == key(tmp_path, "two")
    assert key(tmp_path, "one", plan=PLAN | {"tied": True}) != key(tmp_path, "two", plan=PLAN | {"tied": True})


@pytest.mark.parametrize(
    "change",
    [
        {"python": "/opt/python"},
        {"pip_args": ["--pre"]},
        {"index_url": "https://pypi.example.com"},
        {"extra_index_urls": ["https://pypi.example.com"]},
        {"wheelhouse": "0123456789ab"},
    ],
    ids=str,
)
def test_what_the_installer_gets_makes_another_virtual_environment(tmp_path: Path, change: dict[str, Any]) -> None:
    assert len({key(tmp_path), key(tmp_path, **change), key(tmp_path, python="3.12")}) == 3
    assert key(tmp_path, plan=PLAN | {"inputs": ["flask==3.2"]}) != key(tmp_path)


@pytest.mark.parametrize("change", [{"installer": "uv"}, {"uv_version": "9.9"}, {"index_private": True}], ids=str)
def test_who_installs_makes_no_other_virtual_environment(tmp_path: Path, change: dict[str, Any]) -> None:
    assert key(tmp_path, **change) == key(tmp_path)
    assert releases.release_id("s", shop(**change).spec, {}) == releases.release_id("s", shop().spec, {})


def test_a_file_of_the_source_among_pips_arguments_ties_the_virtual_environment_to_the_source(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text("flask==3.1\n")
    own, elsewhere = ["-c", "constraints.txt"], ["-c", "/etc/constraints.txt"]
    assert key(tmp_path, "one", pip_args=own) != key(tmp_path, "two", pip_args=own)
    assert key(tmp_path, "one", pip_args=elsewhere) == key(tmp_path, "two", pip_args=elsewhere)


def test_a_wheelhouse_is_asked_instead_of_an_index(tmp_path: Path) -> None:
    spec = shop(index_url="https://a", extra_index_urls=["https://b"]).spec
    assert environment.index_arguments(shop().spec, None) == []
    assert environment.index_arguments(spec, None) == ["--index-url", "https://a", "--extra-index-url", "https://b"]
    assert environment.index_arguments(spec, tmp_path) == ["--no-index", "--find-links", str(tmp_path)]
