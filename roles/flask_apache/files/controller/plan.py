"""Check the role's variables against each other, the source and the host, before anything is changed."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from controller.checks import (
    access,
    dependencies,
    environment,
    gate,
    hardening,
    pages,
    patterns,
    ranges,
    served_metrics,
    site,
    source,
    tls,
    types,
    units,
)
from controller.checks import host as host_checks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from controller.checks.values import Variables


def check(
    variables: Mapping[str, Any],
    known: Iterable[str],
    host: Variables,
    distributions: Mapping[str, Mapping[str, str]],
    specs: dict[str, Any],
) -> list[str]:
    """Return all errors, one line each, in the order of the checks.

    ``variables``: every ``flask_apache_*`` variable, as plain data; ``known``: the names that the role has; ``host``:
    the answer of `flask-apachectl inspect`; ``distributions``: the supported ones, with their releases; ``specs``: the
    content of meta/argument_specs.yml. Reads nothing but files on the control node that the variables name.
    """
    options = types.options_of(specs)
    names = sorted(known)
    given = {name.removeprefix("flask_apache_"): value for name, value in variables.items() if name in names}
    own = types.usable(given, options)
    of_variables = [
        *types.check(given, options),
        *patterns.check_characters(own),
        *patterns.check(own),
        *ranges.check(own, options),
        *site.check_names(own),
        *source.check_wsgi(own),
        *site.check_static(own),
        *environment.check(own),
        *units.check_units(own, host),
        *units.check_metrics(own, host),
        *served_metrics.check(own, host),
        *units.check_hooks(own),
        *units.check_data_directories(own),
        *source.check(own),
        *dependencies.check_files(own),
        *dependencies.check_indexes(own),
        *dependencies.check_arguments(own),
        *dependencies.check_wheelhouse(own),
        *host_checks.check_mod_wsgi(own),
        *tls.check(own),
        *access.check(own),
        *gate.check(own),
        *hardening.check(own),
        *pages.check(own),
    ]
    of_host = [
        *host_checks.check(own, host, distributions),
        *host_checks.check_user(own, host),
        *host_checks.check_build_user(own, host),
        *site.check_logs(own, host),
        *tls.check_files(own, host),
        *site.check_port(own, host),
        *access.check_port(own, host),
        *site.check_apps(own, host),
        *site.check_sites(own, host),
    ]
    first = one_for_each_place(of_variables)
    others = [error for error in of_host if place_of(error) not in first]
    return list(dict.fromkeys([*unknown_names(variables, names), *first.values(), *others]))


def warnings(variables: Mapping[str, Any], host: Variables) -> Iterator[str]:
    """Yield what is accepted, but is not right yet, or will soon be wrong."""
    own = {name.removeprefix("flask_apache_"): value for name, value in variables.items()}
    yield from tls.warnings(own, host)
    yield from access.warnings(own, host)
    yield from units.metrics_warnings(own, host)


def place_of(error: str) -> str:
    """Return what an error is about: a variable, or a part of one."""
    return error.partition(" must ")[0]


def one_for_each_place(errors: Iterable[str]) -> dict[str, str]:
    """Return only the first error of each place: a value of the wrong type usually has the wrong form, too."""
    found: dict[str, str] = {}
    for error in errors:
        found.setdefault(place_of(error), error)
    return found


def unknown_names(variables: Iterable[str], known: list[str]) -> Iterator[str]:
    """Report variables that the role does not have. Their values may be secrets."""
    for name in sorted(set(variables) - set(known)):
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
        yield f"{name} must not be set: the role has no such variable; did you mean {nearest[0]}?"
