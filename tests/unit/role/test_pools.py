"""The pools: the options of WSGIDaemonProcess."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.role.cases import (
    CASES,
    CONSTANTS,
    DAEMON,
    DEFAULTS,
    EVERY_OPTION,
    directives,
)

if TYPE_CHECKING:
    from tests.unit.role.conftest import Rendered

SINCE = CONSTANTS["__flask_apache_daemon_since"]

# WSGIDaemonProcess's options, from mod_wsgi's documentation of that directive.
KNOWN_TO_4_9_4 = {
    "chroot",
    "connect-timeout",
    "cpu-priority",
    "cpu-time-limit",
    "deadlock-timeout",
    "display-name",
    "eviction-timeout",
    "graceful-timeout",
    "group",
    "header-buffer-size",
    "home",
    "inactivity-timeout",
    "lang",
    "listen-backlog",
    "locale",
    "maximum-requests",
    "memory-limit",
    "processes",
    "python-eggs",
    "python-home",
    "python-path",
    "queue-timeout",
    "receive-buffer-size",
    "request-timeout",
    "response-buffer-size",
    "response-socket-timeout",
    "restart-interval",
    "script-group",
    "script-user",
    "send-buffer-size",
    "server-metrics",
    "shutdown-timeout",
    "socket-timeout",
    "socket-user",
    "stack-size",
    "startup-timeout",
    "supplementary-groups",
    "threads",
    "umask",
    "user",
    "virtual-memory-limit",
}
KNOWN_TO_6_1_1 = KNOWN_TO_4_9_4 | {"interrupt-timeout", "response-flush-delay", "switch-interval"}
OURS = {"display-name", "user", "group", "home", "python-home"}


WRITTEN = {
    **{name: str(value) for name, value in EVERY_OPTION.items()},
    "flask_apache_daemon_server_metrics": "On",
    "flask_apache_daemon_supplementary_groups": "adm,ssl-cert",
}


def pools(text: str) -> dict[str, dict[str, str]]:
    """Return the options of each WSGIDaemonProcess."""
    return {
        name: dict(option.split("=", 1) for option in options)
        for name, *options in directives(text, "WSGIDaemonProcess")
    }


def options(text: str) -> dict[str, str]:
    """Return the options that come from variables, which must be the same in both pools."""
    first, *others = ({key: value for key, value in pool.items() if key not in OURS} for pool in pools(text).values())
    assert all(other == first for other in others)
    return first


def option(variable: str) -> str:
    """Return the option that a variable sets."""
    return variable.removeprefix("flask_apache_daemon_").replace("_", "-")


@pytest.mark.parametrize("case", CASES)
def test_the_installed_mod_wsgi_knows_every_option(rendered: Rendered, case: str) -> None:
    variables, inspected = CASES[case]
    version = variables.get("flask_apache_mod_wsgi_version", inspected["mod_wsgi_package"])
    known = (
        KNOWN_TO_6_1_1 if version == "6.1.1" else KNOWN_TO_4_9_4 | {option for option in SINCE if version == "6.0.0"}
    )
    for pool in pools(rendered[case]["apache/pools.conf.j2"]).values():
        assert set(pool) <= known


def test_what_came_later_is_known_to_the_newest() -> None:
    assert set(SINCE) == KNOWN_TO_6_1_1 - KNOWN_TO_4_9_4


def test_every_variable_is_an_option() -> None:
    assert sorted(EVERY_OPTION) == DAEMON
    assert {option(name) for name in DAEMON} <= KNOWN_TO_6_1_1
    assert not {option(name) for name in DAEMON} & OURS


@pytest.mark.parametrize("variable", DAEMON)
def test_a_variable_becomes_its_option(rendered: Rendered, variable: str) -> None:
    name = option(variable)
    assert options(rendered["every-6.1.1"]["apache/pools.conf.j2"])[name] == WRITTEN[variable]
    old = options(rendered["every-4.9.4"]["apache/pools.conf.j2"])
    assert old.get(name) == (None if name in SINCE else WRITTEN[variable])


def test_an_option_comes_with_its_version(rendered: Rendered) -> None:
    found = options(rendered["every-6.0.0"]["apache/pools.conf.j2"])
    assert "interrupt-timeout" in found
    assert "response-flush-delay" not in found


def test_null_leaves_an_option_to_mod_wsgi(rendered: Rendered) -> None:
    assert options(rendered["nothing"]["apache/pools.conf.j2"]) == {"processes": "1"}
    expected = {option(name) for name in DAEMON if DEFAULTS[name] not in (None, [])}
    assert set(options(rendered["defaults"]["apache/pools.conf.j2"])) == expected


def test_flags_are_apaches(rendered: Rendered) -> None:
    for case, expected in (("metrics-on", "On"), ("metrics-off", "Off"), ("defaults", None)):
        assert options(rendered[case]["apache/pools.conf.j2"]).get("server-metrics") == expected


def test_a_host_without_mod_wsgi_is_told_as_its_package_will_be(rendered: Rendered) -> None:
    assert rendered["not-inspected"] == rendered["defaults"]


def test_the_pools(rendered: Rendered) -> None:
    found = pools(rendered["names"]["apache/pools.conf.j2"])
    assert set(found) == {"my-shop-blue", "my-shop-green"}
    for name, pool in found.items():
        slot = name.rpartition("-")[2]
        assert {key: pool[key] for key in OURS} == {
            "display-name": f"{slot}:my-shop",
            "user": "clerk",
            "group": "clerk",
            "home": f"/srv/flask-apache/my-shop/{slot}/app",
            "python-home": f"/srv/flask-apache/my-shop/{slot}/venv",
        }
    preloaded = directives(rendered["names"]["apache/pools.conf.j2"], "WSGIImportScript")
    assert [arguments[1] for arguments in preloaded] == [f"process-group={name}" for name in found]
    assert directives(rendered["names"]["apache/app.conf.j2"], "WSGIRestrictProcess") == [list(found)]


def test_a_rolling_app_has_one_pool(rendered: Rendered) -> None:
    text = rendered["rolling"]["apache/pools.conf.j2"]
    assert list(pools(text)) == ["app-blue"]
    assert directives(rendered["rolling"]["apache/app.conf.j2"], "WSGIRestrictProcess") == [["app-blue"]]
    assert [arguments[1] for arguments in directives(text, "WSGIImportScript")] == ["process-group=app-blue"]
