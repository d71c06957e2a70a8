"""Kills the engine at any moment."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Killed(KeyboardInterrupt):
    """The engine's process was killed at this moment."""


class Killer:
    """Kills the engine at the n-th moment before or after a change of a file.

    A hard kill is like SIGKILL or a power cut: no cleanup runs either.
    """

    def __init__(self) -> None:
        self.left = -1  # remaining moments; negative: never
        self.hard = False
        self.dead = False

    @contextlib.contextmanager
    def armed(self, moments: int, *, hard: bool) -> Iterator[None]:
        """Kill what runs inside after a number of moments."""
        self.left, self.hard, self.dead = moments, hard, False
        try:
            yield
        finally:
            self.left, self.dead = -1, False

    def moment(self) -> None:
        """Count a moment, and kill at the last one."""
        if self.dead and self.hard:
            raise Killed
        if self.left == 0 and not self.dead:
            self.dead = True
            raise Killed
        self.left -= 1

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function with a moment before it, and one after it."""

        def killable(*arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
            if self.left < 0 and not self.dead:
                return function(*arguments, **keywords)
            self.moment()
            result = function(*arguments, **keywords)
            self.moment()
            return result

        return killable
