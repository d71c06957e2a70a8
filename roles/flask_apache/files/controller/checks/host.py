"""The host: its distribution and Python, mod_wsgi, and the app's user."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from controller.checks import patterns, values
from flask_apachectl import paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from controller.checks.values import Variables

STATIC_SYSTEM_UIDS = range(100)  # Debian's policy: root, daemon, www-data and their like
SYSTEM_USERS = (
    *("root", "nobody", "www-data", "flask-apache-build"),
    *("postgres", "mysql", "redis", "memcache", "rabbitmq", "mongodb", "sshd", "messagebus", "polkitd", "syslog"),
)
OLDEST_MOD_WSGI = (4, 9)


def check(own: Variables, host: Variables, distributions: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Report a host that the role cannot work on."""
    name, version = host["distribution"], host["distribution_version"]
    if version not in distributions.get(name, {}):
        supported = [f"{system} {release}" for system, releases in distributions.items() for release in releases]
        found = f"{name} {version}".strip()
        yield f"host: the distribution must be {values.listed(supported)}, got {found}"
    if not host["root"]:
        yield "host: the role must run as root; set become: true on the play"
    if host["python"] is None:
        must = "be an interpreter that runs on the host"
        yield values.error("python", must, own["python"], "set the path of an installed one, or install it first")
    elif own["mod_wsgi_source"] == "package" and host["python"] != host["distribution_python"]:
        yield values.error(
            "python",
            f"be Python {host['distribution_python']}, the version of the distribution's mod_wsgi",
            own["python"],
            f"it is Python {host['python']}: set /usr/bin/python3, or flask_apache_mod_wsgi_source: pip",
        )


def check_mod_wsgi(own: Variables) -> Iterator[str]:
    """Report a version of mod_wsgi that lacks what the configuration uses."""
    version = str(own["mod_wsgi_version"])
    is_version = re.fullmatch(patterns.PATTERNS["mod_wsgi_version"][0], version, re.ASCII)
    if own["mod_wsgi_source"] == "pip" and is_version and tuple(map(int, version.split("."))) < OLDEST_MOD_WSGI:
        yield values.error("mod_wsgi_version", "be 4.9.0 or newer", version)


def check_build_user(own: Variables, host: Variables) -> Iterator[str]:
    """Report a Unix user that has the name of the app's build user, but is somebody else."""
    user, app = host["build_user"], own["app"]
    if not user or not isinstance(app, str):
        return
    must, home = f"be a name whose build user {paths.build_user(app)} is nobody else", f"/var/cache/flask-apache/{app}"
    if user["home"] != home:
        advice = f"that user's home is {user['home']}, not {home}: rename that user, or choose another name"
        yield values.error("app", must, app, advice)
    elif user["uid"] in STATIC_SYSTEM_UIDS or user["same_uid"]:
        others = f" of {values.listed(user['same_uid'], 'and')}" if user["same_uid"] else ""
        yield values.error("app", must, app, f"that user has the uid {user['uid']}{others}: remove that user")


def check_user(own: Variables, host: Variables) -> Iterator[str]:
    """Report a Unix user that is not the app's own."""
    user = host["user"]
    builders = [paths.build_user(str(name)) for name in (own["app"], *(app.get("app") for app in host["apps"]))]
    if own["user"] in builders:
        yield values.error("user", "be a Unix user of the app's own, not one that builds an app", own["user"])
    elif own["user"] in SYSTEM_USERS or (user and user["uid"] in STATIC_SYSTEM_UIDS):
        yield values.error("user", "be a Unix user of the app's own, not one of the system", own["user"])
    elif user and user.get("group", own["user"]) != own["user"]:
        advice = f"its group is {user['group']}" if user["group"] else "its group has no name"
        yield values.error("user", "be a Unix user whose group has the same name", own["user"], advice)
