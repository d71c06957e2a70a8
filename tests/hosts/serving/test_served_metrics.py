"""Metrics over HTTP: who gets them, how fresh they are, and that they go when nobody may ask any more."""

from __future__ import annotations

import json
import re
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import small_app, steps
from tests.support.parallel import each
from tests.support.releases import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.hosts import Host

NAME = "measured.example.com"
FILE = "/srv/flask-apache/.metrics/measured.prom"
TIMER = "flask-apachectl-metrics.timer"
HERE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"]  # where the tests run
ASK = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1")
connection.request("GET", sys.argv[2], headers={"Host": sys.argv[1]})
print(connection.getresponse().status)
"""


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the variables of an app that serves its metrics to this machine."""
    return {
        "app": "measured",
        "source": str(small_app.write(tmp_path_factory.mktemp("measured"), "app")),
        "requirements": [],
        "server_name": NAME,
        "mount": "/m",
        "metrics_path": "/-/numbers",
        "metrics_allow": HERE,
    }


@pytest.fixture(scope="module")
def measured(pair: list[Host], declared: dict[str, Any]) -> Iterator[list[Host]]:
    """Return the hosts with the app."""
    each(pair, partial(steps.deploy, variables=declared))
    yield pair
    each(pair, lambda host: steps.Run(host, declared).step("remove"))


def value(text: str, name: str) -> float:
    """Return the value of a metric."""
    (found,) = re.findall(rf"(?m)^{name}(?:\{{.*\}})? (\S+)$", text)
    return float(found)


def are_written(host: Host) -> bool:
    """Return what doctor says of the app's metrics; the whole Apache of these hosts is another matter."""
    told = json.loads(host.run("flask-apachectl --json --app measured doctor", check=False).stdout)
    (found,) = [bool(row["ok"]) for row in told["checks"] if row["check"] == "its metrics are written"]
    assert found or told["failed"]
    return found


def test_who_is_allowed_gets_the_metrics(measured: list[Host], declared: dict[str, Any]) -> None:
    def check(host: Host) -> None:
        ask = partial(host.http, "/m/-/numbers")
        assert wait_until(lambda: ask(NAME).status == 200, 10), "the timer begins at once"
        answer = ask(NAME)
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert value(answer.text, "flask_apache_up") == 1
        assert set(re.findall(r'app="([^"]*)"', answer.text)) == {"measured"}, "no other app's"
        assert -5 < time.time() - value(answer.text, "flask_apache_collected_timestamp_seconds") < 70
        # To nobody else
        run = ["python3", "-c", ASK]
        assert host.run([*run, NAME, "/m/-/numbers"]).stdout == "403\n", "127.0.0.1 is not allowed"
        assert host.run([*run, NAME, "/m/%2d/numbers"]).stdout == "403\n"
        assert ask("other.example.com").status != 200
        assert "flask_apache_up" not in host.http("/-/numbers", NAME).text, "outside its mount"
        assert host.run(["cat", FILE], user="web", check=False).returncode != 0, "another app of the host"
        # Also while the app is closed
        host.run("flask-apachectl --app measured maintenance on")
        assert (ask(NAME).status, host.http("/m/echo", NAME).status) == (200, 503)
        host.run("flask-apachectl --app measured maintenance off")
        # Where the collector fails
        host.run(["rm", FILE])
        assert ask(NAME).status == 503
        assert not are_written(host)
        host.run("systemctl start flask-apachectl-metrics.service")
        assert ask(NAME).status == 200
        assert are_written(host)
        again = steps.Run(host, declared)
        again.deploy()
        assert not again.changed

    each(measured, check)


def test_they_go_when_nobody_may_ask(measured: list[Host], declared: dict[str, Any]) -> None:
    def check(host: Host) -> None:
        assert host.run(["systemctl", "is-active", TIMER]).stdout == "active\n"
        steps.deploy(host, {**declared, "metrics_allow": []})
        assert host.http("/m/-/numbers", NAME).status == host.http("/m/no/such/path", NAME).status
        assert not host.exists("/srv/flask-apache/.metrics")
        assert host.run(["systemctl", "is-active", TIMER], check=False).stdout == "inactive\n"

    each(measured, check)
