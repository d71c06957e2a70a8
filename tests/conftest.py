"""Fixtures for all tests: Docker, images, hosts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support import docker as docker_daemon
from tests.support import hosts, images
from tests.support.commands import SetupError
from tests.support.fixtures import host_starter
from tests.support.parallel import minutes, reserved_processors, shared_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xdist.remote import Producer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `--heavy-apps` deploy the large published applications, too."""
    parser.addoption("--heavy-apps", action="store_true", help="deploy the large examples of docs/examples, too")


@pytest.fixture(scope="session")
def docker() -> None:
    """Docker, which ends with the run if the run had to start it (not with KEEP_DOCKER=1)."""
    try:
        docker_daemon.ensure()
        hosts.remove_leftovers()
    except SetupError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


def pytest_configure(config: pytest.Config) -> None:
    """Name this run, for its workers, too."""
    if not hasattr(config, "workerinput"):
        os.environ[docker_daemon.RUN_VARIABLE] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the dockerd that this run has started, after all workers have ended; another run may use another one."""
    pid = docker_daemon.started_pid(str(os.getpid()))
    if pid is not None and not hasattr(config, "workerinput") and not os.environ.get("KEEP_DOCKER"):
        docker_daemon.stop(pid)


class SharedHostsScheduling(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    """Give one worker all tests that share hosts: those of a file, or of a directory below tests/hosts."""

    def _split_scope(self, nodeid: str) -> str:
        return shared_hosts(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Distribute the tests by the hosts that they need."""
    return SharedHostsScheduling(config, log)


@pytest.fixture(scope="module", autouse=True)
def processors(request: pytest.FixtureRequest) -> Iterator[None]:
    """Test several files at a time, but run one that is marked `alone` without any other that has hosts."""
    if not minutes(request.node.nodeid):
        yield
        return
    with reserved_processors(alone=request.node.get_closest_marker("alone") is not None):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests: files that are marked `alone`, those without hosts, then from the longest to the shortest.

    Tests that share hosts stay together; files that are marked `last` run after the others of their directory.
    """

    def order(item: pytest.Item) -> tuple[bool, float]:
        time = minutes(item.nodeid)
        return item.get_closest_marker("alone") is None, -time if time else float("-inf")

    groups: dict[str, list[pytest.Item]] = {}
    for item in sorted(items, key=order):
        groups.setdefault(shared_hosts(item.nodeid), []).append(item)
    for group in groups.values():
        group.sort(key=lambda item: item.get_closest_marker("last") is not None)
    items[:] = [item for group in groups.values() for item in group]


@pytest.fixture(scope="session")
def image(docker: None) -> Callable[[str], str]:  # noqa: ARG001 - needed first
    """Return a function that builds an image, or skips the test where it cannot be had."""

    def ensure(name: str) -> str:
        try:
            return images.ensure(name)
        except images.ImageUnavailableError as error:
            raise pytest.skip.Exception(str(error)) from None
        except SetupError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None

    return ensure


start_host = host_starter("module")
