"""A WSGI app without dependencies that says what it finds: its environment, and what a visitor's request holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

DATA = Path(os.environ["FLASK_APACHE_DATA"])


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer every address with what there is."""
    found = {
        "environment": dict(os.environ),
        "headers": {name: value for name, value in environ.items() if name.startswith("HTTP_")},
        "here": sorted(path.name for path in Path.cwd().iterdir()),
        "hooks": (DATA / "hooks").read_text().splitlines() if (DATA / "hooks").exists() else [],
    }
    healthy = not (DATA / "unhealthy").exists() or environ["PATH_INFO"] != "/healthz"
    start_response("200 OK" if healthy else "500 Broken", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]
