"""A canary gets a share of the visitors until it is promoted or aborted."""

from __future__ import annotations

import argparse
import contextlib

import pytest

from flask_apachectl import history, routing
from flask_apachectl.commands import canary
from flask_apachectl.errors import RefusedError
from tests.unit.flask_apachectl.model import ROLLING, SOURCES, Host, Meanwhile


@pytest.mark.parametrize("text", ["1", "50", "99"])
def test_a_percentage(text: str) -> None:
    assert canary.percentage(text) == int(text)


@pytest.mark.parametrize("text", ["0", "100", "-1", "1000", "ten", ""])
def test_no_percentage(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="PERCENT must be a number from 1 to 99, got"):
        canary.percentage(text)


def test_a_canary_is_promoted_or_aborted(host: Host) -> None:
    one = host.deploy(SOURCES[0])["release"]
    two = host.prepare(SOURCES[1])
    assert host.command("activate", release=two, canary=10)["canary"] == 10
    assert (host.live(), host.command("activate", release=two, canary=10)["changed"]) == (one, False)
    assert host.command("canary", canary=50)["release"] == two
    assert routing.read(host.app).percent == 50
    assert (host.command("abort")["changed"], host.command("abort")["changed"]) == (True, False)
    with pytest.raises(RefusedError, match="no canary to promote"):
        host.command("promote")
    host.command("canary", canary=5, release=two)
    assert host.command("promote")["release"] == two == host.live()
    assert [entry["action"] for entry in history.read(host.app)] == [
        *("deploy", "canary 10 %", "canary 50 %", "abort", "promote refused", "canary 5 %", "promote")
    ]


def test_the_first_release_is_no_canary(host: Host) -> None:
    release = host.prepare(SOURCES[0])
    assert host.command("activate", release=release, canary=10)["changed"] is True
    assert (host.live(), routing.read(host.app).canary) == (release, "")


@ROLLING
def test_a_canary_needs_two_pools(host: Host) -> None:
    host.deploy(SOURCES[0])
    with pytest.raises(RefusedError, match="flask_apache_strategy is rolling"):
        host.command("canary", canary=10)


def test_who_waited_for_an_abort_promotes_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (host.deploy(source)["release"] for source in SOURCES[:2])
    host.command("canary", canary=10, release=one)
    Meanwhile(host, monkeypatch, lambda: host.command("abort"))
    with pytest.raises(RefusedError, match="no canary to promote"):
        host.command("promote")
    assert host.live() == two


def test_who_waited_for_a_deploy_gives_no_share_to_another_release(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = (host.deploy(source)["release"] for source in SOURCES[:2])
    host.command("canary", canary=10, release=one)
    Meanwhile(host, monkeypatch, lambda: host.deploy(SOURCES[2]))
    with contextlib.suppress(RefusedError):
        host.command("canary", canary=50, release=one)
    routes = routing.read(host.app)
    assert not routes.canary or dict(routes.releases)[routes.canary] == one
