"""The site: its names, its port and mount, static files, and whether others have them already."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from controller.checks import patterns, values

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
    """Report a port that another program listens on."""
    holder = host["listeners"].get(str(own["port"]))
    if holder and not holder.startswith("apache2 "):
        advice = f"{holder} listens on it: stop that program, or set another port"
        yield values.error("port", "be a port that no other program uses", own["port"], advice)


def check_logs(own: Variables, host: Variables) -> Iterator[str]:
    """Report log files where somebody else than root decides what the path leads to: Apache opens them as root."""
    for name in ("access_log", "error_log"):
        path = str(own[name])
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
            if app.get("port") == values.number(own["port"]):
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


def check_sites(own: Variables, host: Variables) -> Iterator[str]:
    """Report what would take something away from a site that is not the role's."""
    for site in host["configuration"]["sites"]:
        if site["port"] != values.number(own["port"]) or site["stock"]:
            continue
        for name in sorted(host_names(own) & set(site["hosts"])):
            advice = f"{site['file']} serves it already: set another name or another port"
            yield values.error("server_name", "not be the name of another site", name, advice)
        if values.is_on(own["default_server"]):
            yield values.error(
                "default_server",
                "be false",
                own["default_server"],
                f"true would take requests away from {site['file']}: set false and a server name, or another port",
            )
