"""The one error that a command ends with on purpose."""

from __future__ import annotations


class RefusedError(Exception):
    """The request cannot be carried out: the message says why, and what to do."""


class FailedProgramError(RefusedError):
    """A program has failed. The message is the end of its output; ``output`` is all of it."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output
