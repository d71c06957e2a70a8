"""Maintenance mode and draining."""

from __future__ import annotations

from tests.hosts.operations.shared import NAME, ONE, OTHER_NAME, QUICK, marks
from tests.support.parallel import everywhere
from tests.support.releases import Deployed, wait_until


@everywhere
def test_maintenance(app: Deployed) -> None:
    """Visitors get a page with status 503; a bypass URL and its cookie let the operator in; deploys work meanwhile."""
    bypass = str(app.ctl("maintenance", "on")["bypass"])
    assert not app.ctl("maintenance", "on")["changed"]
    for path, method in (("/", "GET"), ("/healthz", "GET"), ("/upload", "POST"), ("/no/such/page", "GET")):
        answer = app.host.http(path, NAME, method=method)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "120")
        assert "Back soon" in answer.text
    assert app.host.http("/?flask_apache_bypass=" + "0" * 32, NAME).status == 503
    assert app.host.http("/", NAME, headers={"Cookie": f"flask_apache_{ONE}_bypass={'0' * 32}"}).status == 503

    inside = app.host.http(bypass.removeprefix(f"http://{NAME}"), NAME)
    assert inside.status == 200
    cookie = inside.headers["Set-Cookie"].partition(";")[0]
    assert app.host.http("/", NAME, headers={"Cookie": cookie}).status == 200
    assert app.host.http("/no/such/page", NAME, headers={"Cookie": cookie}).status == 404
    assert bypass in app.ctl("status")["msg"]

    app.deploy("closed", import_seconds=QUICK)
    assert app.host.http("/", NAME).status == 503
    assert marks(app, 1, Cookie=cookie) == ["closed"]
    app.ctl("maintenance", "off")
    assert marks(app, 1) == ["closed"]
    assert app.host.http("/", OTHER_NAME).status == 200
    app.host.run("systemctl stop apache2")
    app.ctl("maintenance", "on")
    app.host.run("systemctl start apache2")
    assert wait_until(lambda: app.host.http("/", NAME).status == 503, 10)
    app.ctl("maintenance", "off")
    assert wait_until(lambda: app.host.http("/", NAME).status == 200, 10)


@everywhere
def test_drain(app: Deployed) -> None:
    """The readiness URL answers 503, and the app keeps serving."""
    assert app.host.http("/-/ready", NAME).json() == {"status": "ok"}
    assert app.ctl("drain", "on")["changed"]
    assert app.host.http("/-/ready", NAME).status == 503
    assert [app.host.http(path, NAME).status for path in ("/", "/healthz")] == [200, 200]
    assert "Draining" in app.ctl("status")["msg"]
    app.ctl("drain", "off")
    assert app.host.http("/-/ready", NAME).json() == {"status": "ok"}
