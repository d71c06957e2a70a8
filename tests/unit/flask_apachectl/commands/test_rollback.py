"""Which release a rollback goes back to, and when it is refused."""

from __future__ import annotations

import pytest

from flask_apachectl import routing
from flask_apachectl.errors import RefusedError
from tests.unit.flask_apachectl.model import PROCESSES, SOURCES, Host, serving


def test_a_rollback_goes_back_and_forth(host: Host) -> None:
    one, two = (host.deploy(source)["release"] for source in SOURCES[:2])
    for expected in (one, two, one):
        assert host.command("rollback", plan=True)["release"] == expected
        assert host.command("rollback")["release"] == expected
        assert serving(host) == [expected] * PROCESSES


def test_the_first_release_has_none_to_go_back_to(host: Host) -> None:
    with pytest.raises(RefusedError, match="nothing is the first one that was live"):
        host.command("rollback")
    release = host.deploy(SOURCES[0])["release"]
    with pytest.raises(RefusedError, match=f"{release} is the first one that was live"):
        host.command("rollback")
    with pytest.raises(RefusedError, match="x-1 was never live"):
        host.command("rollback", release="x-1")
    rows = host.command("history")["history"]
    assert [(row["action"], row["release"]) for row in rows] == [
        ("rollback refused", None),
        ("deploy", release),
        ("rollback refused", None),
        ("rollback refused", "x-1"),
    ]
    assert "reason" not in rows[1]
    assert rows[3]["reason"].startswith("x-1 was never live")
    assert "x-1 was never live" in host.command("history")["msg"]


def test_a_rollback_behind_an_irreversible_release_is_refused_unless_forced(host: Host) -> None:
    host.reconfigure(keep_releases=9)
    one = host.deploy(SOURCES[0])["release"]
    host.reconfigure(irreversible=True)
    two = host.deploy(SOURCES[1])["release"]
    host.reconfigure(irreversible=False)
    three = host.deploy(SOURCES[2])["release"]
    assert host.command("rollback")["release"] == two  # not across it
    for options in ({"release": one}, {"release": one, "plan": True}):
        with pytest.raises(RefusedError, match=f"{two} is irreversible.*Still serving {two}"):
            host.command("rollback", **options)
    with pytest.raises(RefusedError, match="is irreversible"):
        host.command("canary", canary=10, release=one)
    assert host.command("rollback", release=three)["release"] == three
    assert host.command("rollback", release=one, force=True)["release"] == one
    assert host.command("rollback", release=three)["release"] == three  # forward
    states = {row["release"]: row["state"] for row in host.command("releases")["releases"]}
    assert states[two] == "irreversible"


def test_a_rollback_during_a_canary_ends_it(host: Host) -> None:
    one, two = (host.deploy(source)["release"] for source in SOURCES[:2])
    host.command("canary", canary=10, release=one)
    assert host.command("rollback", plan=True)["release"] == two
    assert host.command("rollback")["changed"]
    assert host.live() == two
    assert routing.read(host.app).canary == ""
