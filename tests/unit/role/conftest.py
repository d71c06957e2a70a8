"""Render the role's templates by Ansible itself, once for all cases."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from controller.declaration import Derived, derive
from controller.files import Template, shared, templates, wsgi_load
from tests.support.commands import ROOT
from tests.support.venv import PYTHON, environment
from tests.unit.programs import ROLE
from tests.unit.role.cases import CASES, CONSTANTS, variables_of

if TYPE_CHECKING:
    from pathlib import Path

Rendered = dict[str, dict[str, str]]  # {case: {template: text}}

# Jinja that renders all files of a host.
EVERY_FILE = """\
{% set found = [] %}
{% for name, file in files.items() %}
{%   set variables = {'app': app} | combine(file.variables) %}
{%   set _ = found.append([name, lookup('ansible.builtin.template', file.template, template_vars=variables)]) %}
{% endfor %}
{{ found | to_json }}
"""
PLAYBOOK = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Render every file for every case",
                "ansible.builtin.set_fact": {"rendered": "{{ lookup('ansible.builtin.template', 'every_file.j2') }}"},
            },
            {
                "name": "Write them all to one file",
                "ansible.builtin.copy": {
                    "content": "{{ dict(names | zip(names | map('extract', hostvars, 'rendered'))) | to_json }}",
                    "dest": "{{ scratch }}/rendered.json",
                    "mode": "0600",
                },
                "vars": {"names": "{{ groups['all'] }}"},
                "run_once": True,
            },
            {
                "name": "Write one as a task of the role would",
                "ansible.builtin.template": {
                    "src": "apache/app.conf.j2",
                    "dest": "{{ scratch }}/app.conf",
                    "mode": "0600",
                },
                "when": "inventory_hostname == 'every-6.1.1'",
            },
        ],
    }
]


def files(derived: Derived) -> dict[str, Template]:
    """Return what is rendered, by the template's name; variants have theirs after a colon."""
    load = wsgi_load(derived)
    return {
        **{file.template: file for file in [*templates(derived), *([load] if load else [])]},
        **{f"{file.template}:{name}": file for variants in shared(derived).values() for name, file in variants.items()},
    }


def render(cases: dict[str, tuple[dict[str, Any], dict[str, Any]]], scratch: Path) -> Rendered:
    """Return the text of every file in every case of variables and a host."""
    hosts = {}
    for name, (variables, host) in cases.items():
        derived = derive(variables, host, CONSTANTS)
        hosts[name] = {
            "app": derived.as_app(),
            "files": {name: asdict(file) for name, file in files(derived).items()},
            "scratch": str(scratch),
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
        }
    (scratch / "templates").symlink_to(ROLE / "templates")
    (scratch / "every_file.j2").write_text(EVERY_FILE)
    (scratch / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (scratch / "playbook.json").write_text(json.dumps(PLAYBOOK))
    done = subprocess.run(
        [PYTHON.with_name("ansible-playbook"), "-i", "inventory.json", "playbook.json"],
        cwd=scratch,
        env=environment(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    texts: Rendered = {}
    for name, found in json.loads((scratch / "rendered.json").read_text()).items():
        texts[name] = dict(json.loads(found) if isinstance(found, str) else found)
    return texts


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """Return the text of every file in every case."""
    cases = {case: (variables_of(case), CASES[case][1]) for case in CASES}
    scratch = tmp_path_factory.mktemp("templates")
    texts = render(cases, scratch)
    assert texts["every-6.1.1"]["apache/app.conf.j2"] == (scratch / "app.conf").read_text()
    return texts
