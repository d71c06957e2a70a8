"""Who may visit: proxies, logins and lists of addresses."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from controller import access, claims
from controller.checks import patterns, site, values
from controller.values import Values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables

PATH = r"/|(?=.{1,200}$)(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+/?"
NETWORK = r"[0-9A-Fa-f.:]+(/\d{1,3})?"
USER = r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}"
REALM = r"[A-Za-z0-9_]([A-Za-z0-9_ .,:;!?()&/+@-]{0,99})"
LONGEST_PASSWORD = 72  # bytes that bcrypt reads
BELOW = "be a path below the mount, such as /admin"
ADDRESS = "be an address or a network, such as 192.0.2.7 or 192.0.2.0/24"


def check(own: Variables) -> Iterator[str]:
    """Report values that cannot be meant."""
    for place, text in values.texts(own, "trusted_proxies"):
        yield from network_errors(place, text, "name the proxies only")
    yield from path_errors(own)
    for place, entry in values.mappings(own, "basic_auth"):
        realm = entry.get("realm")
        if isinstance(realm, str) and not re.fullmatch(REALM, realm, re.ASCII):
            must = "be 1 to 100 letters, digits, spaces or other plain characters, such as Staff"
            yield values.error(f"{place}.realm", must, realm)
        if isinstance(entry.get("users"), dict):
            yield from user_errors(f"{place}.users", entry["users"])
    for place, entry in values.mappings(own, "allow"):
        if isinstance(entry.get("from"), list):
            yield from list_errors(f"{place}.from", entry["from"])
    if values.is_on(own["proxy_protocol"]) and not own["trusted_proxies"]:
        must, advice = "be false without flask_apache_trusted_proxies", "name the load balancers there"
        yield values.error("proxy_protocol", must, own["proxy_protocol"], advice)


def network_errors(place: str, text: str, if_all: str) -> Iterator[str]:
    """Report what is no address or network as Apache reads it; ``if_all`` is the advice for one that is everybody."""
    advice = ""
    try:
        found = ipaddress.ip_network(text, strict=False)
        if re.fullmatch(NETWORK, text, re.ASCII):
            is_mapped = isinstance(found, ipaddress.IPv6Network) and found.network_address.ipv4_mapped
            if found.prefixlen == 0:
                yield values.error(place, "not be a network of all addresses", text, if_all)
            elif is_mapped:
                yield values.error(place, ADDRESS, text, "write the IPv4 address that is in it")
            elif str(ipaddress.ip_interface(text).ip) != str(found.network_address):
                yield values.error(place, "be the first address of a network", text, f"write {found}")
            return
    except ValueError:
        if re.fullmatch(r"(?i)[a-z0-9-]+(\.[a-z0-9-]+)*", text) and re.search(r"(?i)[g-z]", text):
            advice = "names are not looked up"
    yield values.error(place, ADDRESS, text, advice)


def path_errors(own: Variables) -> Iterator[str]:
    """Report paths that are none, and those that are there already: twice in a variable, or almost so in the other."""
    spelt: dict[str, tuple[str, str]] = {}
    for name in ("basic_auth", "allow"):
        first: dict[str, str] = {}
        for place, entry in values.mappings(own, name):
            path = entry.get("path", "/")
            if not isinstance(path, str):
                continue
            if not re.fullmatch(PATH, path, re.ASCII):
                yield values.error(f"{place}.path", BELOW, path)
                continue
            plain = access.path_of({"path": path})
            other, theirs = spelt.setdefault(plain.lower(), (place, plain))
            if first.setdefault(plain.lower(), place) != place:
                must = f"differ from that of flask_apache_{first[plain.lower()]}"
                yield values.error(f"{place}.path", must, path, "the case of letters is no difference")
            elif theirs != plain:
                yield values.error(f"{place}.path", f"have the case of flask_apache_{other}.path", path)


def user_errors(place: str, users: Variables) -> Iterator[str]:
    """Report users that cannot log in."""
    if not users:
        yield values.error(place, "contain at least one user, such as {alice: 'PASSWORD'}", users)
    for name, password in users.items():
        if not (isinstance(name, str) and re.fullmatch(USER, name, re.ASCII)):
            must = "have names of up to 64 letters, digits or any of _.@+-, such as alice"
            yield values.error(place, must, name, "put them in quotes" * (not isinstance(name, str)))
        elif not isinstance(password, str):
            yield values.error(patterns.below(place, name), "be a string", password, "put the password in quotes")
        elif not 1 <= len(password.encode(errors="replace")) <= LONGEST_PASSWORD:
            yield values.error(patterns.below(place, name), f"be a password of 1 to {LONGEST_PASSWORD} bytes", password)


def list_errors(place: str, addresses: list[object]) -> Iterator[str]:
    """Report addresses that are none, and lists that mean nothing."""
    if not addresses:
        advice = "write [all] for everybody"
        yield values.error(place, "contain at least one address, network or all", addresses, advice)
    for index, text in enumerate(addresses):
        if text == access.ALL and len(addresses) > 1:
            yield values.error(f"{place}[{index}]", "be the only one in its list", text)
        elif isinstance(text, str) and text != access.ALL:
            yield from network_errors(f"{place}[{index}]", text, "write all instead")


def check_port(own: Variables, host: Variables) -> Iterator[str]:
    """Report a port at which others do not speak the PROXY protocol, or do: Apache has one answer for all of a port."""
    wanted, ports = values.is_on(own["proxy_protocol"]), site.ports_of(own).values()
    for app in host["apps"]:
        common = sorted({app.get("port"), app.get("https_port") or app.get("port")} & set(ports))
        if app.get("app") != own["app"] and common and bool(app.get("proxy_protocol")) != wanted:
            must = f"be {str(not wanted).lower()} at port {common[0]}, as it is for the app {app.get('app')}"
            advice = "a port speaks the PROXY protocol for all of its sites: set another port"
            yield values.error("proxy_protocol", must, own["proxy_protocol"], advice)
    if not wanted:
        return
    found = host["configuration"]
    taken = [(each["port"], site.where(each)) for each in found["sites"] if not each["stock"]]
    taken += [
        (port, f"Apache's main server (DocumentRoot {found['main']})") for port in site.ports(host) if found["main"]
    ]
    for port, what in taken:
        if port in (*ports, 0):
            must = f"be false at the port of {what}"
            advice = "that site does not speak the PROXY protocol: set another port"
            yield values.error("proxy_protocol", must, own["proxy_protocol"], advice)


def warnings(own: Variables, host: Variables) -> Iterator[str]:
    """Yield what apps of one virtual host declare differently, and passwords that anybody on the way can read."""
    full = Values({f"flask_apache_{name}": value for name, value in own.items()})
    mine, ports = access.shared(full), site.ports_of(own)
    for app in host["apps"]:
        theirs = app.get("shared") or {}
        is_same_name = app.get("server_name") == str(own["server_name"]).lower()
        common = {app.get("port"), app.get("https_port") or None} & set(ports.values())
        if app.get("app") == own["app"] or not is_same_name or not common:
            continue
        for name in sorted(name for name in mine.keys() & theirs.keys() if mine[name] != theirs[name]):
            if name in access.SHARED or app.get("https_port") == ports.get("https_port"):
                yield (
                    f"flask_apache_{name} is not the same for the app {app.get('app')}, which has the same virtual "
                    f"host {app.get('server_name')}: the last run decides for both; declare the same for both"
                )
    is_encrypted = own["tls"] != "none" or own["trusted_proxies"] or claims.is_tls(full.texts("directives"))
    if own["basic_auth"] and not is_encrypted:
        yield "flask_apache_basic_auth without HTTPS sends passwords unencrypted: set flask_apache_tls"
