"""The one error that a command ends with on purpose."""

from __future__ import annotations


class RefusedError(Exception):
    """The request cannot be carried out: the message says why, and what to do."""
