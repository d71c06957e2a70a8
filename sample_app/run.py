"""Serve the application for development: ``python run.py [--host HOST] [--port PORT]``.

It is mounted at /flask-apache, as with Apache, so that all URLs are the same. Changed source files are
reloaded, and errors open the interactive debugger. Do not use this server in production.
"""

from __future__ import annotations

import argparse
import ipaddress
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

try:
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.serving import is_running_from_reloader, run_simple
    from werkzeug.utils import redirect

    from flask_apache_sample import create_app
except ModuleNotFoundError as error:
    directory = Path(__file__).resolve().parent
    below = directory != Path.cwd() and directory.is_relative_to(Path.cwd())
    here = shlex.quote(str(directory.relative_to(Path.cwd()) if below else directory))
    steps = (
        f"python3 -m venv {here}/.venv",
        f"{here}/.venv/bin/pip install -r {here}/requirements.txt",
        f"{here}/.venv/bin/python {here}/run.py",
    )
    raise SystemExit(f"run.py: Flask is missing ({error}). Run: {' && '.join(steps)}") from None

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MOUNT = "/flask-apache"


def mounted(app: WSGIApplication, mount: str = MOUNT) -> WSGIApplication:
    """Put the application below a path; everything else redirects to it."""
    return DispatcherMiddleware(redirect(f"{mount}/"), {mount: app})


def is_loopback(host: str) -> bool:
    """Tell whether a server bound to this host can be reached from this computer only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    """Read the command line and serve until interrupted."""
    parser = argparse.ArgumentParser(description="Serve the application for development.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=5000, type=int, help="port to listen on (default: %(default)s)")
    options = parser.parse_args()

    debugger = is_loopback(options.host)  # it runs any code that a visitor enters: never expose it
    app = create_app()
    app.debug = debugger
    if not is_running_from_reloader():
        print(f" * Open http://{options.host}:{options.port}{MOUNT}/")  # noqa: T201
        if not debugger:
            print(" * Others can reach this address: the debugger is off")  # noqa: T201
    run_simple(
        options.host, options.port, mounted(app), use_reloader=True, use_debugger=debugger, threaded=True
    )


if __name__ == "__main__":
    main()
