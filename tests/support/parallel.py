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
