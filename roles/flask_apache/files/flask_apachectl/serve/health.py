"""Ask the app, as a visitor or as a probe, and judge the answer."""

from __future__ import annotations

import contextlib
import http.client
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flask_apachectl import routing
from flask_apachectl.apache import client, server, visitors
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_apachectl.app import App

REFUSED = (401, 403)
MOST_TRIES = 3  # of a visit after a switch
SHOWN = 500  # characters shown of a wrong answer


@dataclass(frozen=True)
class Answer:
    """What one request got: the HTTP status, or 0 and the error; the app, release and process that answered a probe.

    ``complete`` tells whether the expected text was in it; ``words`` is what it says, unless that is a page of HTML.
    """

    status: int
    release: str = ""
    pid: int = 0
    error: str = ""
    complete: bool = True
    words: str = ""
    app: str = ""


def ask(app: App, token: str = "", address: str = "") -> Answer:
    """Ask the app's health check through Apache: as a visitor, or with a probe's token.

    Every address at which visitors come leads to the same pools: without one, the first one is asked.
    """
    headers = {"Host": app.spec.health_host or app.site.server_name}
    if token:
        headers["X-Flask-Apache-Probe"] = token
    address = address or server.addresses(app)[0]
    try:
        reply = client.get(
            address,
            app.site.main_port,
            app.url_path,
            headers,
            app.spec.health_request_timeout,
            is_secure=bool(app.site.https_port),
            speaks_proxy=app.site.proxy_protocol,
        )
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, error=str(error) or type(error).__name__)
    pid = reply.headers.get("X-Flask-Apache-Pid", "")
    is_page = "html" in reply.headers.get("Content-Type", "html")
    return Answer(
        reply.status,
        reply.headers.get("X-Flask-Apache-Release", ""),
        int(pid) if pid.isdecimal() else 0,
        complete=app.spec.health_body in reply.text,
        words="" if is_page else " ".join(reply.text[:SHOWN].split()),
        app=reply.headers.get("X-Flask-Apache-App", ""),
    )


@contextlib.contextmanager
def probing(app: App, slot: str) -> Iterator[str]:
    """Open a slot's pool to requests with a token, for as long as they are needed."""
    token, routes = secrets.token_hex(16), routing.read(app)
    routing.write(app, replace(routes, probe=(token, slot)))
    try:
        yield token
    finally:
        routing.write(app, routes)


def is_healthy(app: App, answer: Answer) -> bool:
    """Tell whether an answer is that of a healthy app."""
    return answer.status in app.spec.health_status and answer.complete


def is_restricted(app: App, answer: Answer) -> bool:
    """Tell whether a visitor without a password, or from this host, is refused as it is declared."""
    return app.site.restricted and answer.status in REFUSED and answer.status not in app.spec.health_status


def is_right(app: App, answer: Answer, release: str) -> bool:
    """Tell whether a probe got what it should."""
    return is_healthy(app, answer) and (answer.app, answer.release) == (app.name, release)


def explain(app: App, answer: Answer, release: str) -> str:
    """Say what was wrong with an answer."""
    if not answer.status:
        return f"{app.url_path} gave no answer ({answer.error})"
    if answer.status not in app.spec.health_status:
        words = f" ({answer.words})" if answer.words else ""
        return f"{app.url_path} answered {answer.status}{words}; expected one of {list(app.spec.health_status)}"
    if not answer.complete:
        return f"{app.url_path} answered without the expected text {app.spec.health_body!r}"
    other = f"{answer.release} of {answer.app}" if answer.app not in ("", app.name) else answer.release
    return f"{app.url_path} was answered by {other or 'another program'} instead of {release}"


def wrong_for_visitors(app: App, release: str) -> str:
    """Ask as visitors do, at each address at which they come. Returns what is wrong, or nothing."""
    for address in server.addresses(app):
        place = "" if address in visitors.LOOPBACK.values() else f"at {address}, "
        answer = ask(app, address=address)
        if answer.status and not server.loaded_at(app, address):
            return f"{place}{app.url} is answered by another virtual host or program: see `apache2ctl -S`"
        slot = routing.live_slot(app)
        if slot and is_restricted(app, answer):  # a probe is let through
            with probing(app, slot) as token:
                answer = ask(app, token, address)
        if not is_healthy(app, answer):
            return place + explain(app, answer, release)
    return ""


def verify(app: App, release: str) -> None:
    """Ask as visitors do. Raises RefusedError when an answer is not that of a healthy app."""
    routes = routing.read(app)
    if (server.pid() is None and not app.site.manage_service) or routes.maintenance:
        return
    tries, reloads, end = 0, server.Reloads(), time.monotonic() + app.spec.health_timeout
    while wrong := wrong_for_visitors(app, release):
        tries += not reloads.happened()  # while Apache reloads, it may answer wrongly for a moment
        if tries > MOST_TRIES or time.monotonic() > end:
            raise RefusedError(f"release {release} is live, but {wrong}")
        time.sleep(0.5)
