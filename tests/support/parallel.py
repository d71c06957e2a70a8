"""Work at the same time: on several hosts, for half of a deploy is waiting; and in several files of tests."""

from __future__ import annotations

import contextlib
import fcntl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from tests.support.commands import cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(items: Sequence[Item], function: Callable[[Item], Result]) -> list[Result]:
    """Call a function for every item, all at once, and return the results in the items' order.

    Raises AssertionError, naming the item, for the first one whose call raised; the others are waited for.
    """

    def call(item: Item) -> Result:
        try:
            return function(item)
        except Exception as error:
            raise AssertionError(f"{item}: {error or type(error).__name__}") from error

    with ThreadPoolExecutor(max_workers=max(1, len(items))) as executor:
        return list(executor.map(call, items))


def everywhere(test: Callable[[Item], None]) -> Callable[[dict[str, Item]], None]:
    """Make of a test of one app a test of the module's ``apps``, one on each distribution, at the same time."""

    def run(apps: dict[str, Item]) -> None:
        each(list(apps.values()), test)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@contextlib.contextmanager
def reserved_processors(*, alone: bool) -> Iterator[None]:
    """Wait until there is room for a file of tests, or until no other one runs if it must be alone.

    It holds the gate while it waits, so that no other one passes it.
    """
    with (cache_directory() / "gate.lock").open("w") as gate, (cache_directory() / "processors.lock").open("w") as lock:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


def shared_hosts(node_id: str) -> str:
    """Return what has the hosts of a test: its file, or its directory, whose files share them.

    >>> shared_hosts("tests/hosts/test_sources.py::test_archive")
    'tests/hosts/test_sources.py'
    >>> shared_hosts("tests/hosts/faults/test_logs.py::test_old_logs_go")
    'tests/hosts/faults'
    """
    file = node_id.partition("::")[0]
    directory = file.rpartition("/")[0]
    return directory if directory.startswith(("tests/hosts/", "tests/security")) else file


# Roughly how long the tests of each take that share hosts: the longest begin first, so that no worker ends much later
# than the others. What is not listed takes less.
MINUTES = {
    "tests/hosts/faults": 10,
    "tests/hosts/releases": 9,
    "tests/hosts/test_damage.py": 8,
    "tests/hosts/operations": 8,
    "tests/hosts/side_by_side": 8,
    "tests/hosts/other_sites": 6,
    "tests/hosts/background": 5,
    "tests/molecule/test_molecule.py": 5,
    "tests/hosts/test_sources.py": 4,
    "tests/security": 8,
    "tests/hosts/serving": 4,
    "tests/hosts/test_shared_host.py": 4,
    "tests/hosts/test_deploy_command.py": 4,
    "tests/hosts/test_migrations.py": 4,
    "tests/hosts/test_gate.py": 3,
    "tests/hosts/test_isolation.py": 3,
    "tests/hosts/test_environment_hooks_data.py": 3,
    "tests/hosts/test_published_apps.py": 3,
    "tests/hosts/test_dependencies.py": 3,
    "tests/hosts/test_bad_input.py": 3,
    "tests/hosts/test_monitoring.py": 3,
    "tests/hosts/test_tls.py": 3,
    "tests/hosts/test_acme.py": 3,
    "tests/hosts/test_loaded.py": 3,
    "tests/packaging/test_packaging.py": 2,
    "tests/hosts/test_access.py": 3,
}


def minutes(node_id: str) -> float:
    """Return roughly how long the tests take that share a test's hosts.

    >>> minutes("tests/hosts/test_damage.py::test_x") > minutes("tests/hosts/test_sources.py::test_x")
    True
    """
    return MINUTES.get(shared_hosts(node_id), 1 if node_id.startswith("tests/hosts/") else 0)
