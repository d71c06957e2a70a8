"""Visitors cannot reach the idle pool."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.hosts.releases.shared import NAME
from tests.support.parallel import everywhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.releases import Deployed


@everywhere
def test_visitors_cannot_reach_the_idle_pool(app: Deployed) -> None:
    """No header, cookie or URL leads a visitor to a release that is not live."""
    idle = app.deploy("idle", import_seconds=0.2)
    live = app.deploy("live", import_seconds=0.2)
    slot = "green" if app.ctl("status")["live"] == "blue" else "blue"
    token = "0123456789abcdef" * 2
    probe = {"X-Flask-Apache-Probe": token}
    inside = (
        "import sys, urllib.request as u; r = u.Request('http://127.0.0.1/', headers={'Host': sys.argv[1], "
        "'X-Flask-Apache-Probe': sys.argv[2]}); print(u.urlopen(r).read().decode())"
    )
    with routes_with(app, f"probe-{token} {slot}"):
        from_inside = json.loads(app.host.run(["python3", "-c", inside, NAME, token]).stdout)
        assert from_inside["release"] == idle  # the token is a real one
        forged = {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
        for headers in (probe, {**probe, **forged}):
            answer = app.host.http("/", NAME, headers=headers)
            assert answer.json()["release"] == live
            assert "X-Flask-Apache-Release" not in answer.headers
    guesses = ["", "1", "on", slot, idle, "0" * 32, "f" * 32, token, f"{token}\t", "%1", "live", "base", "probe-"]
    tries: list[dict[str, str]] = [{"X-Flask-Apache-Probe": guess} for guess in guesses]
    tries += [{"X-Flask-Apache-Canary": guess} for guess in ("1", "100", slot, idle)]
    tries += [{"Cookie": f"flask_apache_marked={guess}"} for guess in (idle, slot, idle.partition("-")[0], "canary")]
    tries += [{"Cookie": f"flask_apache_marked_bypass={token}"}, {"FLASK_APACHE_POOL_MARKED": f"marked-{slot}"}]
    for headers in tries:
        answer = app.host.http("/", NAME, headers=headers)
        assert answer.json()["release"] == live, headers
        assert "Set-Cookie" not in answer.headers, headers
    for query in (f"flask_apache_bypass={token}", "flask_apache_marked=canary"):
        assert app.host.http(f"/?{query}", NAME).json()["release"] == live


@contextmanager
def routes_with(app: Deployed, line: str) -> Iterator[None]:
    """Add a line to the map, as the engine would."""
    path = "/etc/flask-apache/marked/live.map"
    before = app.host.read(path)
    app.host.run(["tee", "-a", path], stdin=f"{line}\n")
    yield
    app.host.run(["tee", path], stdin=before)
