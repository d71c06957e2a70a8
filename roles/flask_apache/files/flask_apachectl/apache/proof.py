"""Prove a configuration by a start of Apache aside, before it is installed."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, files, programs, report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_apachectl.host.desired import Wanted

UNSHARE = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--")
SHADOW_SECONDS = 3.0  # a start that will fail has failed by then
STARTED = ("AH00489", "AH00163")  # the server's own word in its error log that it serves


def shadow(wanted: Sequence[Wanted], copies: Path) -> None:
    """Start Apache with the wanted configuration where it touches nothing: called in namespaces of its own.

    ``copies`` is an empty directory. Raises RefusedError with what Apache said when it does not come up.
    """

    def mount(*arguments: str) -> None:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)

    mount("--make-rprivate", "/")
    log_directories = [Path(top, name) for top, names, _ in os.walk("/var/log") for name in names]  # and links
    mount("-t", "tmpfs", "tmpfs", str(copies))
    for directory in ("/etc/apache2", "/etc/flask-apache/vhosts"):
        copy = copies / directory.replace("/", "_")
        files.copy_tree(directory, copy)
        mount("--bind", str(copy), directory)
    for each in wanted:
        desired.make(each)
    for directory in ("/run/apache2", "/run/lock/apache2", "/var/log"):
        if Path(directory).is_dir():
            mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", directory)
    for path in log_directories:
        path.mkdir(exist_ok=True)
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
    found = [output, *Path("/var/log").glob("*apache*/**/*.log")]
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in found)
    return "\n".join(dict.fromkeys(report.LOG_PREFIX.sub("", text).splitlines()))


def configtest(wanted: Sequence[Wanted]) -> None:
    """Let Apache check the syntax of the wanted configuration, in a copy. A start of Apache would tell more.

    Raises RefusedError with what Apache said when the configuration is not valid.
    """
    places = (paths.APACHE, paths.ETC / "vhosts")
    with tempfile.TemporaryDirectory(prefix="flask-apache-configtest.") as top:
        for place in places:
            if place.is_dir():
                files.copy_tree(str(place), Path(f"{top}{place}"))
            else:
                Path(f"{top}{place}").mkdir(parents=True)
        for each in wanted:
            if set(places) & set(each.path.parents):
                desired.make(replace(each, path=Path(f"{top}{each.path}")))
        for file in Path(top).rglob("*"):
            if file.is_file() and not file.is_symlink():
                content = file.read_bytes()
                for place in places:
                    content = content.replace(str(place).encode(), f"{top}{place}".encode())
                file.write_bytes(content)
        # As Debian's apache2ctl does: the directories of a run may not be there before the first start.
        directories = 'mkdir -p "$APACHE_RUN_DIR" "$APACHE_LOCK_DIR"'
        command = f'. {paths.APACHE}/envvars && {directories} && exec apache2 -t -d "$0"'
        done = subprocess.run(
            ["sh", "-c", command, f"{top}{paths.APACHE}"], check=False, capture_output=True, text=True
        )
        if done.returncode:
            output = report.tail(done.stderr or done.stdout, report.LOG_LINES).replace(top, "")
            raise RefusedError(f"Apache's new configuration is not valid:\n{output}")


def prove(wanted: Sequence[Wanted]) -> None:
    """Start Apache aside with the wanted configuration. Raises RefusedError when it does not come up."""
    if subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode:
        report.say("prove   namespaces are not permitted here; running Apache's configtest instead")
        configtest(wanted)
        return
    report.say("prove   Apache's new configuration")
    with tempfile.TemporaryDirectory(prefix="flask-apache-shadow.") as copies:
        command = [*UNSHARE, *programs.itself(), "--json", "shadow", copies]
        done = subprocess.run(
            command,
            input=json.dumps([desired.to_json(each) for each in wanted]),
            check=False,
            capture_output=True,
            text=True,
            pass_fds=programs.inherited(),
        )
    try:
        result = json.loads(done.stdout)
    except ValueError:
        raise RefusedError(f"Apache's new configuration could not be proved:\n{report.tail(done.stderr)}") from None
    if result.get("failed"):
        raise RefusedError(result["msg"])
