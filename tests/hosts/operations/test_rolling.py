"""Smaller machines: a cold idle pool, the rolling strategy, and changing between strategies."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import pytest

from tests.hosts.operations.shared import DECLARED, DISTRIBUTIONS, NAME, QUICK, SHORT_CLIENTS, marks, without_apache
from tests.support.load import Answer, percentile, visitors
from tests.support.parallel import each, everywhere
from tests.support.playbooks import apply_role
from tests.support.releases import Deployed, apache_process, make_source, reloads, wait_until

pytestmark = pytest.mark.last


@everywhere
def test_cold_idle_pool(app: Deployed) -> None:
    """After the switch the idle pool has no app loaded and needs clearly less memory; a rollback starts it again."""
    app.deploy("w1", import_seconds=QUICK)
    app.deploy("w2", import_seconds=QUICK)
    warm = memory(app)
    declared = app.declare(idle_pool="cold")
    with visitors(app.host.ip, NAME, SHORT_CLIENTS) as crowd:
        app.deploy("w3", import_seconds=QUICK)
        assert wait_until(lambda: memory(app)["idle"] < 0.6 * warm["idle"], 10)
        cold = memory(app)
        began = time.monotonic()
        app.ctl("rollback")
        seconds = time.monotonic() - began
        print(f"{app.host.distribution}: MiB warm {warm}, cold {cold}; rollback of a cold pool {seconds:.1f} s")
        assert marks(app, 5) == ["w2"] * 5
    app.declare(**declared)
    assert crowd.failed() == []
    assert cold["live"] > 0.8 * warm["live"]


def memory(app: Deployed) -> dict[str, int]:
    """Return the resident memory of all processes of the live and of the idle pool, in MiB."""
    pools = app.ctl("status")["pools"].values()
    assert wait_until(lambda: all(len(pool["pids"]) == 2 for pool in app.ctl("status")["pools"].values()), 10)
    return {str(pool["state"]): int(pool["resident_mib"]) for pool in pools}


@everywhere
def test_rolling_is_chosen_while_apache_is_down(app: Deployed) -> None:
    """The live release moves to the remaining pool, and serves from it as soon as Apache starts."""
    for mark in ("d1", "d2"):
        live = app.deploy(mark, import_seconds=QUICK)
        if app.ctl("status")["live"] == "green":
            break
    declared = app.declare(strategy="rolling")
    with without_apache(app):
        app.ctl("prepare", live.partition("-")[0])
    status = app.ctl("status")
    assert (status["live"], status["release"]) == ("blue", live)
    assert marks(app, 5) == [mark] * 5
    app.declare(**declared)


@pytest.fixture(scope="module")
def rolled(apps: dict[str, Deployed], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Change from two pools to one and back while green is live and visitors send requests; deploy in between."""
    for app in apps.values():
        for mark in ("s1", "s2", "s3"):
            if app.ctl("status")["live"] != "green":
                app.deploy(mark, import_seconds=QUICK)
        assert app.ctl("status")["live"] == "green"
    hosts = [app.host for app in apps.values()]
    source = make_source(tmp_path_factory.mktemp("rolling") / "source", "s4", import_seconds=QUICK)
    declared = {**DECLARED, "flask_apache_source": str(source)}
    found = {}
    with ExitStack() as stack:
        crowds = [stack.enter_context(visitors(host.ip, NAME, SHORT_CLIENTS)) for host in hosts]
        times = [("before", time.monotonic())]
        apply_role(hosts, {**declared, "flask_apache_strategy": "rolling"})
        times.append(("to rolling", time.monotonic()))
        pools = each(list(apps.values()), lambda app: app.ctl("status")["pools"])
        apaches = [(apache_process(host), reloads(host)) for host in hosts]
        began = time.monotonic()
        each(list(apps.values()), roll_some)
        times.append(("rolling", time.monotonic()))
        same = apaches == [(apache_process(host), reloads(host)) for host in hosts]
        rolled_marks = each(list(apps.values()), lambda app: marks(app, 1)[0])
        apply_role(hosts, {**declared, "flask_apache_strategy": "blue_green"})
        times.append(("back", time.monotonic()))
        time.sleep(1)
    for number, (name, app) in enumerate(apps.items()):
        found[name] = {
            "times": times,
            "began": began,
            "pools": pools[number],
            "same": same,
            "mark": rolled_marks[number],
            "answers": crowds[number].answers,
            "after": app.ctl("status"),
        }
    return found


def roll_some(app: Deployed) -> None:
    """Deploy and roll back in the one pool."""
    app.deploy("s5", import_seconds=QUICK)
    app.deploy("s6", import_seconds=QUICK)
    app.ctl("rollback")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_rolling(rolled: dict[str, dict[str, Any]], distribution: str) -> None:
    """The one pool's processes are replaced one by one, Apache does not reload, and nobody gets an error."""
    found = rolled[distribution]
    assert {slot: len(pool["pids"]) for slot, pool in found["pools"].items()} == {"blue": 2}
    assert found["same"]
    assert found["mark"] == "s5"
    during = between(found, "to rolling", "rolling")
    print(f"{distribution}: rolling p99 {percentile(during, 0.99):.3f} s, longest {percentile(during, 1):.3f} s")
    assert {answer.body["marks"][0] for answer in during if answer.status == 200} == {"s4", "s5", "s6"}
    assert [answer for answer in during if answer.status != 200] == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_strategy_can_change(rolled: dict[str, dict[str, Any]], distribution: str) -> None:
    """The app keeps serving between two pools and one, except for moments at Apache's two reloads."""
    found = rolled[distribution]
    failed = [answer for answer in found["answers"] if answer.status != 200]
    print(f"{distribution}: {len(failed)} of {len(found['answers'])} failed", [tuple(answer)[1:5] for answer in failed])
    for name in ("before", "rolling"):
        after = {"before": "to rolling", "rolling": "back"}[name]
        wrong = [answer.began for answer in between(found, name, after) if answer.status != 200]
        assert not wrong or max(wrong) - min(wrong) < 3
        assert len(wrong) < 0.02 * len(between(found, name, after))
    assert len(found["after"]["pools"]) == 2
    assert found["after"]["release"] is not None


def between(found: dict[str, Any], first: str, last: str) -> list[Answer]:
    """Return the answers to the requests that began between two moments."""
    times = dict(found["times"])
    return [answer for answer in found["answers"] if times[first] <= answer.began < times[last]]
