"""A deploy renders the templates as Ansible's own module ``template`` does."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tests.support.commands import ROOT
from tests.support.venv import PYTHON, environment
from tests.unit.programs import ROLE
from tests.unit.role.conftest import derived, files

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.role.conftest import Rendered

CASES = ("every-6.1.1", "units", "static")  # together they render every template

# Jinja that renders all files of all cases.
EVERY_FILE = """\
{% set found = {} %}
{% for name, file in files.items() %}
{%   set variables = {'app': apps[file.case]} | combine(file.variables) %}
{%   set text = lookup('ansible.builtin.template', file.template, template_vars=variables) %}
{%   set _ = found.update({name: text}) %}
{% endfor %}
{{ found | to_json }}
"""
PLAYBOOK = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {
                "name": "Render every file",
                "ansible.builtin.template": {"src": "every_file.j2", "dest": "{{ scratch }}/all.json", "mode": "0600"},
            },
            {
                "name": "Write one as a task of a role would",
                "ansible.builtin.template": {
                    "src": "apache/app.conf.j2",
                    "dest": "{{ scratch }}/app.conf",
                    "mode": "0600",
                },
                "vars": {"app": "{{ apps['static'] }}", "vhost": "{{ apps['static'].vhosts[0] }}"},
            },
        ],
    }
]


def test_ansible_renders_the_same(rendered: Rendered, tmp_path: Path) -> None:
    found = {case: files(derived(case)) for case in CASES}
    variables: dict[str, Any] = {
        "apps": {case: derived(case).as_app() for case in CASES},
        "files": {
            f"{case} {name}": {"case": case, **asdict(file)} for case in CASES for name, file in found[case].items()
        },
        "scratch": str(tmp_path),
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    (tmp_path / "templates").symlink_to(ROLE / "templates")
    (tmp_path / "every_file.j2").write_text(EVERY_FILE)
    (tmp_path / "inventory.json").write_text(json.dumps({"all": {"hosts": {"localhost": variables}}}))
    (tmp_path / "playbook.json").write_text(json.dumps(PLAYBOOK))
    done = subprocess.run(
        [PYTHON.with_name("ansible-playbook"), "-i", "inventory.json", "playbook.json"],
        cwd=tmp_path,
        env=environment(ANSIBLE_CONFIG=str(ROOT / "ansible.cfg")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    by_ansible = json.loads((tmp_path / "all.json").read_text())
    assert by_ansible == {f"{case} {name}": text for case in CASES for name, text in rendered[case].items()}
    assert (tmp_path / "app.conf").read_text() == rendered["static"]["apache/app.conf.j2"]


def test_these_cases_render_every_template() -> None:
    texts = {str(path.relative_to(ROLE / "templates")) for path in (ROLE / "templates").rglob("*.j2")}
    tops = {file.template for case in CASES for file in files(derived(case)).values()}
    included = {name for name in texts if name.startswith(("apache/app/", "apache/vhost/"))}
    assert tops | included | {"systemd/command.j2", "systemd/unit.j2"} == texts
