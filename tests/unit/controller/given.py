"""The input of the checks: a host, the role's defaults, and a test's changes to them."""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from controller import plan
from tests.support.certificates import issue
from tests.unit.programs import ROLE

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.mark import ParameterSet

SPECS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())
SPEC = SPECS["argument_specs"]["main"]["options"]
KNOWN = sorted({name for spec in SPECS["argument_specs"].values() for name in spec["options"]})
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
DISTRIBUTIONS = {"Debian": {"12": "4.9.4", "13": "5.0.2"}, "Ubuntu": {"24.04": "5.0.0"}}
SECRET = "correct horse battery staple"
SITE = issue("the site", ("www.example.com", "the.server.example", "the.alias.example"))
SHAPE = re.compile(r"(flask_apache_\w+[^ ]*|host: the \w+) must \S.*")

HOST: dict[str, Any] = {
    "root": True,
    "distribution": "Debian",
    "distribution_version": "12",
    "python": "3.11",
    "distribution_python": "3.11",
    "listeners": [
        {"address": "::", "port": 80, "program": "apache2", "holder": "apache2 (pid 7)"},
        {"address": "127.0.0.1", "port": 8080, "program": "nginx", "holder": "nginx (pid 12)"},
    ],
    "apache_installed": True,
    "apache_running": True,
    "user": None,
    "build_user": None,
    "tls": {"certificate": SITE.pem, "chain": "", "key_problem": ""},
    "systemd": True,
    "calendars_wrong": ["whenever"],
    "textfile_missing": False,
    "logs_unsafe": {"/home/app/a.log": "/home/app belongs to app"},
    "apps": [
        {
            "app": "shop",
            "user": "shop",
            "default_server": True,
            "python": "/opt/shop/bin/python3",
            "python_version": "3.11",
            "port": 80,
            "server_name": "shop.example.com",
            "server_aliases": ["buy.example.com"],
            "mount": "/",
        }
    ],
    "configuration": {
        "sites": [
            {"file": "/etc/default.conf", "line": 1, "address": "*", "port": 80, "names": ["this-host"], "stock": True},
            {
                "file": "/etc/blog.conf",
                "line": 7,
                "address": "*",
                "port": 81,
                "names": ["blog.example.com", "*.blog.example.com"],
                "stock": False,
            },
        ],
        "listens": [{"address": "", "port": port, "file": "/etc/ports.conf", "line": port} for port in (80, 81)],
        "main": "",
    },
}


def variables(source: Path, /, **own: object) -> dict[str, Any]:
    """Return the rendered defaults with a test's changes, by short names."""
    values: dict[str, Any] = copy.deepcopy(DEFAULTS)
    values |= {
        "flask_apache_source": str(source),
        "flask_apache_user": "app",
        "flask_apache_server_name": "www.example.com",
        "flask_apache_environment": {"DATABASE_PASSWORD": SECRET, "WORKERS": 3},
    }
    return values | {f"flask_apache_{name}": value for name, value in own.items()}


def errors(values: dict[str, Any], **host: object) -> list[str]:
    """Return the errors for variables on the host, with changes to it. All errors must have the same form."""
    found = plan.check(values, KNOWN, HOST | host, DISTRIBUTIONS, SPECS)
    for line in found:
        assert SHAPE.fullmatch(line), line
        assert len(line.splitlines()) == 1
        assert SECRET not in line
    return found


def refused(place: str, must: str, *values: object, got: str | None = None, advice: str = "") -> list[ParameterSet]:
    """Return cases: values of a variable, each with its error. ``got`` is the value by default."""
    name = re.split(r"\W", place, maxsplit=1)[0]
    own = {"user": "own"} if name == "app" else {}
    end = f"; {advice}" if advice else ""
    return [
        pytest.param(
            own | {name: value},
            f"flask_apache_{place} must {must}, got {repr(value) if got is None else got}{end}",
            id=f"{place}-{value!r:.40}",
        )
        for value in values
    ]
