"""Directives of the user's own from a file, whose addresses the role cannot know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import small_app
from tests.support.parallel import each
from tests.support.steps import Run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.hosts import Host

NAME = "included.example.com"
SNIPPET = "/etc/apache2/snippets/challenges.conf"
CHALLENGES = """
Alias {path} /var/www/challenges
<Directory /var/www/challenges>
    Require all granted
</Directory>
"""


def test_what_an_included_file_takes(pair: list[Host], tmp_path: Path) -> None:
    """Its aliases are Apache's, all else is the app's; what changes in it has effect after a reload."""
    source = small_app.write(tmp_path, "included")
    variables = {
        "app": "included",
        "wsgi": "app:app",
        "server_name": NAME,
        "requirements": [],
        "source": str(source),
        "directives": [f"Include {SNIPPET}", "IncludeOptional /etc/apache2/snippets/none/*.conf"],
    }

    def go(host: Host) -> None:
        host.write(SNIPPET, CHALLENGES.format(path="/.well-known/acme-challenge"))
        host.write("/var/www/challenges/token", "the answer")
        Run(host, variables).deploy()
        assert host.http("/.well-known/acme-challenge/token", NAME).text == "the answer"
        assert host.http("/.well-known/acme-challenge/none", NAME).status == 404
        for path in ("/echo", "/echo/.well-known/acme-challenge/token", "/echo/x%20y"):
            assert host.http(path, NAME).json()["mark"] == "included"
        again = Run(host, variables)
        again.deploy()
        assert not again.changed
        host.write(SNIPPET, CHALLENGES.format(path="/elsewhere"))
        host.run("systemctl reload apache2")
        assert host.http("/elsewhere/token", NAME).text == "the answer"
        assert host.http("/.well-known/acme-challenge/token", NAME).json()["mark"] == "included"
        doctor = host.run("flask-apachectl --app included doctor", check=False)
        assert doctor.returncode == 0, doctor.stdout
        Run(host, variables).step("remove")
        assert host.read(SNIPPET) == CHALLENGES.format(path="/elsewhere")
        host.run("rm -r /etc/apache2/snippets")

    each(pair, go)
