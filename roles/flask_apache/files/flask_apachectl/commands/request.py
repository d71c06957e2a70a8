"""What the control node sends with a command, on standard input."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl import app as apps
from flask_apachectl import declaration, environments, paths
from flask_apachectl.apache.site import Declared
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, files, report
from flask_apachectl.host.desired import File

if TYPE_CHECKING:
    from flask_apachectl.app import App
    from flask_apachectl.host.desired import Wanted


@dataclass(frozen=True)
class Request:
    """An app as a run of the role declares it: before anything of it is on the host."""

    app: App
    directories: tuple[Wanted, ...]
    files: tuple[File, ...]  # of the app's own, in /etc/flask-apache and elsewhere
    users: dict[Path, dict[str, str]]  # who may log in, by the files of their passwords' hashes: {name: password}
    apache: Declared
    archives: dict[str, dict[str, str]]  # what is shipped: {path below the app's home: its content, or a file}
    digest: str  # of all that is declared, with the salt of the last declaration
    salt: str


def read() -> dict[str, Any]:
    """Return the request on standard input. Raises RefusedError when there is none."""
    try:
        found = json.load(sys.stdin)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RefusedError("this command is for the role, which sends a request on standard input")
    environment, wanted = found.get("environment"), found.get("wanted")
    apache = found.get("apache")
    secrets = ("key", "external_account")
    report.hide([str(apache.get(name) or "") for name in secrets] if isinstance(apache, dict) else ())
    report.hide(map(str, environment.values() if isinstance(environment, dict) else ()))
    report.hide(map(str, found.get("index_urls") or ()))
    users = found.get("users")
    report.hide(str(each) for names in (users.values() if isinstance(users, dict) else ()) for each in names.values())
    _conceal(environment, found.get("site"))
    report.hide([str(wanted.get("git_key"))] if isinstance(wanted, dict) else ())
    return found


def _conceal(environment: object, site: object) -> None:
    """Let no message tell the secrets of an environment, which the app's own code may print."""
    patterns = site.get("environment_secrets") if isinstance(site, dict) else None
    if isinstance(environment, dict) and isinstance(patterns, list):
        names = [name for name in environment if environments.is_secret(str(name), [str(each) for each in patterns])]
        report.conceal(str(environment[name]) for name in names)


def of_json(value: dict[str, Any]) -> Request:
    """Return a request of its JSON."""
    app = apps.of(value["app"], {"format": declaration.FORMAT, "site": value["site"], "spec": value["spec"]}, "request")
    urls = tuple(value["index_urls"])
    app = replace(app, index_urls=urls, environment={k: str(v) for k, v in value["environment"].items()})
    environment = json.dumps(value["environment"], indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    own = [each for each in map(desired.of_json, value["files"]) if isinstance(each, File)]
    own += [File(app.conf / "env", environment.encode(), app.site.user, 0o640, secret=True)]
    own += [File(paths.ENGINE, Path(sys.argv[0]).read_bytes(), mode=0o755)]
    apache = value["apache"]
    declared = Declared(
        fragments={host: (Path(each["path"]), each["content"]) for host, each in apache["fragments"].items()},
        pools=(Path(apache["pools"]["path"]), apache["pools"]["content"]),
        vhosts=apache["vhosts"],
        server=apache["server"],
        harden_server=apache["harden_server"],
        modules=tuple(apache["modules"]),
        wsgi_load=apache["wsgi_load"],
        certificate=apache["certificate"],
        external_account=apache["external_account"],
        key=apache["key"],
        self_signed=apache["self_signed"],
    )
    directories = tuple(desired.of_json(each) for each in value["directories"])
    archives = dict(value.get("archives", {}))
    users = {Path(path): dict(names) for path, names in value["users"].items()}
    return Request(app, directories, tuple(own), users, declared, archives, value["digest"], value["salt"])


def unpack(request: Request) -> None:
    """Put the archives that came with a request in their places."""
    for name, archive in request.archives.items():
        path = Path(name)
        if path.parent not in (request.app.home / "incoming", request.app.home / "wheelhouses"):
            raise RefusedError(f"{path} must be below {request.app.home}")
        content = base64.b64decode(archive["content"]) if "content" in archive else Path(archive["file"]).read_bytes()
        files.write(path, content, mode=0o600)
