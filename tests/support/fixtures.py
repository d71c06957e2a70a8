"""Fixtures that several conftest.py have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.support.hosts import Host, starting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def host_starter(scope: Literal["module", "package"]) -> Any:  # noqa: ANN401 - a fixture, whose type is pytest's own
    """Return the fixture `start_host` for a file, or for a directory whose files share their hosts."""

    @pytest.fixture(scope=scope, name="start_host")
    def start_host(image: Callable[[str], str]) -> Iterator[Callable[..., Host]]:
        """Return a function that starts a host as `hosts.start` does; it is removed after the last test."""
        with starting(image) as start:
            yield start

    return start_host
