"""An Otter Wiki, whose repository must exist before it is imported."""

import os

from git import Repo

Repo.init(os.environ["REPOSITORY"])

from otterwiki.server import app as application  # noqa: E402, F401
