"""The published archives, used as users do: installed elsewhere, read with ansible-doc, and deployed with."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support import archives, tools, venv
from tests.support.commands import ROOT, is_root, run
from tests.support.parallel import each
from tests.support.playbooks import Play, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host

DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
APP = """
from flask import Flask
app = Flask(__name__)
app.add_url_rule("/", view_func=lambda: "{text}")
"""
PLAYBOOK = """
- hosts: flask_apache
  become: true
  roles: [{role}]
"""


@dataclass(frozen=True)
class Elsewhere:
    """A directory outside the repository, where Ansible only finds what was installed there."""

    path: Path

    @property
    def collection(self) -> Path:
        """The installed collection."""
        return self.path / "collections/ansible_collections/flask_apache/deploy"

    @property
    def role(self) -> Path:
        """The installed role."""
        return self.path / "roles/flask_apache"

    def run(
        self, program: str, *arguments: str | Path, ends_with: int = 0, programs: Path = venv.PYTHON.parent
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of Ansible's here. Raises AssertionError when it ends in another way."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        env = {
            **venv.environment(),
            **inherited,
            "ANSIBLE_HOME": str(self.path / "home"),
            "ANSIBLE_ROLES_PATH": str(self.path / "roles"),
            "ANSIBLE_COLLECTIONS_PATH": str(self.path / "collections"),
            "PATH": tools.environment(programs)["PATH"],
        }
        done = subprocess.run(
            [programs / program, *arguments],
            cwd=self.path,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = (done.stdout + done.stderr)[-6000:]
        assert done.returncode == ends_with, f"{program} ended with {done.returncode}\n{said}"
        return done

    def play(self, playbook: str, text: str, programs: Path) -> Play:
        """Deploy the tiny app in ./app, which answers with a text, with the Ansible of a virtual environment."""
        (self.path / "app/app.py").write_text(APP.format(text=text))
        return read(self.run("ansible-playbook", "--inventory=inventory.json", playbook, programs=programs))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """Return a directory into which both archives are installed, with a tiny app."""
    here = Elsewhere(tmp_path_factory.mktemp("elsewhere"))
    published = here.path / "published"
    published.mkdir()
    here.run("ansible-galaxy", "collection", "install", archives.build_collection(published), "-p", "collections")
    archive = f"file://{archives.build_role(published)},0.1.0,flask_apache"
    here.run("ansible-galaxy", "role", "install", archive, "-p", "roles")
    (here.path / "app").mkdir()
    (here.path / "app/requirements.txt").write_text("flask==3.1.3\n")
    (here.path / "role.yml").write_text(PLAYBOOK.format(role="flask_apache"))
    (here.path / "collection.yml").write_text(PLAYBOOK.format(role="flask_apache.deploy.flask_apache"))
    return here


def names(directory: Path) -> set[str]:
    """List the files below a directory, by their paths below it."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_the_role_is_complete(elsewhere: Elsewhere) -> None:
    galaxys_own = {"meta/.galaxy_install_info"}
    files = names(elsewhere.role) - galaxys_own
    assert files == names_of_the_repository("roles/flask_apache/")
    assert {"README.md", "LICENSE", "meta/main.yml", "meta/argument_specs.yml", "defaults/main.yml"} <= files
    assert_role_is_whole(elsewhere.role)


def test_the_collection_is_complete_and_holds_nothing_else(elsewhere: Elsewhere) -> None:
    files = names(elsewhere.collection)
    wanted = {
        path
        for top in ("playbooks/", "plugins/", "roles/", "sample_app/", "meta/", "docs/", "inventory/")
        for path in names_of_the_repository(top, below=False)
    }
    assert wanted <= files
    assert {"README.md", "LICENSE", "CHANGELOG.md", "meta/runtime.yml", "playbooks/site.yml"} <= files
    tops = {path.partition("/")[0] for path in files}
    assert {path for path in files if path.startswith("tests/")} == names_of_the_repository(
        "tests/sanity/", below=False
    )
    assert not tops & {"tests", "test", "molecule", "deploy", "Dockerfile", "benchmarks", "ansible.cfg"}
    assert not [top for top in tops if top.startswith(".")]
    assert_role_is_whole(elsewhere.collection / "roles/flask_apache")
    role = elsewhere.collection / "roles/flask_apache"
    assert not (elsewhere.collection / "plugins/callback/flask_apache_steps.py").is_symlink()
    for plugin, source in (("modules", "library"), ("action", "action_plugins")):
        installed = elsewhere.collection / "plugins" / plugin / "flask_apache_engine.py"
        assert not installed.is_symlink()
        assert installed.read_bytes() == (role / source / "flask_apache_engine.py").read_bytes()


def names_of_the_repository(top: str, *, below: bool = True) -> set[str]:
    """List the repository's files below a directory of it."""
    found = {str(path) for path in archives.working_tree() if str(path).startswith(top)}
    return {path.removeprefix(top) for path in found} if below else found


def assert_role_is_whole(role: Path) -> None:
    """Expect all of the role's Python, and no link that leaves the role."""
    ours = ROOT / archives.ROLE
    modules = sorted(path.relative_to(ours) for path in ours.rglob("*.py"))
    assert {path.parts[0] for path in modules} == {"action_plugins", "files", "library"}
    assert sorted(path.relative_to(role) for path in role.rglob("*.py")) == modules
    assert [path for path in modules if (ours / path).read_bytes() != (role / path).read_bytes()] == []
    assert not [path for path in role.rglob("*") if path.is_symlink()]


@pytest.mark.skipif(not is_root(), reason="the engine runs as root only")
@pytest.mark.parametrize("playbook", ["role.yml", "collection.yml", "flask_apache.deploy.site"])
def test_what_is_installed_runs_its_own_engine(elsewhere: Elsewhere, playbook: str) -> None:
    """In check mode on this machine: up to the checks of the variables, for which the engine has looked at it."""
    elsewhere.run("ansible-playbook", "--syntax-check", playbook)
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": str(venv.PYTHON),
        "flask_apache_port": 0,
        "flask_apache_source": "{{ inventory_dir }}",
    }
    local = {"flask_apache": {"hosts": {"localhost": {}}, "vars": variables}}
    (elsewhere.path / "local.json").write_text(json.dumps(local))
    arguments = ("--check", "--inventory=local.json", "--extra-vars=ansible_become=false", playbook)
    done = elsewhere.run("ansible-playbook", *arguments, ends_with=2)
    assert "flask_apache_port must be a number from 1 to 65535, got 0" in done.stdout, done.stdout


@pytest.mark.parametrize("name", ["flask_apache.deploy.flask_apache", "flask_apache"])
def test_ansible_doc_describes_the_role(elsewhere: Elsewhere, name: str) -> None:
    text = documentation(elsewhere, name)
    for words in (
        "Deploy a Flask app with Apache and mod_wsgi",
        "flask_apache_wsgi The WSGI application: `module:callable'",
        "flask_apache_daemon_threads",
    ):
        assert words in text


def test_ansible_doc_shows_code_whole(elsewhere: Elsewhere) -> None:
    assert "(')" not in documentation(elsewhere, "flask_apache")


def documentation(elsewhere: Elsewhere, name: str) -> str:
    """Return ansible-doc's output for a role, in one line."""
    return " ".join(elsewhere.run("ansible-doc", "-t", "role", name).stdout.split())


@pytest.fixture(scope="module")
def pair(start_host: Callable[..., Host], elsewhere: Elsewhere) -> list[Host]:
    """Return a host of each distribution; the inventory names them."""
    found = each(DISTRIBUTIONS, start_host)
    variables = {
        "ansible_connection": "community.docker.docker",
        "ansible_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
        "flask_apache_source": "{{ inventory_dir }}/app",
    }
    inventory = {"flask_apache": {"hosts": {host.name: {} for host in found}, "vars": variables}}
    (elsewhere.path / "inventory.json").write_text(json.dumps(inventory))
    return found


def version_of(programs: Path) -> str:
    """Return the version of the ansible-core in a virtual environment."""
    found = re.search(r"\[core ([\d.]+)", run([programs / "ansible", "--version"]).stdout)
    assert found
    return found[1]


def test_the_oldest_and_the_newest_ansible_are_tried() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]
    assert runtime == f">={version_of(tools.ensure('oldest'))}"
    minimum = yaml.safe_load((ROOT / archives.ROLE / "meta/main.yml").read_text())["galaxy_info"]["min_ansible_version"]
    assert runtime == f">={minimum}.0"
    newest = dict(re.findall(r"ansible-core==(\S+); python_version (\S+)", (ROOT / "requirements.txt").read_text()))
    assert version_of(tools.ensure("newest")) in newest


def test_the_role_the_collections_role_and_its_playbook_deploy(elsewhere: Elsewhere, pair: list[Host]) -> None:
    """Each with another version of Ansible."""
    for playbook, text, programs in (
        ("role.yml", "by the role", venv.PYTHON.parent),
        ("collection.yml", "by the collection's role", tools.ensure("oldest")),
        ("flask_apache.deploy.site", "by the collection's playbook", tools.ensure("newest")),
    ):
        play = elsewhere.play(playbook, text, programs)
        assert all(recap.changed for recap in play.recap.values())
        assert "[DEPRECATION WARNING]" not in play.output
        for host in pair:
            assert host.http("/", host.name).text == text
        again = elsewhere.play(playbook, text, programs)
        assert again.changed == 0, again.output
