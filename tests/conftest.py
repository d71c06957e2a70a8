"""Fixtures for all tests: Docker's engine, images, hosts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.support import engine as docker_engine
from tests.support import hosts, images
from tests.support.commands import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `--heavy-apps` deploy the large published applications, too."""
    parser.addoption("--heavy-apps", action="store_true", help="deploy the large examples of docs/examples, too")


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    """Docker's engine, which ends with the run if the run had to start it (not with KEEP_ENGINE=1)."""
    try:
        started = docker_engine.ensure()
        hosts.remove_leftovers()
    except SetupError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    yield
    if started is not None and not os.environ.get("KEEP_ENGINE"):
        docker_engine.stop(started)


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
