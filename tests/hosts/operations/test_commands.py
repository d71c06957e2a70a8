"""Commands and a shell that run as the app."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.hosts.operations.shared import ONE, QUICK, without_apache
from tests.support.parallel import everywhere

if TYPE_CHECKING:
    from tests.support.releases import Deployed


@everywhere
def test_run(app: Deployed) -> None:
    """A command runs with the app's user, directory, environment and packages; its exit code is returned."""
    app.environment({"SETTING": "for run"})
    release = app.deploy("run", import_seconds=QUICK)
    code = (
        "import flask, getpass, json, os, sys; print(json.dumps([getpass.getuser(), os.getcwd(), sys.prefix, "
        "os.environ['SETTING'], os.environ['FLASK_APACHE_RELEASE'], os.getgroups()]))"
    )
    command = ["flask-apachectl", "--app", ONE, "run", "--"]
    user, directory, prefix, setting, running, groups = json.loads(
        app.host.run([*command, "python", "-c", code]).stdout
    )
    assert (user, setting, running) == (ONE, "for run", release)
    assert directory == f"/srv/flask-apache/{ONE}/releases/{release}/app"
    assert prefix.startswith(f"/srv/flask-apache/{ONE}/")
    assert 0 not in groups
    assert app.host.run([*command, "python", "-c", "exit(3)"], check=False).returncode == 3
    assert "healthz" in app.host.run([*command, "flask", "routes"]).stdout
    with without_apache(app):
        assert app.host.run([*command, "python", "-c", "print(6 * 7)"]).stdout == "42\n"
    app.environment({})


@everywhere
def test_shell(app: Deployed) -> None:
    """The shell is Flask's shell, with the app loaded."""
    done = app.host.run(["flask-apachectl", "--app", ONE, "shell"], stdin="print(app.import_name, 6 * 7)\n")
    assert "marked 42" in done.stdout
