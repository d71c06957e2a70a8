"""What the documents say: links lead to files, and variables exist."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support.commands import ROOT
from tests.unit.programs import ROLE

if TYPE_CHECKING:
    from pathlib import Path

SPECS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
OPTIONS = {name for spec in SPECS.values() for name in spec["options"]}
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
    assert names - OPTIONS <= NO_VARIABLES
