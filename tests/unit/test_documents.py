"""What the documents say: links lead to files, and variables exist."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from flask_apachectl.serve import metrics
from tests.support.commands import ROOT
from tests.unit.programs import ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPECS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
OPTIONS = {name for spec in SPECS.values() for name in spec["options"]}
METRICS = {family.name for family in metrics.FAMILIES}
NO_VARIABLES = {"flask_apache_engine", "flask_apache_sample", "flask_apache_bypass"}


def documents() -> list[Path]:
    """Return the documents and examples, by their paths below the repository."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/examples/*.yml")]
    found += [ROLE / "README.md", ROOT / "sample_app/README.md", ROOT / "benchmarks/README.md"]
    return sorted(path.relative_to(ROOT) for path in found)


@pytest.mark.parametrize("path", [path for path in documents() if path.suffix == ".md"], ids=str)
def test_links_of_a_document_lead_to_files(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", (ROOT / path).read_text()):
        assert (ROOT / path.parent / target).exists(), target


@pytest.mark.parametrize("path", documents(), ids=str)
def test_a_document_names_variables_that_exist(path: Path) -> None:
    names = set(re.findall(r"(?<![\w/.])flask_apache_[a-z_]*[a-z]\b(?!\.)", (ROOT / path).read_text()))
    assert names - OPTIONS - METRICS <= NO_VARIABLES


# --- The supported distributions, which vars/main.yml lists

DISTRIBUTIONS = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__flask_apache_distributions"]
CODE_NAMES = {"12": "bookworm", "13": "trixie", "22.04": "jammy", "24.04": "noble", "26.04": "resolute"}


def distributions_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each list of a distribution's versions in a text, such as "Debian 12 and 13"."""
    for name, versions in re.findall(
        r"(Debian|Ubuntu)((?:(?:,| and| or)? [0-9]+(?:\.[0-9]+)?)+)", " ".join(text.split())
    ):
        yield name, re.findall(r"[0-9]+(?:\.[0-9]+)?", versions)


def test_galaxy_is_told_of_the_distributions_that_the_role_supports() -> None:
    galaxy_info = yaml.safe_load((ROLE / "meta/main.yml").read_text())["galaxy_info"]
    platforms = {each["name"]: each["versions"] for each in galaxy_info["platforms"]}
    assert platforms == {name: [CODE_NAMES[each] for each in versions] for name, versions in DISTRIBUTIONS.items()}
    tags = {name.lower() for name in DISTRIBUTIONS}
    assert tags <= set(galaxy_info["galaxy_tags"])
    assert tags <= set(yaml.safe_load((ROOT / "galaxy.yml").read_text())["tags"])


@pytest.mark.parametrize(
    "path", ["README.md", "roles/flask_apache/README.md", "roles/flask_apache/meta/argument_specs.yml"]
)
def test_a_document_names_the_distributions_that_the_role_supports(path: str) -> None:
    named = list(distributions_in((ROOT / path).read_text()))
    assert {name for name, _ in named} == set(DISTRIBUTIONS), "all of them"
    for name, versions in named:
        assert versions == list(DISTRIBUTIONS[name]), f"all versions of {name}, in order"


def test_the_scenarios_of_molecule_cover_the_distributions() -> None:
    images = re.findall(
        r"image: flask-apache-test:(\S+)", "".join(map(read, (ROOT / "molecule").glob("*/molecule.yml")))
    )
    supported = {f"{name.lower()}-{version}" for name, versions in DISTRIBUTIONS.items() for version in versions}
    assert set(images) == supported


def read(path: Path) -> str:
    """Return a file's text."""
    return path.read_text()
