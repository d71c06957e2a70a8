"""The site: its names, its port and mount, static files, and whether others have them already."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from controller import claims
from controller.checks import patterns, values
from flask_apachectl.apache import listing, neighbours
from flask_apachectl.host.sockets import Socket
from flask_apachectl.paths import JOURNAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables


ROLE_DIRECTORIES = [f"/{top}/flask-apache" for top in ("etc", "srv", "var/lib", "var/cache")]  # of apps, releases, data


def check_names(own: Variables) -> Iterator[str]:
    """Report server names and aliases that no browser could ask for."""
    name = own["server_name"]
    if isinstance(name, str) and not patterns.HOST_NAME.fullmatch(name):
        yield values.error("server_name", "be a host name, such as www.example.com", name)
    for place, alias in values.texts(own, "server_aliases"):
        if not patterns.HOST_NAME.fullmatch(alias.removeprefix("*.")):
            yield values.error(place, "be a host name, such as example.com or *.example.com", alias)


def check_static(own: Variables) -> Iterator[str]:
    """Report static files whose address or place cannot be meant."""
    forms = {
        "url": patterns.PATTERNS["mount"],
        "path": (patterns.BELOW_SOURCE, "be a relative path in the source, such as shop/static"),
    }
    first: dict[str, str] = {}
    for place, entry in values.mappings(own, "static"):
        for key, (pattern, must) in forms.items():
            text = entry.get(key)
            if isinstance(text, str) and not re.fullmatch(pattern, text, re.ASCII):
                yield values.error(f"{place}.{key}", must, text)
        url = entry.get("url")
        if isinstance(url, str) and first.setdefault(url, place) != place:
            yield values.error(f"{place}.url", f"differ from that of flask_apache_{first[url]}", url)


def check_port(own: Variables, host: Variables) -> Iterator[str]:
    """Report ports that other programs listen on: the app's, and while Apache does not run all that it will try."""
    listens = host["configuration"]["listens"]
    for name, port in ports_of(own).items():
        ours = [each["address"] for each in listens if each["port"] == port] or [""]
        for holder in dict.fromkeys(each for address in ours for each in holders(host, address, port)):
            advice = f"{holder} listens on it: stop that program, or set another port"
            yield values.error(name, "be a port that no other program uses", own[name], advice)
    if host.get("apache_running") or not values.is_on(own["manage_service"]):
        return
    for each in (each for each in listens if each["port"] not in ports_of(own).values()):
        for holder in holders(host, each["address"], each["port"]):
            first = "" if host.get("apache_installed", True) else "install apache2 first, then "
            remedy = f"stop that program, or {first}remove that Listen from {each['file']}:{each['line']}"
            must = "be free of other programs where Apache listens, got a Listen for"
            yield f"host: the port must {must} {each['port']}; {holder} has it: {remedy}"


def ports_of(own: Variables) -> dict[str, float | None]:
    """Return the ports of an app by the names of their variables."""
    return {name: values.number(own[name]) for name in ("port", *(["https_port"] if own["tls"] != "none" else []))}


def holders(host: Variables, address: str, port: float | None) -> Iterator[str]:
    """Yield the programs that keep Apache from listening at an address, or at all."""
    wanted = address.strip("[]") or "::"
    for each in host["listeners"]:
        is_theirs = each["port"] == port and each["program"] != "apache2"
        if is_theirs and Socket(each["address"], each["port"]).covers(wanted):
            yield each["holder"]


def check_logs(own: Variables, host: Variables) -> Iterator[str]:
    """Report log files where somebody else than root decides what the path leads to: Apache opens them as root."""
    for name in ("access_log", "error_log"):
        path = str(own[name])
        if path == JOURNAL and not host["systemd"]:
            yield values.error(name, "not be journald on a host where systemd does not run", path)
        of_role = next((top for top in ROLE_DIRECTORIES if path.startswith(f"{top}/")), "")
        if of_role:
            advice = "choose a directory of root's, such as /var/log/apache2"
            yield values.error(name, f"not lie in {of_role}", path, advice)
        elif path in host["logs_unsafe"]:
            advice = f"{host['logs_unsafe'][path]}: choose a directory of root's, such as /var/log/apache2"
            yield values.error(name, "be a path that only root can change", path, advice)


def host_names(own: Variables) -> set[str]:
    """Return all names that the app answers for."""
    return {str(own["server_name"]).lower(), *(str(alias).lower() for alias in own["server_aliases"])}


def check_apps(own: Variables, host: Variables) -> Iterator[str]:
    """Report what would take something away from another app of the host."""
    for app in host["apps"]:
        if app.get("app") != own["app"]:
            yield from owner_errors(own, host, app)
            yield from scheme_errors(own, app)
            if set(ports_of(own).values()) & {app.get("port"), app.get("https_port") or app.get("port")}:
                yield from address_errors(own, app)


def owner_errors(own: Variables, host: Variables, app: Variables) -> Iterator[str]:
    """Report a user that another app has, and a Python that one Apache cannot run beside another app's."""
    name = app.get("app")
    if app.get("user") == own["user"]:
        advice = f"the app {name} runs as this user"
        yield values.error("user", "be a Unix user of the app's own", own["user"], advice)
    has_other_path = app.get("python") not in (None, own["python"])  # the same one may have been upgraded
    if has_other_path and host["python"] and app.get("python_version", host["python"]) != host["python"]:
        yield values.error(
            "python",
            f"be Python {app['python_version']}, the version of the app {name} on this host",
            own["python"],
            f"it is Python {host['python']}, and all apps of one Apache share one mod_wsgi and its version of Python",
        )


def scheme_errors(own: Variables, app: Variables) -> Iterator[str]:
    """Report a port that is to speak HTTPS for one app and plain HTTP for another."""
    theirs = {app.get("https_port") or app.get("port"): "HTTPS" if app.get("https_port") or app.get("tls") else "HTTP"}
    theirs |= {app.get("port"): "HTTP"} if app.get("https_port") else {}
    for name, port in ports_of(own).items():
        wanted = "HTTPS" if name == "https_port" else "HTTP"
        if theirs.get(port, wanted) != wanted and not own_tls(own):
            advice = f"the app {app.get('app')} serves {theirs[port]} there: set another port"
            yield values.error(name, f"be a port for {wanted}", own[name], advice)


def own_tls(own: Variables) -> bool:
    """Tell whether the app's directives speak TLS at its port."""
    return own["tls"] == "none" and claims.is_tls(str(each) for each in own["directives"] or [])


def address_errors(own: Variables, app: Variables) -> Iterator[str]:
    """Report names and mounts that another app has on the same port."""
    name, server_name = app.get("app"), app.get("server_name")
    is_same_name = server_name == str(own["server_name"]).lower()
    if values.is_on(own["default_server"]) and app.get("default_server") and not is_same_name:
        yield values.error(
            "default_server",
            "be false",
            own["default_server"],
            f"{server_name} of the app {name} is the default server on this port: set false, or another port",
        )
    shared = sorted(host_names(own) & {server_name, *app.get("server_aliases", [])})
    if shared and not is_same_name:
        yield values.error(
            "server_name",
            f"be {server_name} to share {shared[0]} with the app {name}",
            own["server_name"],
            f"set the same server name, or remove {shared[0]} from one of the two",
        )
    elif shared and app.get("mount") == own["mount"]:
        advice = f"the app {name} is mounted there: set another mount or another server name"
        yield values.error("mount", f"be free on {server_name}", own["mount"], advice)
    elif not is_same_name:
        yield from wildcard_errors(own, app)


def wildcard_errors(own: Variables, app: Variables) -> Iterator[str]:
    """Report names that a wildcard of one app would take from another one: Apache asks the first one that matches."""
    found = []
    for each in (own, app):
        server_name, is_default = (
            str(each.get("server_name")).lower(),
            values.is_on(each.get("default_server") or False),
        )
        names = [server_name, *(str(alias).lower() for alias in each.get("server_aliases") or [])]
        found.append((neighbours.order(names, is_default=is_default), server_name, names))
    first, second = sorted(found)
    for pattern in (name for name in first[2] if "*" in name):
        for name in second[2]:
            if listing.matches(pattern, listing.example(name)) and name != pattern:
                yield values.error(
                    "server_aliases",
                    f"not leave {name} to {pattern}",
                    own["server_aliases"],
                    f"{second[1]} has that name beside {first[1]}, which Apache asks first: remove one of the two",
                )


def check_sites(own: Variables, host: Variables) -> Iterator[str]:
    """Report what would take something away from a site that is not the role's, or what that keeps from the app."""
    wanted, found = ports_of(own).values(), host["configuration"]
    sites = [each for each in found["sites"] if each["port"] in (*wanted, 0)]
    places = {"server_name": str(own["server_name"])}
    places |= {f"server_aliases[{number}]": str(alias) for number, alias in enumerate(own["server_aliases"])}
    is_default = values.is_on(own["default_server"])
    for site in (each for each in sites if not (each["stock"] and is_default)):
        for place, name in places.items():
            pattern = next((each for each in site["names"] if listing.matches(each, listing.example(name))), "")
            if pattern:
                theirs = f" as {pattern}" if pattern != name.lower() else ""
                remedy = "set another name or another port, or change that site"
                if site["stock"]:
                    remedy = "set flask_apache_default_server: true, which replaces that page, or another name"
                advice = f"{where(site)} serves it{theirs}: {remedy}"
                yield values.error(place, "not be the name of another site", name, advice)
    was_default = any(
        app.get("app") == own["app"] and app.get("default_server") and app.get("port") in wanted for app in host["apps"]
    )
    taken = [where(each) for each in sites if not each["stock"] and not (was_default and each["address"] == "*")]
    if not any(each["address"] == "*" for each in sites) and found["main"] and not was_default:
        taken += [f"Apache's main server (DocumentRoot {found['main']})"] * bool(set(wanted) & set(ports(host)))
    for place in taken if is_default else []:
        yield values.error(
            "default_server",
            "be false",
            own["default_server"],
            f"true would take requests away from {place}: set false and a server name, or another port",
        )


def ports(host: Variables) -> list[int]:
    """Return the ports on which Apache listens without the apps."""
    return [each["port"] for each in host["configuration"]["listens"]]


def where(site: Variables) -> str:
    """Name the place where another site is defined."""
    return f"{site['file']}:{site['line']}"
