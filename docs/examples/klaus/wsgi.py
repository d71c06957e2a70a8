"""klaus with one repository, to which the users in KLAUS_HTDIGEST may push."""

import io
import os
from pathlib import Path

from dulwich.repo import Repo
from klaus import make_app

repository = Path(os.environ["FLASK_APACHE_DATA"], "project.git")
if not repository.exists():
    Repo.init_bare(repository, mkdir=True)
klaus = make_app(
    [str(repository)],
    os.environ["KLAUS_SITE_NAME"],
    use_smarthttp=True,
    htdigest_file=io.StringIO(os.environ["KLAUS_HTDIGEST"]),
)


def application(environ, start_response):
    """Remove Transfer-Encoding: Apache has already decoded the chunks of a large push, and klaus would try again."""
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return klaus(environ, start_response)
