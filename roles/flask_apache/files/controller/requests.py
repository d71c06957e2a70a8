"""What the control node asks of the engine on a host, computed of the role's variables and the host's answers."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from flask_apachectl import releases
from flask_apachectl.declaration import Site, Spec, read

from . import access, declaration, source, tls
from . import files as templates
from .checks import patterns
from .values import Values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .declaration import Derived
    from .files import Template

    Variables = Mapping[str, Any]
    Render = Callable[[Template], str]

COMPLETION = "/usr/share/bash-completion/completions/flask-apachectl"


def question(variables: Variables, constants: Variables) -> dict[str, Any]:
    """Return what the command ``inspect`` reads: also of variables that have not been checked."""
    timers = variables["flask_apache_timers"]
    calendars = [timer.get("calendar") for timer in timers if isinstance(timer, dict)] if timers else []
    try:
        packages = source.packages(variables, constants)
    except (KeyError, TypeError, ValueError):  # the checks will say what is wrong
        packages = list(constants["__flask_apache_packages"]["common"])
    return {
        "app": variables["flask_apache_app"],
        "user": variables["flask_apache_user"],
        "python": variables["flask_apache_python"],
        "packages": packages,
        "calendars": [str(text) for text in calendars],
        "tls": tls.question(variables),
        "logs": [
            path
            for path in (variables["flask_apache_access_log"], variables["flask_apache_error_log"])
            if is_path(path)
        ],
        "textfile": directory if is_path(directory := variables["flask_apache_metrics_textfile"]) else "",
    }


def is_path(value: object) -> bool:
    """Tell whether a value that has not been checked can be an absolute path, or an empty string."""
    return isinstance(value, str) and re.fullmatch(patterns.ABSOLUTE, value, re.ASCII) is not None


def declaration_of(
    variables: Variables,
    host: Variables,
    constants: Variables,
    render: Render,
    *,
    engine: bytes,
    entry: str,
    completion: str,
    pages: Mapping[str, str],
    certificate: Mapping[str, Any],
) -> dict[str, Any]:
    """Return all that an app is to have: what the commands ``prepare`` and ``apply`` read. It holds secrets.

    ``pages`` are the user's own error pages, by their status; ``certificate`` is what `tls.material` returns.
    """
    derived = declaration.derive(variables, host, constants)
    flat = declaration.declared(variables, derived, host, host.get("wheelhouse", ""))
    flat["units"] = {each.path.rpartition("/")[2]: render(each) for each in templates.unit_files(derived)}
    own_pages = {f"{derived.paths.conf}/pages/{status}.html": text for status, text in pages.items()}
    request: dict[str, Any] = {
        "app": derived.site.name,
        "site": {each.name: flat[each.name] for each in fields(Site)},
        "spec": {each.name: flat[each.name] for each in fields(Spec)},
        "environment": environment(variables),
        "users": access.users(Values(variables), derived.paths.conf),
        "index_urls": declaration.index_urls(variables),
        "directories": templates.directories(derived),
        "files": [
            *(
                file(each.path, own_pages.get(each.path) or render(each), each.mode, each.group)
                for each in templates.templates(derived)
            ),
            file(derived.paths.entry, entry),
            file(COMPLETION, completion),
        ],
        "apache": {**apache(derived, render), **certificate_of(Values(variables), certificate)},
    }
    request["engine"] = hashlib.sha256(engine).hexdigest()  # another one is another declaration
    request["salt"] = host["salt"]
    request["digest"] = digest(request)
    return request


def environment(variables: Variables) -> dict[str, str]:
    """Return the app's environment; a number or a flag is written as Ansible and YAML write it.

    The language of the daemon processes is that of all of the app's processes.
    """
    values = Values(variables)
    lang = values.text("daemon_lang", declaration.LANG)
    found = {} if lang == declaration.LANG else {"LANG": lang}
    return found | {str(name): str(value) for name, value in (values.raw("environment") or {}).items()}


def file(path: str, content: str, mode: str = "0644", group: str = "root") -> dict[str, Any]:
    """Return a file that the app is to have."""
    return {"path": path, "content": content, "mode": mode, "group": group, "secret": False}


def apache(derived: Derived, render: Render) -> dict[str, Any]:
    """Return Apache's part: the app's own files, and those that apps share."""
    load = templates.wsgi_load(derived)
    pools = templates.pools(derived)
    own = templates.fragments(derived).items()
    return {
        "fragments": {host: {"path": each.path, "content": render(each)} for host, each in own},
        "pools": {"path": pools.path, "content": render(pools)},
        "modules": derived.site.apache_modules,
        "wsgi_load": render(load) if load else "",
        "vhosts": {
            host: {variant: render(each) for variant, each in variants.items()}
            for host, variants in templates.vhosts(derived).items()
        },
        "server": render(templates.server()),
        "harden_server": {variant: render(each) for variant, each in templates.harden_server().items()},
    }


def certificate_of(values: Values, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the certificate with its chain and the key that the host is to have, or whether it makes them."""
    chain = [found["certificate"].strip(), found["chain"].strip()]
    is_sent = values.text("tls") == "files" and not tls.is_on_host(values)
    return {
        "certificate": "".join(f"{each}\n" for each in chain if each) if is_sent else "",
        "key": found["key"].strip() + "\n" if is_sent else "",
        "external_account": tls.external_account(values),
        "self_signed": values.text("tls") == "self_signed",
    }


def digest(request: Mapping[str, Any]) -> str:
    """Return what stands for a whole declaration; its salt keeps the environment from being guessed."""
    kept = {name: value for name, value in request.items() if name not in ("digest", "index_urls")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def release_ids(request: Mapping[str, Any], source_id: str) -> list[str]:
    """Return the two ids that the release of a source may have."""
    spec = read(Spec, request["spec"], "spec")
    return [releases.release_id(source_id, spec, request["environment"], again=again) for again in (False, True)]


def is_live(request: Mapping[str, Any], host: Variables, source_id: str) -> bool:
    """Tell whether a host has all that is declared, and serves the release of the source."""
    declared = host["digest"] == request["digest"] and not host["drift"]
    return declared and host["live"] in release_ids(request, source_id)
