"""The requests in an app's pools, by the sockets of mod_wsgi."""

from __future__ import annotations

import pytest

from flask_apachectl.apache import server
from flask_apachectl.host import facts, sockets
from flask_apachectl.serve import pools
from tests.unit.flask_apachectl.samples import shop

OTHERS = {
    "/run/apache2/wsgi.7.u1001.1.sock": (9, 9),  # of another app
    "/run/apache2/wsgi.6.u1000.2.sock": (9, 9),  # of another Apache
    "/run/apache2/cgisock.7": (9, 9),
}


@pytest.mark.parametrize(
    ("listeners", "strategy", "expected"),
    [
        ({3: (2, 1), 4: (0, 0)}, "blue_green", {"blue": (2, 1), "green": (0, 0)}),
        ({10: (0, 0), 9: (2, 1)}, "blue_green", {"blue": (2, 1), "green": (0, 0)}),
        ({3: (2, 1)}, "rolling", {"blue": (2, 1)}),
        ({3: (2, 1)}, "blue_green", {}),
        ({3: (0, 0), 4: (0, 0), 5: (0, 0)}, "blue_green", {}),
        ({}, "blue_green", {}),
    ],
)
def test_requests_in_the_pools(
    monkeypatch: pytest.MonkeyPatch,
    listeners: dict[int, tuple[int, int]],
    strategy: str,
    expected: dict[str, tuple[int, int]],
) -> None:
    own = {f"/run/apache2/wsgi.7.u1000.{number}.sock": told for number, told in listeners.items()}
    monkeypatch.setattr(sockets, "connections", lambda: {**OTHERS, **own})
    monkeypatch.setattr(server, "pid", lambda: 7)
    monkeypatch.setattr(facts, "user", lambda _name: {"uid": 1000})
    assert pools.requests(shop(strategy=strategy)) == expected
    monkeypatch.setattr(server, "pid", lambda: None)
    assert pools.requests(shop(strategy=strategy)) == {}
    monkeypatch.setattr(facts, "user", lambda _name: None)
    assert pools.requests(shop(strategy=strategy)) == {}
