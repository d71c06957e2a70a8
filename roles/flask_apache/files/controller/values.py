"""The role's variables in the types that the role works with.

Ansible passes on what it finds convertible, such as ``"8080"`` for a number or ``"yes"`` for a flag. The checks have
refused everything else before, so nothing here reports errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "flask_apache_"
ON = ("true", "yes", "on", "1")


def is_on(value: object) -> bool:
    """Read a flag as Ansible's filter ``bool`` does."""
    return str(value).lower() in ON


@dataclass(frozen=True)
class Values:
    """Read the variables by their names without ``flask_apache_``."""

    variables: Mapping[str, Any]

    def raw(self, name: str) -> Any:  # noqa: ANN401 - a variable has any type
        """Return a variable as it is."""
        return self.variables[PREFIX + name]

    def text(self, name: str, default: str = "") -> str:
        """Return a string; the default for null and for an empty one."""
        value = self.raw(name)
        return default if value is None or value == "" else str(value)

    def number(self, name: str) -> int:
        """Return a whole number."""
        return int(self.raw(name))

    def flag(self, name: str) -> bool:
        """Return a flag."""
        return is_on(self.raw(name))

    def texts(self, name: str) -> list[str]:
        """Return a list of strings; null is an empty one."""
        return [str(value) for value in self.raw(name) or []]

    def mappings(self, name: str) -> list[Mapping[str, Any]]:
        """Return a list of mappings."""
        return list(self.raw(name))
