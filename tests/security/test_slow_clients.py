"""A thousand clients who keep Apache waiting do not keep visitors from an app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.security.crowds import attack
from tests.security.shared import NAME

if TYPE_CHECKING:
    from tests.security.shared import Place

pytestmark = pytest.mark.alone


@pytest.mark.parametrize(
    ("kind", "path", "served"),
    [("header", "/", 40), ("body", "/", 38), ("read", "/large", 40)],
)
def test_visitors_are_served_beside_slow_clients(places: list[Place], kind: str, path: str, served: int) -> None:
    """Slow headers, slow bodies, slow readers: 1,000 of each, and they come again."""
    for place in places:
        found = attack(place.host.ip, NAME, kind, path)
        print(place, kind, path, found)
        assert found["connected"] >= 900, found
        assert found["served"] >= served, found
