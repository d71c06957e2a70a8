"""The facts about a request that the front page shows and /api/info returns."""

from __future__ import annotations

import locale
import os
import platform
import re
import sys
import threading
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from flask import current_app, g, request

if TYPE_CHECKING:
    from flask import Flask

FLASK_VERSION = version("flask")


class RequestCounter:
    """Counts the requests that this process has answered; its threads share it."""

    def __init__(self) -> None:
        """Start counting now."""
        self.started = datetime.now().astimezone().isoformat(timespec="seconds")
        self._count = 0
        self._lock = threading.Lock()

    def increment(self) -> int:
        """Count one more request and return its number."""
        with self._lock:  # "+=" is a read and a write: another thread could come between them
            self._count += 1
            return self._count


@dataclass(frozen=True)
class Facts:
    """A request, and the process that answers it."""

    app: str
    release: str
    pool: str
    pid: int
    thread: str
    requests: int
    started: str

    server: str
    apache: str | None
    mod_wsgi: str | None
    process_group: str | None
    application_group: str | None
    multiprocess: bool
    multithread: bool

    python: str
    flask: str
    prefix: str
    filesystem_encoding: str
    locale: str
    data_dir: str

    script_name: str
    url_root: str
    remote_addr: str | None
    authorization: str | None


def collect() -> Facts:
    """Gather the facts about the current request."""
    config, environ = current_app.config, request.environ
    server = server_name(environ.get("SERVER_SOFTWARE", ""))
    apache = re.match(r"Apache/([\d.]+)", server)  # "ServerTokens Prod" hides the version
    mod_wsgi = environ.get("mod_wsgi.version")
    process_group = environ.get("mod_wsgi.process_group")
    return Facts(
        app=config["FLASK_APACHE_APP"] or "flask-apache-sample",
        release=config["FLASK_APACHE_RELEASE"] or "development",
        pool=config["FLASK_APACHE_POOL"] or process_group or server,
        pid=os.getpid(),
        thread=str(environ.get("mod_wsgi.thread_id") or threading.current_thread().name.split()[0]),
        requests=g.request_number,
        started=g.counting_since,
        server=server,
        apache=apache[1] if apache else None,
        mod_wsgi=".".join(map(str, mod_wsgi)) if mod_wsgi else None,
        process_group=process_group,
        application_group=environ.get("mod_wsgi.application_group"),
        multiprocess=bool(environ["wsgi.multiprocess"]),
        multithread=bool(environ["wsgi.multithread"]),
        python=platform.python_version(),
        flask=FLASK_VERSION,
        prefix=sys.prefix,
        filesystem_encoding=sys.getfilesystemencoding(),
        locale=locale.setlocale(locale.LC_CTYPE),  # without a second argument, this only reads it
        data_dir=str(config["FLASK_APACHE_DATA"]),
        script_name=request.script_root,
        url_root=request.url_root,
        remote_addr=request.remote_addr,
        authorization=authorization_scheme(request.headers.get("Authorization", "")),
    )


def server_name(software: str) -> str:
    """Name the web server by its ``SERVER_SOFTWARE``."""
    return "development server" if software.startswith("Werkzeug/") else software or "unknown server"


def authorization_scheme(header: str) -> str | None:
    """Return the first word of an ``Authorization`` header, such as "Basic": never the credentials."""
    scheme, separator, _credentials = header.partition(" ")
    return scheme if separator else None


def init_app(app: Flask) -> None:
    """Count requests, and pass the facts to every template."""
    counter = RequestCounter()

    @app.before_request
    def count() -> None:
        g.counting_since = counter.started
        g.request_number = counter.increment()

    @app.context_processor
    def add_facts() -> dict[str, Any]:
        return {"facts": collect()}
