"""What the role asks for when it fetches the source, and the packages that the host needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .paths import paths
from .values import Values

if TYPE_CHECKING:
    from collections.abc import Mapping


def clones_on_host(variables: Mapping[str, Any]) -> bool:
    """Tell whether the host itself fetches the source from a git repository."""
    values = Values(variables)
    return values.text("source_type") == "git" and values.text("git_on") == "host"


def needs_key_file(variables: Mapping[str, Any]) -> bool:
    """Tell whether flask_apache_git_key is the path of a file on the control node, not a key's text."""
    key = Values(variables).text("git_key")
    return key != "" and "-----" not in key


def fetch_request(
    variables: Mapping[str, Any], *, git_key: str, have: list[str], plan: bool, cache: str
) -> dict[str, Any]:
    """Return what fetch.py reads.

    ``git_key`` is the text of the deploy key; ``have`` are the ids of sources that the host has; ``cache`` is the
    control node's directory, and the host has its own. The result holds secrets.
    """
    values, place, on_host = Values(variables), paths(Values(variables)), clones_on_host(variables)
    return {
        "type": values.text("source_type"),
        "source": values.text("source"),
        "source_directory": values.text("source_directory"),
        "source_exclude": values.texts("source_exclude"),
        "source_gitignore": values.flag("source_gitignore"),
        "git_version": values.text("git_version"),
        "git_depth": values.number("git_depth"),
        "git_submodules": values.flag("git_submodules"),
        "git_key": git_key,
        "git_known_hosts": values.texts("git_known_hosts"),
        "git_signers": values.texts("git_signers"),
        "archive_checksum": values.text("archive_checksum"),
        "package_requirements": values.texts("package_requirements"),
        "seconds": values.number("build_timeout"),
        "have": have,
        "plan": plan,
        "cache": place.cache if on_host else cache,
        "user": place.build_user if on_host else "",
        "incoming": f"{place.home}/incoming",
    }


def packages(variables: Mapping[str, Any], constants: Mapping[str, Any]) -> list[str]:
    """Return the distribution's packages that the host must have."""
    values, known = Values(variables), constants["__flask_apache_packages"]
    return [
        *known["common"],
        *known[values.text("mod_wsgi_source")],
        *(known["git"] if clones_on_host(variables) else []),
        *(known["self_signed"] if values.text("tls") == "self_signed" else []),
        *values.texts("system_packages"),
    ]
