"""The hosts of this directory's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.security.shared import Place, start, write_source
from tests.support.fixtures import host_starter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.hosts import Host

start_host = host_starter("package")


@pytest.fixture(scope="package")
def places(start_host: Callable[[str], Host], tmp_path_factory: pytest.TempPathFactory) -> list[Place]:
    """Return the hosts."""
    return start(start_host, write_source(tmp_path_factory.mktemp("security") / "source"))
