"""A thousand clients who keep Apache waiting, and come again when it has had enough, do not keep visitors out.

What they can occupy is an app's own threads, by bodies: mod_wsgi gives a request to a thread before its body has come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.security.crowds import attack
from tests.security.shared import ADMIN, ADMIN_PORT, NAME
from tests.support.releases import wait_until

if TYPE_CHECKING:
    from tests.security.shared import Place


@pytest.mark.parametrize(
    ("kind", "path"), [("header", "/"), ("read", "/large"), ("read", "/static/large.bin")], ids=str
)
def test_visitors_are_served_beside_slow_clients(places: list[Place], kind: str, path: str) -> None:
    """All 40, beside slow headers and beside slow readers: of a page of the app, and of a static file."""
    for place in places:  # one after the other: each crowd needs a processor
        found = attack(place.host.ip, NAME, kind, path)
        assert found["connected"] >= 800, found
        assert found["served"] == 40, found


def test_slow_bodies_for_one_app_do_not_concern_the_others(places: list[Place]) -> None:
    """And that app serves again soon after the last of them."""
    for place in places:
        found = attack(place.host.ip, NAME, "body", "/read", at=(ADMIN, ADMIN_PORT))
        assert found["connected"] >= 800, found
        assert found["served"] >= 38, found

        def serves(place: Place = place) -> bool:
            try:
                return place.host.http("/", ADMIN, port=ADMIN_PORT, timeout=5).status == 200
            except OSError:
                return False

        assert wait_until(serves, 60)
