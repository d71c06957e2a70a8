"""Do the same on several hosts at the same time: half of a deploy is waiting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
