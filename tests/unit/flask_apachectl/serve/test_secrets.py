"""When a release becomes live, all kept releases get its secrets."""

from __future__ import annotations

import pytest

from flask_apachectl import environments
from flask_apachectl.errors import RefusedError
from tests.unit.flask_apachectl.model import BROKEN, SOURCES, Host


def test_a_changed_secret_replaces_the_old_one_everywhere(host: Host) -> None:
    """Other variables stay as they were."""
    host.declare(API_TOKEN="old", COLOUR="red", OLD_TOKEN="gone")
    one = host.deploy(SOURCES[0])["release"]
    host.declare(API_TOKEN="new", COLOUR="blue", NEW_TOKEN="come")
    host.deploy(SOURCES[0])
    environment = environments.of_release(host.app, one)
    assert {**environment, "SECRET_KEY": ""} == {
        "SECRET_KEY": "",
        "API_TOKEN": "new",
        "COLOUR": "red",
        "NEW_TOKEN": "come",
    }
    assert {release for _, _, release in host.apache.processes.values()} == {one, host.live()}
    assert host.secrets() == {"new"}


def test_a_refused_release_changes_no_secret_of_the_others(host: Host) -> None:
    host.declare(API_TOKEN="old")
    one = host.deploy(SOURCES[0])["release"]
    host.declare(API_TOKEN="new")
    with pytest.raises(RefusedError):
        host.deploy(BROKEN)
    assert environments.of_release(host.app, one)["API_TOKEN"] == "old"
    host.declare(API_TOKEN="old")
    assert host.deploy(SOURCES[0])["changed"]  # the refused release has it now
    assert host.secrets() == {"old"}


@pytest.mark.parametrize("last", ["old", "new"])
def test_a_run_after_a_rollback_makes_what_is_declared_live_and_the_next_changes_nothing(host: Host, last: str) -> None:
    """Even if the release with that id is live already, but has another secret by now."""
    host.declare(API_TOKEN="old")
    one = host.deploy(SOURCES[0])["release"]
    host.declare(API_TOKEN="new")
    host.deploy(SOURCES[0])
    host.command("rollback")
    assert host.live() == one
    host.declare(API_TOKEN=last)
    assert host.deploy(SOURCES[0])["changed"]
    assert host.secrets() == {last}
    live = host.live()
    assert live is not None
    assert environments.of_release(host.app, live) == environments.wanted(host.app)
    for _ in range(2):
        prepared = host.command("prepare", source=SOURCES[0])
        assert prepared == {"changed": False, "release": live, "msg": f"kept {live}"}
        assert not host.command("activate", release=live)["changed"]


def test_a_generated_key_goes_when_one_is_declared(host: Host) -> None:
    host.deploy(SOURCES[0])
    generated = (host.app.conf / "secret_key").read_text()
    host.declare(SECRET_KEY="mine")
    host.deploy(SOURCES[0])
    assert not (host.app.conf / "secret_key").exists()
    assert not [path for path in host.root.rglob("*") if path.is_file() and generated in path.read_text()]
