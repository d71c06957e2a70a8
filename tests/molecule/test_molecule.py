"""`molecule test` for every scenario; for each platform of a scenario that runs on Ubuntu."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.commands import ROOT
from tests.support.images import REPOSITORY
from tests.support.venv import PYTHON, environment

if TYPE_CHECKING:
    from collections.abc import Callable

LOGS = ROOT / "tests" / "output" / "molecule"
TAIL_LINES = 80


@dataclass(frozen=True)
class Case:
    """A scenario, as a whole or on one of its platforms."""

    scenario: str
    images: tuple[str, ...]
    platform: str | None = None

    @property
    def name(self) -> str:
        """The case, as in the names of its test and its log."""
        return self.scenario if self.platform is None else f"{self.scenario}-{self.platform}"


def cases(scenario: str) -> list[Case]:
    """Read a scenario's platforms. Ubuntu's images may be unavailable, so each of its platforms is a case."""
    settings: dict[str, Any] = yaml.safe_load((ROOT / "molecule" / scenario / "molecule.yml").read_text())
    platforms = {item["name"]: item["image"].removeprefix(f"{REPOSITORY}:") for item in settings["platforms"]}
    if any(image.startswith("ubuntu-") for image in platforms.values()):
        return [Case(scenario, (image,), name) for name, image in platforms.items()]
    return [Case(scenario, tuple(platforms.values()))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize the tests with all cases, `default` first."""
    known = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    wanted = metafunc.config.getoption("--scenario") or sorted(known, key="default".__ne__)
    found = [case for scenario in wanted for case in cases(scenario)]
    metafunc.parametrize("case", found, ids=[case.name for case in found])


def test_scenario(case: Case, image: Callable[[str], str]) -> None:
    for name in case.images:
        image(name)
    log = LOGS / f"{case.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    only = [] if case.platform is None else [f"--platform-name={case.platform}"]
    with log.open("w") as output:
        status = subprocess.call(
            [PYTHON.with_name("molecule"), "test", "--scenario-name", case.scenario, *only],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if status != 0:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        where = log.relative_to(ROOT)
        pytest.fail(f"molecule ended with {status}; all of it: {where}\n{last}", pytrace=False)
