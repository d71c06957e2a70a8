"""Where an app has its files on the host, and the directories that the role makes for them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from flask_apachectl.paths import build_user

from .pages import DIRECTORY

if TYPE_CHECKING:
    from .values import Values

APACHE = "/etc/apache2"
UNITS = "/etc/systemd/system"
DEEPEST_MOUNT = 999  # no mount is that long: the names of files begin with what is left


@dataclass(frozen=True)
class Paths:
    """The paths of one app, and those that it shares with the other apps of its server name and port."""

    build_user: str
    conf: str
    home: str
    data: str
    logs: str
    cache: str
    entry: str  # the WSGI script
    pools_file: str
    vhosts: list[VirtualHost]  # first the one in which visitors get the app, then the one that leads them there


@dataclass(frozen=True)
class VirtualHost:
    """The files of a virtual host, for one server name and port, and the app's own in it."""

    name: str
    port: int
    is_secure: bool
    leads: bool  # to HTTPS
    file: str
    directory: str
    fragment: str  # the app's file in the directory


def paths(values: Values) -> Paths:
    """Return an app's paths."""
    app = values.text("app")
    return Paths(
        build_user=build_user(app),
        conf=f"/etc/flask-apache/{app}",
        home=f"/srv/flask-apache/{app}",
        data=f"/var/lib/flask-apache/{app}",
        logs=f"/var/log/flask-apache/{app}",
        cache=f"/var/cache/flask-apache/{app}",
        entry=f"/etc/flask-apache/{app}/entry.wsgi",
        pools_file=f"{APACHE}/conf-available/flask-apache-{app}.conf",
        vhosts=vhosts(values),
    )


def vhosts(values: Values) -> list[VirtualHost]:
    """Return the virtual hosts of an app: with TLS there are two."""
    port, is_secure = values.number("port"), values.text("tls") != "none"
    ports = [(values.number("https_port"), True, False), (port, False, True)] if is_secure else [(port, False, False)]
    return [vhost(values, *each) for each in ports]


def vhost(values: Values, port: int, is_secure: bool, leads: bool) -> VirtualHost:  # noqa: FBT001 - of a row
    """Return one virtual host of an app."""
    name = f"{values.text('server_name').lower()}-{port}"
    directory, depth = f"/etc/flask-apache/vhosts/{name}", len(values.text("mount"))
    return VirtualHost(
        name=name,
        port=port,
        is_secure=is_secure,
        leads=leads,
        file=f"{APACHE}/sites-available/flask-apache-{name}.conf",
        directory=directory,
        fragment=f"{directory}/{DEEPEST_MOUNT - depth:03}-{values.text('app')}.conf",  # Apache reads the deepest first
    )


@dataclass(frozen=True)
class Directory:
    """A directory that is to be on the host."""

    path: str
    owner: str = "root"
    group: str = "root"
    mode: str = "0755"


def directories(place: Paths, user: str) -> list[dict[str, str]]:
    """Return the directories of an app, parents first, as ``{path, owner, group, mode}``."""
    found = [
        Directory("/etc/flask-apache"),
        Directory("/etc/flask-apache/vhosts", mode="0700"),  # directives can hold secrets
        Directory("/srv/flask-apache"),
        Directory("/var/cache/flask-apache"),
        Directory("/var/lib/flask-apache"),
        Directory("/var/log/flask-apache"),
        Directory("/usr/share/bash-completion/completions"),
        Directory("/usr/local/lib/flask-apache"),
        Directory(DIRECTORY),
        Directory(place.conf, mode="0751"),  # nobody may watch when the live release changes
        Directory(f"{place.conf}/pages"),
        *(Directory(vhost.directory) for vhost in place.vhosts),
        Directory("/srv/flask-apache/.empty"),
        Directory("/srv/flask-apache/.https"),
        Directory(place.home, group=user, mode="0751"),  # Apache passes through it to static files
        Directory(f"{place.home}/incoming", mode="0700"),
        Directory(f"{place.home}/wheelhouses", group=user, mode="0750"),
        Directory(place.data, owner=user, group=user, mode="0750"),
        Directory(place.cache, owner=place.build_user, mode="0700"),
        Directory(place.logs, group="adm", mode="0750"),
    ]
    return [asdict(directory) for directory in found]
