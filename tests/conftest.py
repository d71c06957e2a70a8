"""Fixtures for all tests: Docker's engine, images, hosts."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from tests.support import engine as docker_engine
from tests.support import hosts, images
from tests.support.commands import SetupError, cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENGINE_BEFORE = pytest.StashKey["int | None"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `--heavy-apps` deploy the large published applications, too."""
    parser.addoption("--heavy-apps", action="store_true", help="deploy the large examples of docs/examples, too")


@pytest.fixture(scope="session")
def engine() -> None:
    """Docker's engine, which ends with the run if the run had to start it (not with KEEP_ENGINE=1)."""
    try:
        docker_engine.ensure()
        hosts.remove_leftovers()
    except SetupError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def pytest_configure(config: pytest.Config) -> None:
    """Note which engine is not this run's to end."""
    config.stash[ENGINE_BEFORE] = docker_engine.started_pid()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the engine after all workers have ended."""
    pid = docker_engine.started_pid()
    is_worker = hasattr(config, "workerinput")
    if pid not in (None, config.stash[ENGINE_BEFORE]) and not is_worker and not os.environ.get("KEEP_ENGINE"):
        docker_engine.stop(pid)


@pytest.fixture(scope="module", autouse=True)
def processors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Two files are tested at a time, but one that is marked `alone` has the machine for itself.

    It holds the gate while it waits, so that no other one passes it.
    """
    alone = request.node.get_closest_marker("alone") is not None
    with (cache_directory() / "gate.lock").open("w") as gate, (cache_directory() / "processors.lock").open("w") as lock:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what must be alone, while there is nothing to wait for."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is None)


@pytest.fixture(scope="session")
def image(engine: None) -> Callable[[str], str]:  # noqa: ARG001 - needed first
    """Return a function that builds an image, or skips the test where it cannot be had."""

    def ensure(name: str) -> str:
        try:
            return images.ensure(name)
        except images.ImageUnavailableError as error:
            raise pytest.skip.Exception(str(error)) from None
        except SetupError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    return ensure


@pytest.fixture(scope="module")
def start_host(image: Callable[[str], str]) -> Iterator[Callable[..., hosts.Host]]:
    """Return `hosts.start`; what it started is removed after the module's last test."""
    started: list[hosts.Host] = []

    def start(distribution: str, *, init: bool = True) -> hosts.Host:
        image(distribution)
        host = hosts.start(distribution, init=init)
        started.append(host)
        return host

    yield start
    for host in started:
        host.remove()
