"""CHANGELOG.md, which antsibull-changelog makes of ``changelogs/``.

``python3 -m tests.support.changelog`` writes it again after a fragment was added or changed.
"""

from __future__ import annotations

import datetime as dt
import shutil
import sys
import tempfile
from pathlib import Path

import yaml

from tests.support import tools
from tests.support.commands import ROOT, SetupError, run

DOCUMENT = "CHANGELOG.md"


def release(tree: Path) -> None:
    """Make the changelog in a copy of the repository; what is in fragments belongs to the version of galaxy.yml.

    Raises SetupError, with what antsibull-changelog says, when a fragment is wrong or that version is released.
    """
    programs = tools.ensure("galaxy")
    program, env = programs / "antsibull-changelog", tools.environment(programs)
    version = yaml.safe_load((tree / "galaxy.yml").read_text())["version"]
    run([program, "lint"], cwd=tree, env=env)
    if any((tree / "changelogs/fragments").glob("*.yml")):
        today = dt.datetime.now(tz=dt.timezone.utc).date().isoformat()
        run([program, "release", f"--version={version}", f"--date={today}"], cwd=tree, env=env)
    else:
        run([program, "generate"], cwd=tree, env=env)


def made() -> str:
    """Return the changelog as it should be."""
    with tempfile.TemporaryDirectory(prefix="flask-apache-changelog-") as scratch:
        tree = Path(scratch)
        shutil.copytree(ROOT / "changelogs", tree / "changelogs")
        shutil.copy2(ROOT / "galaxy.yml", tree)
        release(tree)
        return (tree / DOCUMENT).read_text()


if __name__ == "__main__":
    try:
        (ROOT / DOCUMENT).write_text(made())
    except SetupError as error:
        sys.exit(f"error: {error}")
