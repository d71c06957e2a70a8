"""All subjects, one after the other; one that cannot be looked at hides no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_apachectl.diagnosis import (
    certificates,
    changes,
    checks,
    clock,
    permissions,
    pools,
    reloaders,
    space,
    upgrades,
)
from flask_apachectl.diagnosis.finding import RUN_THE_ROLE, WARNING, Kind
from flask_apachectl.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from flask_apachectl.app import App
    from flask_apachectl.diagnosis.finding import Finding

UNKNOWN = Kind("Doctor", "A subject cannot be looked at", WARNING, "what is wrong there is not known")
MODULES = (checks, changes, certificates, permissions, space, pools, clock, upgrades, reloaders)
KINDS = (*(kind for module in MODULES for kind in module.KINDS), UNKNOWN)
FAULTS = (OSError, RefusedError, ValueError, LookupError, TypeError, ArithmeticError)


# What is so when a subject has no error: of an app, and of the host. The other subjects only have warnings.
SOUND = {
    certificates.SUBJECT: "its certificate is good",
    permissions.SUBJECT: "nobody lacks a right, or has one too many",
    space.SUBJECT: "there is space where it is written to",
}
SOUND_OF_HOST = {permissions.SUBJECT: "only root can change Apache's configuration"}


def of_host(apps: Sequence[App]) -> dict[str, list[Finding]]:
    """Return what is wrong with the host of these apps, by subject."""
    looks: dict[str, Callable[[], Iterable[Finding]]] = {
        permissions.SUBJECT: lambda: permissions.of_host(apps),
        pools.SUBJECT: pools.of_host,
        clock.SUBJECT: clock.of_host,
        upgrades.SUBJECT: upgrades.of_host,
        reloaders.SUBJECT: reloaders.of_host,
    }
    return {subject: list(_guarded(subject, look, "")) for subject, look in looks.items()}


def of_app(app: App, drifted: Sequence[str]) -> dict[str, list[Finding]]:
    """Return what is wrong with an app, by subject; ``drifted`` files are not as they were installed or built."""
    looks: dict[str, Callable[[], Iterable[Finding]]] = {
        changes.SUBJECT: lambda: changes.of_app(app, drifted),
        certificates.SUBJECT: lambda: certificates.of_app(app),
        permissions.SUBJECT: lambda: permissions.of_app(app),
        space.SUBJECT: lambda: space.of_app(app),
        pools.SUBJECT: lambda: pools.of_app(app),
        clock.SUBJECT: lambda: clock.of_app(app),
    }
    if not app.site.certificate:
        del looks[certificates.SUBJECT]
    return {subject: list(_guarded(subject, look, app.name)) for subject, look in looks.items()}


def _guarded(subject: str, look: Callable[[], Iterable[Finding]], app: str) -> Iterator[Finding]:
    """Yield the findings of a subject."""
    try:
        yield from look()
    except FAULTS as error:
        problem = f"{type(error).__name__}: {error}"
        yield UNKNOWN.found(f"{subject.lower()} cannot be looked at: {problem}", RUN_THE_ROLE, app)
