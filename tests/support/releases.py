"""Releases of the app `tests/hosts/apps/marked`, shipped as the role ships them and made live by the engine itself."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl.build.fetch import pack
from tests.support.commands import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.hosts import Host

APP = ROOT / "tests/hosts/apps/marked"


def make_source(
    directory: Path, mark: str, *, fault: str = "", dependency: str = "", import_seconds: float = 1.5
) -> Path:
    """Make the source of a release: its mark in every module, and a fault of `misbehave.py`, if it is to be broken.

    ``dependency`` is another version of click than the usual one. Returns ``directory``.
    """
    shutil.copytree(APP, directory, ignore=shutil.ignore_patterns("__pycache__"))
    for path in directory.rglob("*.py"):
        text = path.read_text().replace("__MARK__", mark)
        if fault:
            text = text.replace("__FAULT__", fault)
        path.write_text(re.sub(r"(?m)^IMPORT_SECONDS = .*$", f"IMPORT_SECONDS = {import_seconds}", text))
    if dependency:
        requirements = directory / "requirements.txt"
        requirements.write_text(requirements.read_text().replace("click==8.5.1", f"click=={dependency}"))
    return directory


class EngineError(AssertionError):
    """The engine refused or failed."""


@dataclass(frozen=True)
class Deployed:
    """An app on a host, and the engine that runs it."""

    host: Host
    app: str

    def ctl(self, *arguments: str, timeout: float = 120) -> dict[str, Any]:
        """Run the engine and return its answer. Raises EngineError with its message when it fails."""
        command = ["flask-apachectl", "--json", "--app", self.app, *arguments]
        done = self.host.run(command, check=False, timeout=timeout)
        try:
            answer: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise AssertionError(f"{command} printed {done.stdout!r} and {done.stderr!r}") from None
        assert (done.returncode == 0) == (not answer.get("failed")), answer
        if done.returncode:
            raise EngineError(answer["msg"])
        return answer

    def status(self) -> dict[str, Any]:
        """Return the app's status, whether or not its visitors get it."""
        done = self.host.run(["flask-apachectl", "--json", "--app", self.app, "status"], check=False)
        answer: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == int(answer["failed"]) == int(answer["state"] == "down"), answer
        return answer

    def prepare(self, mark: str, **inputs: Any) -> str:  # noqa: ANN401 - see `make_source`
        """Ship a release's source as the role does, and let the engine prepare it. Returns its id."""
        with tempfile.TemporaryDirectory(prefix="flask-apache-release-") as scratch:
            source = make_source(Path(scratch, "source"), mark, **inputs)
            return self.ship(source)

    def ship(self, source: Path) -> str:
        """Ship a directory as the role does, and let the engine prepare it. Returns the release's id."""
        with tempfile.TemporaryDirectory(prefix="flask-apache-packed-") as scratch:
            packed = pack.pack(source, Path(scratch))
            self.host.put(Path(packed["archive"]), f"/srv/flask-apache/{self.app}/incoming/{packed['id']}.tar.gz")
        return str(self.ctl("prepare", packed["id"])["release"])

    def deploy(self, mark: str, **inputs: Any) -> str:  # noqa: ANN401 - see `make_source`
        """Prepare a release and make it live. Returns its id."""
        release = self.prepare(mark, **inputs)
        self.ctl("activate", release)
        return release

    def declare(self, **changes: object) -> dict[str, Any]:
        """Change what the role declared of the site or of releases, until its next run; return what was there."""
        path = f"/etc/flask-apache/{self.app}/app.json"
        declared: dict[str, Any] = json.loads(self.host.read(path))
        before = {**declared["site"], **declared["spec"]}
        for name, value in changes.items():
            declared["site" if name in declared["site"] else "spec"][name] = value
        self.host.write(path, json.dumps(declared), mode=0o640)
        return before

    def environment(self, environment: Mapping[str, str]) -> None:
        """Declare another environment, as the role does."""
        text, conf = json.dumps(environment), f"/etc/flask-apache/{self.app}"
        self.host.run(["tee", f"{conf}/env"], stdin=text)
        declared: dict[str, Any] = json.loads(self.host.read(f"{conf}/app.json"))
        for each in declared["installed"]:
            if each["path"] == f"{conf}/env":
                each["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        self.host.write(f"{conf}/app.json", json.dumps(declared), mode=0o640)

    def live(self) -> str:
        """Return the live release."""
        return str(self.status()["release"])


def apache_process(host: Host) -> tuple[int, str]:
    """Return Apache's pid, and when that process started (in the kernel's clock ticks)."""
    pid = host.pid_of_apache()
    return pid, host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[19]


def reloads(host: Host) -> int:
    """Return how often Apache has started or reloaded since its log began."""
    return host.read("/var/log/apache2/error.log").count("resuming normal operations")


def wait_until(condition: Any, seconds: float, every: float = 0.1) -> bool:  # noqa: ANN401 - any callable
    """Wait for a condition; return whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True
