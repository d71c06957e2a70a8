"""The files, links and directories that an app is to have on the host, and those that it shares with other apps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from flask_apachectl.paths import HARDENED

from . import paths
from .pages import DIRECTORY, PAGES
from .paths import APACHE, UNITS

if TYPE_CHECKING:
    from .declaration import Derived


@dataclass(frozen=True)
class Template:
    """A file that a template makes. ``variables`` are for it besides ``app``."""

    template: str  # below the role's templates/
    path: str
    mode: str = "0644"
    group: str = "root"
    variables: dict[str, Any] = field(default_factory=dict)


def templates(derived: Derived) -> list[Template]:
    """Return the files of the app's own, but for those of Apache and systemd."""
    name, place = derived.site.name, derived.paths
    return [
        *error_pages(f"{place.conf}/pages"),
        *error_pages(DIRECTORY),
        Template("tmpfiles.conf.j2", f"/etc/tmpfiles.d/flask-apache-{name}.conf"),
        Template("logrotate.j2", "/etc/logrotate.d/apache2"),
    ]


def error_pages(directory: str) -> list[Template]:
    """Return the pages that visitors get from Apache itself."""
    named = {status: {"status": status, **asdict(page)} for status, page in PAGES.items()}
    return [
        Template("pages/error.html.j2", f"{directory}/{status}.html", variables={"page": page})
        for status, page in named.items()
    ]


def apache_files(derived: Derived) -> list[Template]:
    """Return the files of the app's own in Apache's configuration."""
    return [*fragments(derived).values(), pools(derived)]


def fragments(derived: Derived) -> dict[str, Template]:
    """Return the app's file in each of its virtual hosts, by their names."""
    return {
        vhost.name: Template("apache/app.conf.j2", vhost.fragment, variables={"vhost": asdict(vhost)})
        for vhost in derived.paths.vhosts
    }


def pools(derived: Derived) -> Template:
    """Return the file of the app's pools."""
    return Template("apache/pools.conf.j2", derived.paths.pools_file)


def unit_files(derived: Derived) -> list[Template]:
    """Return the files of the units of workers and timers, if there are any."""
    found, own = [], derived.units
    for worker in own.workers:
        path = f"{UNITS}/{own.unit_prefix}{worker.name}@.service"
        found.append(Template("systemd/worker.j2", path, variables={"unit": asdict(worker)}))
    for timer in own.timers:
        for template, suffix in (("systemd/job.j2", "service"), ("systemd/timer.j2", "timer")):
            path = f"{UNITS}/{own.unit_prefix}{timer.name}.{suffix}"
            found.append(Template(template, path, variables={"unit": asdict(timer)}))
    return [*found, Template("systemd/target.j2", f"{UNITS}/{own.target}")] if found else []


def vhosts(derived: Derived) -> dict[str, dict[str, Template]]:
    """Return every variant of the app's virtual hosts, by their names.

    Which one a host needs depends on its other sites: the engine chooses when it writes it.
    """
    return {
        vhost.name: {
            variant: Template("apache/vhost.conf.j2", vhost.file, variables={"vhost": asdict(vhost), "listen": listen})
            for variant, listen in (("listen", True), ("plain", False))
        }
        for vhost in derived.paths.vhosts
    }


def server() -> Template:
    """Return what mod_wsgi is told for the whole Apache."""
    return Template("apache/server.conf.j2", f"{APACHE}/conf-available/flask-apache.conf")


def harden_server() -> dict[str, Template]:
    """Return what is hardened of the whole Apache; all apps decide whether it is enabled.

    The engine chooses a variant: somebody may have sized Apache.
    """
    path = f"{APACHE}/conf-available/{HARDENED}"
    return {
        variant: Template("apache/harden_server.conf.j2", path, variables={"sized": sized})
        for variant, sized in (("sized", True), ("plain", False))
    }


def wsgi_load(derived: Derived) -> Template | None:
    """Return the file that loads the mod_wsgi that pip built; None for the distribution's."""
    if not derived.mod_wsgi.mod_wsgi_module:
        return None
    return Template("apache/wsgi.load.j2", f"{APACHE}/mods-available/flask_apache_wsgi.load")


def directories(derived: Derived) -> list[dict[str, str]]:
    """Return the directories that the app needs, parents first, as ``{path, owner, group, mode}``."""
    return paths.directories(derived.paths, derived.site.user)
