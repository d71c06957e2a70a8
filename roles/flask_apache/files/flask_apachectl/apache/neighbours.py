"""How the apps' virtual hosts take their place beside other people's, who keep every visitor that they have.

Only the default server comes before others. All other virtual hosts of the role come last, so that Apache asks them
for a name that no other site has; those with a wildcard come after those without.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flask_apachectl.apache import listing, others

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flask_apachectl.apache.listing import Listing
    from flask_apachectl.declaration import Site

LONGEST_NAME = 253  # characters of a host name
MAIN = "flask-apache-main_"  # how the names of the files begin that stand for the main server; no host name has a _
NONE = "flask-apache-none_"  # the same for those that answer for no name
NO_NAME = "any-name.flask-apache.invalid"  # stands for all names that no virtual host has


# How long Apache waits for a client: seconds. In the apps' virtual hosts, too.
TIMEOUT = 60
READ_TIMEOUT = "header=10-30,MinRate=500 body=10,MinRate=500"


# The first virtual host of a port decides about the curves of all: OpenSSL takes them before it knows the name.
CURVES = "X25519:prime256v1:secp384r1"


class Place(NamedTuple):
    """A virtual host of the role, for one server name and port."""

    host: str
    port: int
    is_secure: bool


def places(site: Site) -> list[Place]:
    """Return the virtual hosts that an app is in: first where visitors get it, then where they are led there."""
    found = [Place(f"{site.server_name}-{site.main_port}", site.main_port, site.is_secure)]
    return found + [Place(f"{site.server_name}-{site.port}", site.port, is_secure=False)] * bool(site.https_port)


def all_places(apps: Iterable[Site]) -> list[Place]:
    """Return the virtual hosts that all apps are in, each once."""
    return sorted({place for site in apps for place in places(site)})


def vhost(site: Site) -> str:
    """Return the name of the virtual host in which visitors get an app."""
    return places(site)[0].host


def is_in(site: Site, host: str) -> bool:
    """Tell whether an app is in a virtual host."""
    return any(place.host == host for place in places(site))


def default_ports(apps: Iterable[Site]) -> set[int]:
    """Return the ports on which an app answers for all names."""
    return {place.port for site in apps if site.default_server for place in places(site)}


def names(apps: Iterable[Site], host: str) -> list[str]:
    """Return all names of a virtual host of the role: those of the apps in it."""
    own = [site for site in apps if is_in(site, host)]
    return list(dict.fromkeys(name for site in own for name in (site.server_name, *site.server_aliases)))


def order(found: Iterable[str], *, is_default: bool) -> str:
    """Return how the link's name begins that puts a virtual host with these names in its place: Apache sorts them.

    Of two wildcards, the longer one means less, and comes first.
    """
    wild = [len(name) for name in found if name.startswith("*")]
    if is_default:
        return "00-"
    return f"zzz-{LONGEST_NAME + 3 - min(wild):03d}-" if wild else "zz-"


def addresses(found: Listing, port: int, *, is_default: bool) -> list[str]:
    """Return the addresses of a virtual host of the role on a port, as the section VirtualHost has them.

    A virtual host of an address gets all that comes there, so the apps must be beside it, as names of their own.
    """
    at = {each.address: each.port for each in others.on_port(found.hosts, 0) if each.port == 0}
    at |= {each.address: each.port for each in found.hosts if each.port == port}
    common = at.pop("*", port)
    own = [("*", common), *([] if is_default else sorted(at.items()))]
    return [f"{address}:{number or '*'}" for address, number in own]


def needs_main(found: Listing, port: int, apps: Iterable[Site]) -> bool:
    """Tell whether the main server answers on a port: then it has to go on, for names that the apps do not have.

    Beside an app of HTTPS it cannot: it does not speak that, and the first virtual host of a port decides.
    """
    has_site = any(each.address == "*" for each in others.on_port(found.hosts, port))
    is_secure = any(place.is_secure for place in all_places(apps) if place.port == port)
    return not has_site and not is_secure and any(each.port == port for each in found.listens)


def main_server(found: Listing, port: int, taken: Iterable[str]) -> str:
    """Return a virtual host that is as the main server, by another name if the apps have ``taken`` that one's."""
    is_taken = any(listing.matches(name, found.main) for name in taken)
    return (
        "# Made by flask-apachectl: requests for names that no virtual host has go to Apache's main server, as they\n"
        "# do on a host without apps.\n"
        f"<VirtualHost *:{port}>\n"
        + (f"    ServerName {NO_NAME}\n" if is_taken else "")
        + "    <IfModule rewrite_module>\n        RewriteOptions Inherit\n    </IfModule>\n</VirtualHost>\n"
    )


def needs_none(found: Listing, port: int, apps: Iterable[Site]) -> bool:
    """Tell whether only the apps are on a port: then a virtual host of its own answers for names that they do not have.

    An app that is the default server answers for them itself.
    """
    sites = list(apps)
    has_site = any(each.address == "*" for each in others.on_port(found.hosts, port))
    return not has_site and port not in default_ports(sites) and not needs_main(found, port, sites)


def no_server(port: int, certificate: tuple[Path, Path] | None) -> str:
    """Return a virtual host that has nothing; ``certificate`` and key are for one that speaks TLS."""
    tls = (
        f'    SSLEngine On\n    SSLCertificateFile "{certificate[0]}"\n    SSLCertificateKeyFile "{certificate[1]}"\n'
        "    SSLProtocol -all +TLSv1.2 +TLSv1.3\n    SSLCipherSuite ECDHE+AESGCM:ECDHE+CHACHA20\n"
        f"    SSLOpenSSLConfCmd Curves {CURVES}\n    SSLSessionTickets Off\n"
        if certificate
        else ""
    )
    return (
        "# Made by flask-apachectl: requests for names that no app has get nothing of any app.\n"
        f"<VirtualHost *:{port}>\n    ServerName {NO_NAME}\n{tls}"
        "    ServerSignature Off\n    TraceEnable Off\n    HttpProtocolOptions Strict LenientMethods Require1.0\n"
        f"    Timeout {TIMEOUT}\n    <IfModule reqtimeout_module>\n        RequestReadTimeout {READ_TIMEOUT}\n"
        "    </IfModule>\n    RewriteEngine On\n    RewriteOptions IgnoreInherit\n"
        '    RewriteRule "^" "-" [R=404,L]\n</VirtualHost>\n'
    )


def conflicts(before: Listing, after: Listing, apps: Iterable[Site]) -> Iterator[str]:
    """Yield what a new configuration would take from other sites, or what they would keep from the apps.

    ``before`` is the configuration on disk, of which the role's part is left out, ``after`` the new one.
    """
    sites = list(apps)
    default = default_ports(sites)
    then = others.without_own(before)
    replaced = {each.file for each in then.hosts} - {each.file for each in after.hosts}
    for place in dict.fromkeys((each.address, each.port) for each in then.hosts):
        was, now = (listing.chain(each.hosts, *place) for each in (then, after))
        nearby = was if place[1] == 0 else others.on_port(then.hosts, place[1])  # a name may come to any address
        if place[0] == "*" and place[1] in default:
            was, nearby = ([host for host in found if host.file not in replaced] for found in (was, nearby))
            wanted = set[str]()
        else:
            wanted = {NO_NAME}
        for name in sorted(wanted | {listing.example(name) for host in nearby for name in host.names}):
            old, new = listing.winner(was, name), listing.winner(now, name)
            if old and str(old) != str(new):
                yield f"{_told(name, place)} would be answered by {new or 'nobody'} instead of {old}"
    for port in sorted({place.port for place in all_places(sites)} - default):
        first = next(iter(listing.chain(after.hosts, "*", port)), None)
        if needs_main(then, port, sites) and first and others.is_own(first.file) and MAIN not in first.file:
            yield f"{_told(NO_NAME, ('*', port))} would be answered by {first} instead of Apache's main server"
    yield from _kept_from(after, sites)
    yield from _of_one_port(after, sites)


def _of_one_port(after: Listing, sites: list[Site]) -> Iterator[str]:
    """Yield the ports that would speak the PROXY protocol for some sites and not for others: Apache cannot do that."""
    spoken = {place.port for site in sites for place in places(site) if site.proxy_protocol}
    for port in sorted(spoken & {place.port for site in sites for place in places(site) if not site.proxy_protocol}):
        yield f"port {port} speaks the PROXY protocol for one app, so it must for all of its apps"
    for each in others.without_own(after).hosts:
        if each.port in (*spoken, 0) and spoken and not others.is_stock(Path(each.file)):
            yield f"{each} does not speak the PROXY protocol, which an app would have there"


def _kept_from(after: Listing, sites: list[Site]) -> Iterator[str]:
    """Yield the names of the apps that other virtual hosts answer for, in the places where both are."""
    for host in (place.host for place in all_places(sites)):
        own = [each for each in after.hosts if each.file.endswith(f"flask-apache-{host}.conf")]
        for each in own:
            beside = listing.chain(after.hosts, each.address, each.port)
            for name in names(sites, host):
                found = listing.winner(beside, listing.example(name))
                if found and found.file != each.file:
                    yield f"{name} of the apps is answered by {found} at {each.address}:{each.port or '*'}"


def _told(name: str, place: tuple[str, int]) -> str:
    what = "a name that no site has" if name == NO_NAME else name
    return f"{what} at {place[0]}:{place[1] or '*'}"
