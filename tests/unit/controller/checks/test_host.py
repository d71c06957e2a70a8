"""The host: distribution, Python, mod_wsgi, users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.controller.given import errors, refused, variables

if TYPE_CHECKING:
    from pathlib import Path


REFUSED = [
    *refused("user", "be a Unix user of the app's own, not one of the system", "root", "nobody", "flask-apache-build"),
    *refused("user", "be a Unix user of the app's own, not one that builds an app", "build_shop", "build_app"),
]


@pytest.mark.parametrize(("own", "line"), REFUSED)
def test_a_user_of_the_system_is_refused(source: Path, own: dict[str, Any], line: str) -> None:
    assert errors(variables(source, **own)) == [line]


SUPPORTED = "host: the distribution must be Debian 12, Debian 13 or Ubuntu 24.04, got"
OWN_GROUP = "flask_apache_user must be a Unix user whose group has the same name, got 'clerk'"


@pytest.mark.parametrize(
    ("own", "host", "line"),
    [
        ({}, {"distribution": "Debian", "distribution_version": "11"}, f"{SUPPORTED} Debian 11"),
        ({}, {"distribution": "Arch", "distribution_version": ""}, f"{SUPPORTED} Arch"),
        ({}, {"root": False}, "host: the role must run as root; set become: true on the play"),
        (
            {"python": "/opt/python"},
            {"python": None},
            (
                "flask_apache_python must be an interpreter that runs on the host, got '/opt/python'; set the path of "
                "an installed one, or install it first"
            ),
        ),
        (
            {"python": "/opt/python"},
            {"python": "3.14", "apps": []},
            (
                "flask_apache_python must be Python 3.11, the version of the distribution's mod_wsgi, got "
                "'/opt/python'; it is Python 3.14: set /usr/bin/python3, or flask_apache_mod_wsgi_source: pip"
            ),
        ),
        (
            {"python": "/opt/python", "mod_wsgi_source": "pip"},
            {"python": "3.14"},
            (
                "flask_apache_python must be Python 3.11, the version of the app shop on this host, got '/opt/python'; "
                "it is Python 3.14, and all apps of one Apache share one mod_wsgi and its version of Python"
            ),
        ),
        (
            {"mod_wsgi_source": "pip", "mod_wsgi_version": "4.7.1"},
            {},
            "flask_apache_mod_wsgi_version must be 4.9.0 or newer, got '4.7.1'",
        ),
        (
            {"user": "backup"},
            {"user": {"uid": 34}},
            "flask_apache_user must be a Unix user of the app's own, not one of the system, got 'backup'",
        ),
        ({"user": "clerk"}, {"user": {"uid": 1000, "group": "staff"}}, f"{OWN_GROUP}; its group is staff"),
        ({"user": "clerk"}, {"user": {"uid": 1000, "group": None}}, f"{OWN_GROUP}; its group has no name"),
    ],
    ids=lambda value: f"{value}"[:40],
)
def test_what_the_host_does_not_allow_is_refused_in_one_line(
    source: Path, own: dict[str, Any], host: dict[str, Any], line: str
) -> None:
    assert errors(variables(source, **own), **host) == [line]


@pytest.mark.parametrize(
    ("own", "host"),
    [
        ({"user": "clerk"}, {"user": {"uid": 1000, "group": "clerk"}}),
        ({"user": "clerk"}, {"user": {"uid": 1000}}),  # of an older engine
        # The distribution's Python has been upgraded; the other app's next deploy will use it, too.
        ({"python": "/opt/shop/bin/python3", "mod_wsgi_source": "pip"}, {"python": "3.12"}),
        ({}, {"python": "3.12", "distribution_python": "3.12", "apps": [{"app": "old", "python_version": "3.11"}]}),
    ],
    ids=repr,
)
def test_what_the_host_allows_is_accepted(source: Path, own: dict[str, Any], host: dict[str, Any]) -> None:
    assert errors(variables(source, **own), **host) == []


HOME = "/var/cache/flask-apache/app"
SOMEBODY: dict[str, Any] = {"uid": 990, "home": "/home/build", "shell": "/bin/bash", "group": "build", "same_uid": []}
BUILDER = "flask_apache_app must be a name whose build user build_app is nobody else, got 'app'; that user"


@pytest.mark.parametrize(
    ("user", "advice"),
    [
        (SOMEBODY, f"'s home is /home/build, not {HOME}: rename that user, or choose another name"),
        (
            SOMEBODY | {"home": HOME, "same_uid": ["shop", "blog"]},
            " has the uid 990 of shop and blog: remove that user",
        ),
        (SOMEBODY | {"home": HOME, "uid": 33}, " has the uid 33: remove that user"),
    ],
)
def test_somebody_else_is_no_build_user(source: Path, user: dict[str, Any], advice: str) -> None:
    assert errors(variables(source), build_user=user) == [BUILDER + advice]
    assert errors(variables(source), build_user=SOMEBODY | {"home": HOME}) == []
