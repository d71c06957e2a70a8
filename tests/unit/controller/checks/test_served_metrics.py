"""Metrics over HTTP: who may ask for them, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controller.checks import values
from tests.unit.controller.given import errors, variables

if TYPE_CHECKING:
    from pathlib import Path

MUST = "be an address or a network, such as 192.0.2.7 or 2001:db8::/32"


@pytest.mark.parametrize("allow", ["192.0.2.7", "10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32", "::1", "::ffff:10.0.0.1"])
def test_addresses_and_networks_may_ask(source: Path, allow: str) -> None:
    assert errors(variables(source, metrics_allow=[allow])) == []


@pytest.mark.parametrize(
    "allow",
    [
        *("", "localhost", "10.0", "10.0.0.0/33", "192.0.2.7/", "300.1.1.1", "fe80::1%eth0", "10.0.0.0/255.0.0.0"),
        "\u0663.1.1.1",  # a digit of another script
    ],
)
def test_what_is_not_an_address_is_refused(source: Path, allow: str) -> None:
    line = values.error("metrics_allow[1]", MUST, allow)
    assert errors(variables(source, metrics_allow=["192.0.2.7", allow])) == [line]


@pytest.mark.parametrize(("allow", "network"), [("10.1.2.3/8", "10.0.0.0/8"), ("2001:db8::1/32", "2001:db8::/32")])
def test_a_network_that_is_not_clear_is_refused(source: Path, allow: str, network: str) -> None:
    line = values.error("metrics_allow[0]", MUST, allow, f"the network is {network}")
    assert errors(variables(source, metrics_allow=[allow])) == [line]


def test_they_need_systemd(source: Path) -> None:
    own = variables(source, metrics_allow=["192.0.2.7"])
    must = "be [] on a host where systemd does not run"
    assert errors(own, systemd=False) == [values.error("metrics_allow", must, ["192.0.2.7"])]
    assert errors(variables(source), systemd=False) == []


@pytest.mark.parametrize(
    ("own", "must"),
    [
        ({"metrics_path": "/-/ready"}, "differ from flask_apache_ready_path"),
        ({"metrics_path": "/up", "health_path": "/up"}, "differ from flask_apache_health_path"),
        (
            {"metrics_path": "/media/metrics", "static": [{"url": "/media", "path": "media"}]},
            "not lie below that of flask_apache_static[0]",
        ),
        (
            {"metrics_path": "/m", "static": [{"url": "/n", "path": "n"}, {"url": "/m", "path": "m"}]},
            "not lie below that of flask_apache_static[1]",
        ),
    ],
)
def test_an_address_of_something_else_is_refused(source: Path, own: dict[str, Any], must: str) -> None:
    line = values.error("metrics_path", must, own["metrics_path"])
    assert errors(variables(source, metrics_allow=["192.0.2.7"], **own)) == [line]
    assert errors(variables(source, **own)) == [], "nobody may ask there"


def test_an_address_of_its_own_is_accepted(source: Path) -> None:
    static = [{"url": "/media", "path": "media"}, {"url": "/-/metrics/more", "path": "more"}]
    own = variables(source, metrics_allow=["192.0.2.7"], static=static)
    assert errors(own) == []
    assert errors(own | {"flask_apache_metrics_path": "/mediametrics"}) == []
