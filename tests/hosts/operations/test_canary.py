"""Canary releases: shares of the visitors, promotion, abort."""

from __future__ import annotations

import re
import time

import pytest

from tests.hosts.operations.shared import NAME, ONE, QUICK, SHORT_CLIENTS, marks
from tests.support.load import visitors
from tests.support.parallel import everywhere
from tests.support.releases import Deployed, EngineError


@everywhere
def test_canary(app: Deployed) -> None:
    """Some visitors get the new release and keep it; a header requests it; promote gives it to everybody."""
    app.deploy("c1", import_seconds=QUICK)
    canary = app.prepare("c2", import_seconds=QUICK)
    assert app.ctl("activate", canary, "--canary", "20")["canary"] == 20
    assert app.ctl("status")["canary"] == 20

    cookies: dict[str, str] = {}
    asked = 400
    got = []
    for _ in range(asked):
        answer = app.host.http("/", NAME)
        got.append(answer.json()["marks"][0])
        cookie = re.match(rf"(flask_apache_{ONE}=(\S+)); Path=/; HttpOnly; SameSite=Lax", answer.headers["Set-Cookie"])
        assert cookie is not None
        assert cookie[2] == answer.json()["release"]
        cookies[got[-1]] = cookie[1]
    share = got.count("c2") / asked
    print(f"{app.host.distribution}: {share:.1%} of {asked} visitors got a canary of 20 %")
    assert 0.10 < share < 0.30  # five standard deviations
    assert marks(app, 30, Cookie=cookies["c1"]) == ["c1"] * 30
    assert marks(app, 30, Cookie=f"theme=dark; {cookies['c2']}; b=c") == ["c2"] * 30
    assert set(marks(app, 100, Cookie=f"flask_apache_{ONE}=0123456789ab-012345")) == {"c1", "c2"}
    assert marks(app, 10, X_Flask_Apache_Canary="1") == ["c2"] * 10

    app.ctl("canary", "90")
    assert marks(app, 100).count("c2") > 70
    assert marks(app, 30, Cookie=cookies["c1"]) == ["c1"] * 30
    app.ctl("promote")
    assert marks(app, 30) == ["c2"] * 30
    assert marks(app, 5, Cookie=cookies["c1"]) == ["c2"] * 5
    assert "Set-Cookie" not in app.host.http("/", NAME).headers
    assert [row["action"] for row in app.ctl("history")["history"][-3:]] == ["canary 20 %", "canary 90 %", "promote"]
    assert app.ctl("rollback")["changed"]
    assert marks(app, 5) == ["c1"] * 5


@everywhere
def test_canary_aborted(app: Deployed) -> None:
    """After an abort everybody gets the old release, also visitors of the canary; nobody gets an error."""
    app.deploy("a1", import_seconds=QUICK)
    canary = app.prepare("a2", import_seconds=QUICK)
    with visitors(app.host.ip, NAME, SHORT_CLIENTS) as crowd:
        app.ctl("canary", "50", canary)
        time.sleep(1)
        app.ctl("abort")
        aborted = time.monotonic()
        time.sleep(1)
    assert crowd.failed() == []
    assert {answer.body["marks"][0] for answer in crowd.answers} == {"a1", "a2"}
    assert {answer.body["marks"][0] for answer in crowd.answers if answer.began > aborted} == {"a1"}
    assert marks(app, 5, Cookie=f"flask_apache_{ONE}={canary}") == ["a1"] * 5
    assert marks(app, 5, X_Flask_Apache_Canary="1") == ["a1"] * 5
    with pytest.raises(EngineError, match="no canary to promote"):
        app.ctl("promote")


@everywhere
def test_canary_that_is_broken(app: Deployed) -> None:
    """A broken release gets no visitors."""
    live = app.deploy("b1", import_seconds=QUICK)
    broken = app.prepare("b2", fault="raise in the pool", import_seconds=QUICK)
    with visitors(app.host.ip, NAME, SHORT_CLIENTS) as crowd, pytest.raises(EngineError, match="Still serving"):
        app.ctl("canary", "50", broken)
    assert {(answer.status, answer.body["release"]) for answer in crowd.answers} == {(200, live)}
    assert app.ctl("status")["canary"] == 0
