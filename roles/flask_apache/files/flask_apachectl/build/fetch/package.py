"""A source that only requires a package."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from flask_apachectl.build.fetch import common, pack

if TYPE_CHECKING:
    from pathlib import Path


def get(wanted: common.Wanted, work: Path) -> common.Answer:
    """Make a source that only requires a package: name==version of an index, or a wheel, which is shipped along."""
    tree = work / "tree"
    tree.mkdir()
    requirement = wanted.source
    if wheel := re.fullmatch(r"(.*/)([^/]+\.whl)(\[.*\])?", requirement):
        shutil.copyfile(wheel[1] + wheel[2], tree / wheel[2])
        requirement = f"./{wheel[2]}{wheel[3] or ''}"
    lines = "\n".join((requirement, *wanted.package_requirements))
    (tree / "requirements.txt").write_text(f"{lines}\n", encoding="utf-8")
    members = pack.collect(tree, [])
    for _, _, member in members:
        member.mtime = 0
    return common.packed(wanted, members)
