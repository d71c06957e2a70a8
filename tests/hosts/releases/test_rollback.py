"""Rollback: to the previous release, to a named one, and by the playbook."""

from __future__ import annotations

import functools

import pytest

from tests.hosts.releases.shared import DECLARED, DISTRIBUTIONS, inputs
from tests.support.parallel import each, everywhere
from tests.support.playbooks import play
from tests.support.releases import Deployed, EngineError


@everywhere
def test_rollback_to_a_named_release(app: Deployed) -> None:
    """A release that is no longer in a pool is started again; one that was never live is refused."""
    first, *_, last = [app.deploy(mark, import_seconds=0.2) for mark in ("n1", "n2", "n3")]
    never = app.prepare("n4", import_seconds=0.2)
    with pytest.raises(EngineError, match=f"{never} was never live"):
        app.ctl("rollback", never)
    assert inputs(app)[0] == last
    app.ctl("rollback", first)
    assert inputs(app)[:2] == (first, {"n1"})
    with pytest.raises(EngineError, match="no-such-release was never live"):
        app.ctl("rollback", "no-such-release")
    assert inputs(app)[0] == first


def test_rollback_by_the_playbook(apps: dict[str, Deployed]) -> None:
    """`playbooks/rollback.yml` rolls back all hosts, to the previous release or to a named one."""
    hosts = [app.host for app in apps.values()]
    for mark in ("p1", "p2"):
        each(list(apps.values()), functools.partial(Deployed.deploy, mark=mark, import_seconds=0.2))
    done = play(hosts, "playbooks/rollback.yml", DECLARED)
    assert done.changed == len(hosts)
    for app in apps.values():
        assert inputs(app)[1] == {"p1"}
    host = apps[DISTRIBUTIONS[0]]
    named = next(row["release"] for row in host.ctl("releases")["releases"] if row["state"] == "previous")
    play(host.host, "playbooks/rollback.yml", {**DECLARED, "flask_apache_rollback_to": named})
    assert inputs(host)[1] == {"p2"}
