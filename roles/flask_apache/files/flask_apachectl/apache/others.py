"""What Apache's configuration has that is not the role's: Apache itself is asked."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl import paths
from flask_apachectl.apache import copies, listing
from flask_apachectl.apache.listing import Listen, Listing, VirtualHost
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, facts
from flask_apachectl.host.desired import Link

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_apachectl.host.desired import Wanted

PAGE = Path("/var/www/html")
STOCK = "000-default.conf"
STOCK_CONF = tuple(
    f"{name}.conf"
    for name in ("charset", "localized-error-pages", "other-vhosts-access-log", "security", "serve-cgi-bin")
)
# Directives and modules by which something is served everywhere.
SERVES = re.compile(
    r"(?im)^\s*(Action|(Add|Set)Handler|(Script)?Alias(Match)?|DocumentRoot|Include\w*|Proxy\w+|Redirect\w*|RewriteRule|Use"
    r"|UserDir|WSGI\w+)\s"
)
SIZES = re.compile(r"(?im)^\s*(MaxRequestWorkers|MaxClients|ServerLimit|ThreadLimit|ThreadsPerChild)\s")
SERVING = ("cgi", "cgid", "perl", "suexec", "userdir")
OWN = re.compile(r"(?:00-|zy-|zz-|zzz-\d{3}-)?flask-apache(?:-.*)?\.conf")
# What Debian's package will have.
BARE = Listing(
    hosts=(VirtualHost("*", 80, (), f"/etc/apache2/sites-enabled/{STOCK}", 1),),
    listens=(Listen("", 80, "/etc/apache2/ports.conf", 5),),
    root=str(PAGE),
)


def is_own(file: str) -> bool:
    """Tell whether a file of Apache's configuration is the role's."""
    return OWN.fullmatch(Path(file).name) is not None or paths.ETC in Path(file).parents


@lru_cache(maxsize=1)
def everything() -> Listing:
    """Return what the configuration on disk has. When it is not valid: what it has without the role's files.

    It is read once: `forget` it after a change.
    """
    if not listing.PROGRAM.exists() or not paths.APACHE.is_dir():
        return BARE
    try:
        return listing.read()
    except RefusedError:
        enabled = [path for path in paths.APACHE.glob("*-enabled/*") if is_own(path.name)]
        try:
            with copies.of_configuration([Link(path) for path in enabled]) as top:
                return copies.original(listing.read(f"{top}{paths.APACHE}"), top)
        except RefusedError:
            return BARE


def forget() -> None:
    """Read the configuration again when it is asked for next: it has changed."""
    everything.cache_clear()
    with_modules.cache_clear()


def read(modules: tuple[Wanted, ...] = ()) -> Listing:
    """Return what the configuration has that is not the role's, or will have once ``modules`` are enabled."""
    found = without_own(everything())
    return with_modules(modules) if found != BARE and any(map(desired.difference, modules)) else found


@lru_cache(maxsize=1)
def with_modules(links: tuple[Wanted, ...]) -> Listing:
    """Return what the configuration will have that is not the role's when modules are enabled by these links.

    What stands in <IfModule> then counts, such as where Debian's ports.conf listens for HTTPS.
    """
    try:
        with copies.of_configuration(links) as top:
            return without_own(copies.original(listing.read(f"{top}{paths.APACHE}"), top))
    except RefusedError:
        return without_own(everything())


def without_own(found: Listing) -> Listing:
    """Return a listing without what is the role's."""
    hosts = tuple(each for each in found.hosts if not is_own(each.file))
    listens = tuple(each for each in found.listens if not is_own(each.file))
    return Listing(hosts, listens, found.main, found.root)


def is_untouched() -> bool:
    """Tell whether Debian's own page is the only file in its directory."""
    index = facts.read(PAGE / "index.html")
    return {path.name for path in PAGE.glob("*")} <= {"index.html"} and (
        not (PAGE / "index.html").exists() or "Debian" in index or "Ubuntu" in index
    )


def is_stock(site: Path) -> bool:
    """Tell whether a site is Debian's own default site, unmodified and with nothing but its own page."""
    return site.name == STOCK and _is_of_package(site) and is_untouched()


def are_none() -> bool:
    """Tell whether Apache serves nothing but the apps and what the distribution's package serves."""
    found = configuration()
    return not found["main"] and all(each["stock"] for each in found["sites"]) and not _is_served_elsewhere()


def _is_served_elsewhere() -> bool:
    """Tell whether something is served in all virtual hosts, as packages of web applications do it."""
    modules = {path.stem for path in paths.APACHE.glob("mods-enabled/*.load")}
    files = [each for each in paths.APACHE.glob("conf-enabled/*.conf") if each.name not in STOCK_CONF]
    served = any(SERVES.search(facts.read(each)) for each in files if not is_own(each.name))
    return served or any(name in SERVING or name.startswith("php") for name in modules)


def has_own_size() -> bool:
    """Tell whether somebody has decided how many threads and processes Apache has."""
    event = paths.APACHE / "mods-available/mpm_event.conf"
    if event.exists() and not _is_of_package(event):
        return True
    files = [paths.APACHE / "apache2.conf", *sorted(paths.APACHE.glob("*-enabled/*.conf"))]
    others = [each for each in files if not is_own(each.name) and not each.name.startswith("mpm_")]
    return any(SIZES.search(facts.read(each)) for each in others)


def _is_of_package(path: Path) -> bool:
    """Tell whether a file is as Apache's package has it."""
    digest = hashlib.md5(facts.read(path).encode(), usedforsecurity=False).hexdigest()
    return digest in facts.output("dpkg-query", "-W", "-f", "${Conffiles}", "apache2")


def on_port(hosts: Iterable[VirtualHost], port: int) -> list[VirtualHost]:
    """Return the virtual hosts that answer on a port."""
    return [each for each in hosts if each.port in (port, 0)]


def configuration() -> dict[str, Any]:
    """Return the sites that are not the role's, the main server's content, and where Apache listens without the apps.

    For the control node, as plain data.
    """
    found = read()
    stock = {each.file for each in found.hosts if found == BARE or is_stock(Path(each.file))}
    sites = [
        {
            "file": each.file,
            "line": each.line,
            "address": each.address,
            "port": each.port,
            "names": list(each.names),
            "stock": each.file in stock,
        }
        for each in found.hosts
    ]
    listens = [
        {"address": each.address, "port": each.port, "file": each.file, "line": each.line} for each in found.listens
    ]
    is_empty = found == BARE or (Path(found.root) == PAGE and is_untouched())
    return {"sites": sites, "listens": listens, "main": "" if is_empty else found.root}
