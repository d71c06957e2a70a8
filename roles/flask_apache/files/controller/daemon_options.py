"""Which mod_wsgi the host has, and what WSGIDaemonProcess is told of an app's pools."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .values import PREFIX, Values, is_on

if TYPE_CHECKING:
    from collections.abc import Mapping

DAEMON = f"{PREFIX}daemon_"


def version(text: str) -> tuple[int, ...]:
    """Return a version as numbers that compare: ``6.0`` equals ``6.0.0``."""
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    return tuple([*numbers, 0, 0, 0][: max(3, len(numbers))])


def mod_wsgi_version(values: Values, host: Mapping[str, Any], distributions: Mapping[str, Any]) -> str:
    """Return the version of the mod_wsgi that the host has, or will have once its package is installed."""
    if values.text("mod_wsgi_source") == "pip":
        return values.text("mod_wsgi_version")
    packaged = distributions[host["distribution"]][host["distribution_version"]]
    return str(host["mod_wsgi_package"] or packaged)


def daemon_options(variables: Mapping[str, Any], mod_wsgi: str, since: Mapping[str, str]) -> list[str]:
    """Return the options of the pools as ``name=value``, sorted.

    Every variable ``flask_apache_daemon_*`` is an option by the same name. Null leaves it to mod_wsgi, and an option
    that is newer than the installed mod_wsgi is left out: ``since`` has the versions that options came with.
    """
    options = []
    for variable in sorted(variables):
        value = variables[variable]
        if not variable.startswith(DAEMON) or value is None or value == []:
            continue
        option = variable.removeprefix(DAEMON).replace("_", "-")
        if version(mod_wsgi) < version(since.get(option, "0")):
            continue
        if option == "server-metrics":
            value = "On" if is_on(value) else "Off"
        elif option == "supplementary-groups":
            value = ",".join(value)
        options.append(f"{option}={value}")
    return options
