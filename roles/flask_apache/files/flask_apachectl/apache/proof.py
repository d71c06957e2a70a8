"""Prove a configuration by a start of Apache aside, before it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl import routing
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, programs, report

if TYPE_CHECKING:
    from flask_apachectl.app import App

UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--")
SHADOW_SECONDS = 3.0  # a start that will fail has failed by then
STARTED = ("AH00489", "AH00163")  # the server's own word in its error log that it serves


def differences(wanted: dict[str, Any]) -> list[str]:
    """Return the paths of Apache's configuration that are not as wanted: files with their content, links, no links."""
    found = []
    for file in wanted["files"]:
        installed = Path(file["dest"])
        if not installed.is_file() or installed.read_bytes() != Path(file["src"]).read_bytes():
            found.append(str(installed))
    for path, target in wanted["links"]:
        current = os.readlink(path) if os.path.islink(path) else ""
        if current != target or (not target and os.path.lexists(path)):
            found.append(path)
    return found


def arrange(wanted: dict[str, Any]) -> None:
    """Make Apache's configuration as wanted: in a shadow's own view of it."""
    for file in wanted["files"]:
        shutil.copyfile(file["src"], file["dest"])
    for path, target in wanted["links"]:
        files.remove(Path(path))
        if target:
            Path(path).symlink_to(target)


def shadow(wanted: dict[str, Any], copies: Path) -> None:
    """Start Apache with the wanted configuration where it touches nothing: called in namespaces of its own.

    ``copies`` is an empty directory. Raises RefusedError with what Apache said when it does not come up.
    """

    def mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)

    mount("--make-rprivate", "/")
    log_directories = [directory for directory, _, _ in os.walk("/var/log")]
    mount("-t", "tmpfs", "tmpfs", str(copies))
    for directory in ("/etc/apache2", "/etc/flask-apache/vhosts"):
        copy = copies / directory.replace("/", "_")
        files.copy_tree(directory, copy)
        mount("--bind", str(copy), directory)
    arrange(wanted)
    for directory in ("/run/apache2", "/run/lock/apache2", "/var/log"):
        if Path(directory).is_dir():
            mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", directory)
    for directory in log_directories:
        Path(directory).mkdir(exist_ok=True)
    output = copies / "output"
    with output.open("w") as file:
        command = ". /etc/apache2/envvars && exec apache2 -DFOREGROUND -DFLASK_APACHE_SHADOW"
        process = subprocess.Popen(["sh", "-c", command], stdout=file, stderr=file)
    deadline = time.monotonic() + SHADOW_SECONDS
    while process.poll() is None:
        if time.monotonic() > deadline or any(word in said(output) for word in STARTED):
            return
        time.sleep(0.05)
    raise RefusedError(
        f"Apache does not start with the new configuration:\n{report.tail(said(output), report.LOG_LINES)}"
    )


def said(output: Path) -> str:
    """Return what a shadow printed and logged, without Apache's prefixes, each line once."""
    paths = [output, *Path("/var/log").glob("*apache*/**/*.log")]
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)
    return "\n".join(dict.fromkeys(report.LOG_PREFIX.sub("", text).splitlines()))


def prove(app: App, wanted: str) -> None:
    """Start Apache aside with the wanted configuration. Raises RefusedError when it does not come up."""
    if subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode:
        report.say("prove   not possible here: no right to make namespaces; Apache's configtest has to do")
        return
    report.say("prove   Apache's new configuration")
    program = [*programs.itself(), "--json", "--app", app.name]
    with tempfile.TemporaryDirectory(prefix="flask-apache-shadow.") as copies:
        command = [*UNSHARE, *program, "shadow", wanted, copies]
        done = subprocess.run(command, check=False, capture_output=True, text=True, pass_fds=programs.inherited())
    try:
        result = json.loads(done.stdout)
    except ValueError:
        raise RefusedError(f"Apache's new configuration could not be tried out:\n{report.tail(done.stderr)}") from None
    if result.get("failed"):
        raise RefusedError(f"{result['msg']}\nNothing of it is installed. {routing.consequence(app)}")
