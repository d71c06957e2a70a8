"""Measurements: see README.md."""

import sys

from tests.support.commands import ROOT

sys.path.append(str(ROOT / "roles/flask_apache/files"))  # the engine, which the tests' support imports
