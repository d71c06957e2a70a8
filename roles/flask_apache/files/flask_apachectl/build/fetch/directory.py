"""A source in a directory of the control node."""

from __future__ import annotations

import os
from pathlib import Path

from flask_apachectl.build.fetch import common, pack


def get(wanted: common.Wanted, _work: Path) -> common.Answer:
    """Pack a directory of this machine."""
    top = Path(os.path.abspath(wanted.source))
    directory = common.app_directory(top, wanted.source_directory)
    ships = pack.not_ignored(top, directory) if wanted.source_gitignore else pack.everything
    return common.packed(wanted, pack.collect(directory, wanted.source_exclude, ships))
