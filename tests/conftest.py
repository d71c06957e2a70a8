"""Fixtures for all tests: Docker, images, hosts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support import docker as docker_daemon
from tests.support import hosts, images
from tests.support.commands import SetupError
from tests.support.parallel import reserved_processors, shared_hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xdist.remote import Producer

DOCKER_BEFORE = pytest.StashKey["int | None"]()


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
    """Remember a dockerd that an earlier run started: this run must not stop it."""
    config.stash[DOCKER_BEFORE] = docker_daemon.started_pid()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop Docker after all workers have ended."""
    pid = docker_daemon.started_pid()
    is_worker = hasattr(config, "workerinput")
    if pid not in (None, config.stash[DOCKER_BEFORE]) and not is_worker and not os.environ.get("KEEP_DOCKER"):
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
    """Test two files at a time, but run one that is marked `alone` without any other."""
    with reserved_processors(alone=request.node.get_closest_marker("alone") is not None):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files that are marked `alone` first, and files that are marked `last` after the others of their directory.

    Tests that share hosts stay together.
    """
    groups: dict[str, list[pytest.Item]] = {}
    for item in sorted(items, key=lambda item: item.get_closest_marker("alone") is None):
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


@pytest.fixture(scope="module")
def start_host(image: Callable[[str], str]) -> Iterator[Callable[..., hosts.Host]]:
    """Return `hosts.start`; what it started is removed after the module's last test."""
    with hosts.starting(image) as start:
        yield start
