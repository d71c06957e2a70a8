"""What Apache's configuration is to be, derived from all apps of the host: called under the host's lock.

An app has a file of its own in its virtual host's directory and one for its pools. A virtual host, for one server name
and port, belongs to all apps below it; what mod_wsgi has once for the whole Apache belongs to all apps of the host.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_apachectl import declaration, paths
from flask_apachectl.apache import acme, certificates, hardening, neighbours, others
from flask_apachectl.apache.neighbours import MAIN, NONE, Place, needs_none
from flask_apachectl.app import read_json
from flask_apachectl.declaration import DamagedError, Site
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files
from flask_apachectl.host.desired import Directory, File, Link, Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flask_apachectl.apache.listing import Listing

PLACEHOLDER = "@CONFIGURATION@"  # in an app's file: where the digest of its configuration is to stand
ADDRESSES = "@ADDRESSES@"  # in a virtual host: where its addresses are to stand
FRAGMENT = re.compile(r"\d{3}-([a-z][a-z0-9-]{0,31})\.conf")
STOCK = others.STOCK  # its link is not recorded: somebody may enable or disable it by hand
STOCK_PORT = 80
NOWHERE = "none_"  # the directory of the certificate for unknown names; no host name has a _
CONFIGURED = ("ssl",)  # modules that are enabled with their own configuration
EXTERNAL_ACCOUNT = "external-account.json"
SECRETS = (certificates.CERTIFICATE, certificates.KEY, EXTERNAL_ACCOUNT)  # in a virtual host's directory
REPLACED = "flask-apache-replaced.conf"  # keeps the link of the distribution's page while an app is the default


@dataclass(frozen=True)
class Declared:
    """What the control node rendered for an app: its own files, and each variant of what depends on the others."""

    fragments: Mapping[str, tuple[Path, str]]  # by the virtual hosts' names, in the order of `neighbours.places`
    pools: tuple[Path, str]
    vhosts: Mapping[str, Mapping[str, str]]  # each with the directive Listen ("listen"), or without ("plain")
    server: str  # what mod_wsgi is told for the whole Apache
    harden_server: Mapping[str, str]  # what else the whole Apache is told, with its size ("sized") or not ("plain")
    modules: tuple[str, ...] = ()  # to be enabled
    wsgi_load: str = ""  # how a mod_wsgi that pip built is loaded; nothing for the distribution's
    external_account: str = ""  # what an authority has given to its customer, as JSON
    certificate: str = ""  # in PEM, with its chain
    key: str = ""
    self_signed: bool = False  # the host makes both


def sites(*, but: str) -> dict[str, Site]:
    """Return how each app is served that Apache's configuration has, but for one.

    Raises RefusedError when one of them cannot be read: it is never taken for "none".
    """
    found = {}
    for name in sorted(set(fragments()) - {but}):
        path = paths.ETC / name / "app.json"
        try:
            mapping = read_json(path)
            if isinstance(mapping, dict) and "format" not in mapping:  # of the first version: the same names, flat
                known = {name: mapping[name] for name in Site.__annotations__ if name in mapping}
                mapping = {"format": declaration.EARLIEST, "site": known}
            found[name] = declaration.read(Site, declaration.expect_format(mapping, str(path)).get("site"), str(path))
        except (DamagedError, FileNotFoundError) as error:
            problem = str(error) if isinstance(error, DamagedError) else f"{path} is missing"
            raise RefusedError(
                f"{problem}\nNothing is changed, as it is not known what the app {name} shares with others: "
                f"run the role for {name} first"
            ) from None
    return found


def fragments() -> dict[str, Path]:
    """Return the files of the apps in the virtual hosts' directories, by the apps' names."""
    found = {}
    for path in sorted(paths.ETC.glob("vhosts/*/*.conf")):
        name = FRAGMENT.fullmatch(path.name)
        if name:
            found[name[1]] = path
    return found


def wanted(apps: Mapping[str, Site], name: str, declared: Declared | None) -> list[Wanted]:
    """Return what Apache's configuration is to be, in an order in which it can be loaded after each step.

    ``apps`` are all apps that it has; ``name`` is the one that is declared, or removed when nothing is.
    """
    own_part = own(name, apps, declared) if declared else []
    return [*own_part, *shared(apps, is_declared=declared is not None), *_left_behind(apps, name, declared)]


def own(name: str, apps: Mapping[str, Site], declared: Declared) -> list[Wanted]:
    """Return the part of Apache's configuration that an app's declaration makes."""
    return [*_module_links(declared), *_own(name, apps, declared)]


def shared(apps: Mapping[str, Site], *, is_declared: bool = False) -> list[Wanted]:
    """Return what depends on all apps: what is hardened, which virtual hosts are enabled, and what all others get.

    ``is_declared`` tells that an app's own files come before.
    """
    hardened = [*hardening.wanted(apps, is_declared=is_declared), *hardening.unit(apps)]
    return [*hardened, *_main_servers(apps), *_no_servers(apps), *_virtual_hosts(apps), *_stock_site(apps)]


def misplaced(apps: Mapping[str, Site], name: str) -> list[str]:
    """Return the files of an app's virtual hosts whose addresses are wrong, because other sites have been added."""
    wrong = []
    for place in neighbours.places(apps[name]):
        path = _available(place.host)
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        found = re.search(r"(?m)^<VirtualHost (.*)>$", text)
        wrong += [str(path)] if found and found[1] != _addresses(apps, place, others.read()) else []
    return wrong


def _available(host: str) -> Path:
    """Return the file of a virtual host."""
    return paths.APACHE / f"sites-available/flask-apache-{host}.conf"


def _addresses(apps: Mapping[str, Site], place: Place, found: Listing) -> str:
    return " ".join(neighbours.addresses(found, place.port, is_default=_is_default(apps, place.host)))


def _is_default(apps: Mapping[str, Site], host: str) -> bool:
    return any(site.default_server for site in apps.values() if neighbours.is_in(site, host))


def digest(texts: list[str]) -> str:
    """Return what stands for a configuration in a probe's answer."""
    return files.short_hash(texts, 16)


def _module_links(declared: Declared) -> list[Wanted]:
    enabled = paths.APACHE / "mods-enabled"
    steps: list[Wanted] = []
    own = "flask_apache_wsgi.load"
    if declared.wsgi_load:
        steps.append(File(paths.APACHE / "mods-available" / own, declared.wsgi_load.encode()))
        steps += [
            Link(enabled / "wsgi.load"),
            Link(enabled / "wsgi.conf"),
            Link(enabled / own, f"../mods-available/{own}"),
        ]
    else:
        steps += [Link(enabled / own)]
        steps += [Link(enabled / name, f"../mods-available/{name}") for name in ("wsgi.load", "wsgi.conf")]
    files = [f"{name}.load" for name in declared.modules]
    files += [f"{name}.conf" for name in CONFIGURED if name in declared.modules and _is_ours_to_configure(name)]
    return steps + [Link(enabled / name, f"../mods-available/{name}") for name in files]


def _is_ours_to_configure(module: str) -> bool:
    """Tell whether a module's own configuration changes nothing for others: nobody has used the module without it."""
    enabled = paths.APACHE / "mods-enabled"
    return not os.path.lexists(enabled / f"{module}.load") or os.path.lexists(enabled / f"{module}.conf")


def _certificate(apps: Mapping[str, Site], place: Place, declared: Declared) -> tuple[File, ...]:
    """Return the certificate and the key of an app's virtual host, unless they are elsewhere on the host."""
    directory = paths.ETC / "vhosts" / place.host
    if declared.external_account:
        return (File(directory / EXTERNAL_ACCOUNT, declared.external_account.encode(), mode=0o600, secret=True),)
    if declared.self_signed:
        return certificates.self_signed(directory, tuple(neighbours.names(apps.values(), place.host)))
    return certificates.files(directory, declared.certificate, declared.key) if declared.certificate else ()


def _own(name: str, apps: Mapping[str, Site], declared: Declared) -> list[Wanted]:
    """Return the files that the app's declaration makes, with the digest of its configuration in its own."""
    places, server = neighbours.places(apps[name]), declared.server
    found = others.read(tuple(_module_links(declared)))
    listened = {each.port for each in found.listens}
    hosts = {}
    for place in places:
        text = declared.vhosts[place.host]["plain" if place.port in listened else "listen"]
        hosts[place.host] = text.replace(ADDRESSES, _addresses(apps, place, found))
    secrets = _certificate(apps, places[0], declared)
    names = neighbours.names(apps.values(), places[0].host)
    begin = [acme.directory(), *acme.first(apps[name], _available(places[0].host), names)] if apps[name].acme else []
    texts = [text for _, text in declared.fragments.values()] + [each.content.decode() for each in secrets]
    hardened = declared.harden_server["plain" if others.has_own_size() else "sized"]
    texts += [hardened] if apps[name].harden_server else []
    mine = digest([*texts, declared.pools[1], *hosts.values(), server, declared.wsgi_load, *declared.modules])
    unused = [paths.ETC / "vhosts" / places[0].host / file for file in SECRETS]
    available = paths.APACHE / "conf-available"
    enabled = paths.APACHE / "conf-enabled"
    pools = f"flask-apache-{name}.conf"
    return [
        *(Directory(path.parent, "root", "root", 0o755) for path, _ in declared.fragments.values()),
        *begin,
        *secrets,
        *(Link(path) for path in unused if path not in {each.path for each in secrets}),
        File(available / "flask-apache.conf", server.encode()),
        File(available / paths.HARDENED, hardened.encode()),
        File(declared.pools[0], declared.pools[1].encode()),
        *(File(path, text.replace(PLACEHOLDER, mine).encode()) for path, text in declared.fragments.values()),
        *(File(_available(host), text.encode()) for host, text in hosts.items()),
        Link(enabled / "flask-apache.conf", "../conf-available/flask-apache.conf"),
        Link(enabled / pools, f"../conf-available/{pools}"),
    ]


def _main_servers(apps: Mapping[str, Site]) -> list[Wanted]:
    """Return what stands for Apache's main server where it would be hidden by the apps' virtual hosts."""
    found, steps = others.read(), list[Wanted]()
    default = neighbours.default_ports(apps.values())
    returns = STOCK_PORT if _kept_stock() and STOCK_PORT not in default else None
    ports = (
        {
            place.port
            for place in neighbours.all_places(apps.values())
            if neighbours.needs_main(found, place.port, apps.values())
        }
        - default
        - {returns}
    )
    for port in sorted(ports):
        names = [name for site in apps.values() for name in (site.server_name, *site.server_aliases)]
        file = f"{MAIN}{port}.conf"
        text = neighbours.main_server(found, port, names)
        steps.append(File(paths.APACHE / "sites-available" / file, text.encode()))
        steps.append(Link(paths.APACHE / "sites-enabled" / f"zy-{file}", f"../sites-available/{file}"))
    return [*steps, *_unneeded(MAIN, ports)]


def _no_servers(apps: Mapping[str, Site]) -> list[Wanted]:
    """Return what answers for unknown names on the ports that only the apps have."""
    found, steps = others.read(), list[Wanted]()
    places = [each for each in neighbours.all_places(apps.values()) if needs_none(found, each.port, apps.values())]
    secure = {place.port for place in places if place.is_secure}
    directory, pair = paths.ETC / "vhosts" / NOWHERE, None
    if secure:
        files = certificates.self_signed(directory, (neighbours.NO_NAME,))
        pair = (files[0].path, files[1].path)
        steps += [Directory(directory, "root", "root", 0o755), *files]
    for port in sorted({place.port for place in places}):
        file = f"{NONE}{port}.conf"
        text = neighbours.no_server(port, pair if port in secure else None)
        steps.append(File(paths.APACHE / "sites-available" / file, text.encode()))
        steps.append(Link(paths.APACHE / "sites-enabled" / f"zy-{file}", f"../sites-available/{file}"))
    steps += _unneeded(NONE, {place.port for place in places})
    return steps if secure else [*steps, Link(directory)]


def _unneeded(kind: str, ports: set[int]) -> list[Wanted]:
    """Return the removal of such virtual hosts on all other ports."""
    kept = {f"{kind}{port}.conf" for port in ports}
    unneeded = [each for each in sorted(paths.APACHE.glob(f"sites-available/{kind}*.conf")) if each.name not in kept]
    return [Link(each) for path in unneeded for each in (paths.APACHE / f"sites-enabled/zy-{path.name}", path)]


def _virtual_hosts(apps: Mapping[str, Site]) -> list[Wanted]:
    """Return the links that enable the virtual hosts: a default one comes before all others, all others last."""
    steps: list[Wanted] = []
    for host in sorted({place.host for place in neighbours.all_places(apps.values())}):
        names = neighbours.names(apps.values(), host)
        name = f"{neighbours.order(names, is_default=_is_default(apps, host))}flask-apache-{host}.conf"
        steps.append(Link(paths.APACHE / "sites-enabled" / name, f"../sites-available/flask-apache-{host}.conf"))
        steps += [Link(path) for path in _links(host) if path.name != name]
    return steps


def _links(host: str) -> list[Path]:
    """Return the links by which a virtual host may be enabled."""
    enabled = paths.APACHE / "sites-enabled"
    numbered = enabled.glob(f"zzz-[0-9][0-9][0-9]-flask-apache-{host}.conf")
    return [*(enabled / f"{prefix}flask-apache-{host}.conf" for prefix in ("00-", "zz-", "")), *sorted(numbered)]


def _kept_stock() -> str:
    """Return the target of the link to the distribution's page while an app is in its place."""
    kept = paths.APACHE / "sites-available" / REPLACED
    return next(iter([*_recorded(kept), *([os.readlink(kept)] if kept.is_symlink() else [])]), "")


def _stock_site(apps: Mapping[str, Site]) -> list[Wanted]:
    """Return where the link of the distribution's page is to be: it answers for the machine's name, too."""
    enabled = paths.APACHE / "sites-enabled" / STOCK
    kept = paths.APACHE / "sites-available" / REPLACED
    target = _kept_stock() or (os.readlink(enabled) if enabled.is_symlink() else "")
    if not target:  # there is none, or it is not a link, and so somebody else's
        return []
    if STOCK_PORT in neighbours.default_ports(apps.values()):
        return [Link(kept, target), Link(enabled)]
    return [*([Link(enabled, target)] if os.path.lexists(kept) else []), Link(kept)]


def _recorded(link: Path) -> list[str]:
    """Return the targets that a link was last installed with: it may have been damaged since."""
    found = []
    for path in sorted([*paths.ETC.glob("*.json"), *paths.ETC.glob("*/app.json")]):
        with contextlib.suppress(DamagedError, FileNotFoundError, AttributeError, KeyError, TypeError):
            found += [each["target"] for each in read_json(path)["installed"] if each["path"] == str(link)]
    return [target for target in found if target]


def _left_behind(apps: Mapping[str, Site], name: str, declared: Declared | None) -> list[Wanted]:
    """Return what is to go: files of the app where it was before, deserted virtual hosts, and what no app needs."""
    steps: list[Wanted] = []
    kept = {path for path, _ in declared.fragments.values()} if declared else set()
    for path in sorted(paths.ETC.glob("vhosts/*/*.conf")):
        found = FRAGMENT.fullmatch(path.name)
        if found and (found[1] not in apps or (found[1] == name and path not in kept)):
            steps.append(Link(path))
    hosts = {place.host for place in neighbours.all_places(apps.values())}
    deserted = {path.name for path in paths.ETC.glob("vhosts/*") if path.name != NOWHERE} | {
        found[1]
        for path in paths.APACHE.glob("sites-available/flask-apache-*.conf")
        if path.name != REPLACED
        and not path.name.startswith((MAIN, NONE))
        and (found := re.fullmatch(r"flask-apache-(.*)\.conf", path.name))
    }
    for host in sorted(deserted - hosts):
        steps += [Link(path) for path in _links(host)]
        steps += [Link(_available(host)), Link(paths.ETC / "vhosts" / host)]
        steps += acme.left_by(host, {site.server_name for site in apps.values() if site.acme})
    if name not in apps:
        steps += _conf(f"flask-apache-{name}.conf")
    if not apps:
        steps += _conf("flask-apache.conf")
        steps += [Link(paths.APACHE / f"mods-{place}" / "flask_apache_wsgi.load") for place in ("enabled", "available")]
    return steps


def _conf(name: str) -> list[Wanted]:
    return [Link(paths.APACHE / f"conf-{place}" / name) for place in ("enabled", "available")]
