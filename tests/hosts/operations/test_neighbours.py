"""A deploy does not disturb another app on the same host."""

from __future__ import annotations

from tests.hosts.operations.shared import OTHER_NAME, QUICK, SHORT_CLIENTS, TWO
from tests.support.load import Client, visitors
from tests.support.parallel import everywhere
from tests.support.releases import Deployed


@everywhere
def test_another_app_is_left_alone(app: Deployed) -> None:
    """A deploy ends no process of another app whose name begins alike, and loses none of its requests."""
    other = Deployed(app.host, TWO)
    before = {slot: pool["pids"] for slot, pool in other.ctl("status")["pools"].items()}
    assert [len(pids) for pids in before.values()] == [2, 2]
    clients = [*SHORT_CLIENTS, Client("long", 2, 3, "/slow?seconds=2.5")]
    with visitors(app.host.ip, OTHER_NAME, clients) as crowd:
        for mark in ("t1", "t2", "t3"):
            app.deploy(mark, import_seconds=QUICK)
        app.ctl("rollback")
    assert crowd.failed() == []
    assert {answer.body["marks"][0] for answer in crowd.answers} == {"o00"}
    assert {slot: pool["pids"] for slot, pool in other.ctl("status")["pools"].items()} == before
    assert len(crowd.answers) > 200
