"""Render the role's templates for all cases, by the code that renders them in a deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from controller.declaration import Derived, derive
from controller.files import Template, fragments, harden_server, pools, server, templates, unit_files, vhosts, wsgi_load
from tests.unit.programs import ROLE, load
from tests.unit.role.cases import CASES, CONSTANTS, variables_of

if TYPE_CHECKING:
    from types import ModuleType

Rendered = dict[str, dict[str, str]]  # {case: {template: text}}


def derived(case: str) -> Derived:
    """Return what an app is to have in a case."""
    return derive(variables_of(case), CASES[case][1], CONSTANTS)


def files(derived: Derived) -> dict[str, Template]:
    """Return what is rendered, by the template's name; variants have theirs after a colon.

    With TLS, those of the virtual host that leads visitors to HTTPS have ``:leading`` after it.
    """
    load = wsgi_load(derived)
    own = [*templates(derived), pools(derived), *unit_files(derived), *([load] if load else [])]
    leading = {host.name: ":leading" if host.leads else "" for host in derived.paths.vhosts}
    return {
        **{name_of(file): file for file in own},
        **{f"{file.template}{leading[host]}": file for host, file in fragments(derived).items()},
        **{
            f"{file.template}{leading[host]}:{name}": file
            for host, variants in vhosts(derived).items()
            for name, file in variants.items()
        },
        server().template: server(),
        **{f"{each.template}:{name}": each for name, each in harden_server().items()},
    }


def name_of(file: Template) -> str:
    """Return the template's name; pages have one template, and the names of their files."""
    return f"pages/{file.path.rpartition('/')[2]}" if file.template.startswith("pages/") else file.template


def render(plugin: ModuleType, found: Derived) -> dict[str, str]:
    """Return the text of every file of an app."""
    renderer = plugin.renderer(ROLE / "templates", found.as_app(), plugin.MANAGED)
    return {name: renderer(file) for name, file in files(found).items()}


@pytest.fixture(scope="session")
def rendered() -> Rendered:
    """Return the text of every file in every case."""
    plugin = load("action_plugins/flask_apache_engine.py")
    return {case: render(plugin, derived(case)) for case in CASES}
