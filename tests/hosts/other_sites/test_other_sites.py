"""Other people's sites: what Apache serves before an app comes, changes and goes, it serves afterwards."""

from __future__ import annotations

import contextlib
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.hosts.other_sites.worlds import ALL, APP, WORLDS, Setup, World, loopback, site
from tests.support import hosts, small_app
from tests.support.parallel import each
from tests.support.steps import Run, StepError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.hosts.other_sites.worlds import Question
    from tests.support.hosts import Host

BACK = "/root/before"
# Answers (status, body) of all addresses, ports, names and paths that are given.
ASK = """
import http.client, json, re, sys
found = {}
# The one thing that may differ: Apache's own error pages do not tell its version any more.
VERSION = re.compile(r"(?<=<address>)Apache/\\S+.*?(?= Server at )")
for address, port, name, path in json.load(sys.stdin):
    connection = http.client.HTTPConnection(address, port, timeout=20)
    try:
        connection.request("GET", path, headers={"Host": name})
        answer = connection.getresponse()
        text = VERSION.sub("Apache", answer.read().decode(errors="replace").replace(sys.argv[1], "HOST"))
        found[f"{address} {port} {name} {path}"] = [answer.status, text[-300:]]
    except OSError as error:
        found[f"{address} {port} {name} {path}"] = [0, type(error).__name__]
json.dump(found, sys.stdout)
"""


def test_there_are_many_ways() -> None:
    """The table is not empty by accident."""
    assert len({name for world in WORLDS.values() for name in world.setups}) >= 18


@dataclass(frozen=True)
class Place:
    """A host with an IPv6 loopback, whose configuration of Apache is kept, and the source of an app for it."""

    host: Host
    source: Path

    def __repr__(self) -> str:
        """Return the host's name, for messages."""
        return self.host.name

    def run(self, **variables: object) -> Run:
        """Return a run for the app."""
        own = {"app": "shop", "wsgi": "app:app", "server_name": APP, "requirements": [], "source": str(self.source)}
        return Run(self.host, {**own, **variables})

    def restore(self) -> None:
        """Remove the app, and put Apache's configuration back."""
        with contextlib.suppress(StepError):
            self.run().step("remove")
        rotation = "/etc/logrotate.d/apache2"
        self.host.run(f"rm -rf /etc/apache2 /srv/others; cp -a {BACK} /etc/apache2; cp -a {BACK}.logrotate {rotation}")
        self.host.run("systemctl reset-failed apache2; systemctl restart apache2")


@pytest.fixture(scope="module")
def started(image: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Place]]:
    """Start a host of each Debian release."""
    source = small_app.write(tmp_path_factory.mktemp("source"), "shop")
    (source / "static").mkdir()
    (source / "static/x.php").write_text(PHP)

    def start(name: str) -> Place:
        image(name)
        host = hosts.start(name, flags=["--sysctl=net.ipv6.conf.all.disable_ipv6=0"])
        host.run(f"cp -a /etc/apache2 {BACK} && cp -a /etc/logrotate.d/apache2 {BACK}.logrotate")
        return Place(host, source)

    places = each(["debian-12-hot", "debian-13-hot"], start)
    yield places
    for place in places:
        place.host.remove()


@pytest.fixture
def places(started: list[Place]) -> Iterator[list[Place]]:
    """Return the hosts, which are afterwards as they were."""
    yield started
    each(started, Place.restore)


def filled(host: Host, text: str) -> str:
    """Return a text with the host's address."""
    return text.replace("@IP@", host.ip)


def build(host: Host, world: World) -> None:
    """Make a host what a world says, and start Apache."""
    for path in world.without:
        host.run(["rm", f"/etc/apache2/{path}"])
    host.run("a2enmod -q cgid >/dev/null; mkdir -p /srv/others/daemon.example /srv/others/redirect.example")
    for setup in world.setups.values():
        for name in setup.pages:
            host.run(f"mkdir -p /srv/others/{name} && echo 'page of {name}' >/srv/others/{name}/index.html")
        for path, text in setup.files.items():
            place = path if path.startswith("/") else f"/etc/apache2/{path}"
            host.write(place, filled(host, text), 0o755 if path.endswith(".cgi") else 0o644)
    host.run("systemctl reset-failed apache2; systemctl restart apache2 || { journalctl -n 20 -u apache2; exit 1; }")


def ask(host: Host, questions: list[Question]) -> dict[str, list[Any]]:
    """Return what is answered."""
    asked = [[filled(host, part) if isinstance(part, str) else part for part in each] for each in questions]
    found: dict[str, list[Any]] = json.loads(host.run(["python3", "-c", ASK, host.ip], stdin=json.dumps(asked)).stdout)
    return found


def of_others(world: World) -> list[Question]:
    """Return all questions that other sites answer."""
    names = [name for setup in world.setups.values() for name in setup.pages]
    return [
        *((address, world.port, name, "/") for address in world.addresses for name in (*names, "unknown.example")),
        *(question for setup in world.setups.values() for question in setup.asked),
    ]


def expect_the_app(host: Host, world: World) -> None:
    """Expect that the app answers at each of its addresses, and that doctor is content."""
    answers = ask(host, [(address, port, APP, "/") for address, port in world.serves_at])
    assert {answer[0] for answer in answers.values()} == {200}, answers
    assert all('"mark": "shop"' in answer[1] for answer in answers.values()), answers
    done = host.run(["flask-apachectl", "--app", "shop", "doctor"], check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def expect_the_same_answers(place: Place, world: World) -> None:
    """Expect that others answer as before a deploy, after it, after a change, and after a removal."""
    build(place.host, world)
    questions = of_others(world)
    before = ask(place.host, questions)
    assert any(answer[0] == 200 for answer in before.values()), before
    for more in ({}, {"request_body_limit": 5000}):
        place.run(**world.app, **more).deploy()
        expect_the_app(place.host, world)
        assert ask(place.host, questions) == before
    again = place.run(**world.app, request_body_limit=5000)
    again.deploy()
    assert not again.changed, again.results
    place.run(**world.app).step("remove")
    assert ask(place.host, questions) == before


@pytest.mark.parametrize("name", WORLDS)
def test_other_sites_keep_their_visitors(places: list[Place], name: str) -> None:
    """All addresses and names answer the same before a deploy, after it, after a change, and after a removal."""
    each(places, functools.partial(expect_the_same_answers, world=WORLDS[name]))


REFUSED = {
    "a wildcard has the name": (
        {"sites-enabled/all.conf": site("*:80", "all.example.com", aliases="*.example.com")},
        {},
        (
            "flask_apache_server_name must not be the name of another site, got 'shop.example.com'; "
            "/etc/apache2/sites-enabled/all.conf:1 serves it as *.example.com"
        ),
    ),
    "another site's alias": (
        {"sites-enabled/all.conf": site("@IP@:80", "all.example.com", aliases=APP)},
        {},
        "got 'shop.example.com'; /etc/apache2/sites-enabled/all.conf:1 serves it",
    ),
    "a macro": (
        {
            "mods-enabled/macro.load": "LoadModule macro_module /usr/lib/apache2/modules/mod_macro.so\n",
            "sites-enabled/macro.conf": f"<Macro V $n>\n{site('*:80', '$n')}</Macro>\nUse V {APP}\n",
        },
        {},
        "must not be the name of another site, got 'shop.example.com'; ",
    ),
    "default server": (
        {"sites-enabled/all.conf": site("*:80", "all.example.com")},
        {"default_server": True},
        (
            "flask_apache_default_server must be false, got true; true would take requests away from "
            "/etc/apache2/sites-enabled/all.conf:1"
        ),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_others_would_lose_is_refused(places: list[Place], name: str) -> None:
    """The other site's file and line are named, and nothing is changed."""
    files, variables, message = REFUSED[name]

    def go(place: Place) -> None:
        build(place.host, World({"pages": ALL, name: Setup(files, ("all.example.com",))}))
        before = place.host.snapshot(["/etc/apache2"])
        with pytest.raises(StepError) as refused:
            place.run(**variables).step("plan")
        assert message in str(refused.value)
        assert place.host.snapshot(["/etc/apache2"]) == before
        assert not place.host.exists("/etc/flask-apache/shop")

    each(places, go)


def test_a_port_that_another_program_has(places: list[Place]) -> None:
    """Every Listen that Apache will try is looked at while Apache does not run."""

    def go(place: Place) -> None:
        server = "systemd-run --quiet --unit=other-server python3 -m http.server 80 --bind 0.0.0.0"
        place.host.run(f"systemctl stop apache2; {server}; until ss -tln | grep -q :80; do sleep 0.1; done")
        try:
            with pytest.raises(StepError) as refused:
                place.run(port=8080).step("plan")
        finally:
            place.host.run("systemctl stop other-server")
        assert "got a Listen for 80; python3 (pid " in str(refused.value)
        assert "remove that Listen from /etc/apache2/ports.conf:5" in str(refused.value)

    each(places, go)


def test_log_rotation_that_somebody_has_changed(places: list[Place]) -> None:
    """It stays theirs; the distribution's own comes back with the last app."""
    path, own = "/etc/logrotate.d/apache2", "/var/log/apache2/*.log {\n\trotate 400\n}\n"

    def go(place: Place) -> None:
        distribution = place.host.read(path)
        for text, meanwhile in ((own, own), (distribution, "logrotate.distribution")):
            place.host.write(path, text)
            place.run().deploy()
            assert meanwhile in place.host.read(path)
            again = place.run()
            again.deploy()
            assert not again.changed, again.results
            place.run().step("remove")
            assert place.host.read(path) == text

    each(places, go)


PHP = "<?php header('X-Thread: ' . getmypid()); echo 'php says ' . (40 + 2); ?>\n"


def test_php(places: list[Place]) -> None:
    """Sites of mod_php stay, for which Debian makes Apache prefork; an app's own .php files are only sent."""
    php = Setup(
        {
            "sites-enabled/php.conf": site("*:80", "php.example", more="DirectoryIndex index.php\n"),
            "/srv/others/php.example/index.php": PHP,
        },
        ("php.example",),
        (loopback("php.example"), loopback("php.example", "/index.php"), loopback("php.example", "/none.php")),
    )
    world = World({"a directory of pages": ALL, "PHP": php}, app={"static": [{"url": "/static", "path": "static"}]})

    def go(place: Place) -> None:
        install = "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends libapache2-mod-php"
        place.host.run(f"{install} && apache2ctl -M | grep -q mpm_prefork")
        expect_the_same_answers(place, world)
        assert "php says 42" in place.host.http("/", "php.example").text
        place.run(**world.app).deploy()
        assert place.host.http("/static/x.php", APP).text == PHP
        assert "php says 42" in place.host.http("/", "php.example").text

    each(places, go)
