"""Small Python packages, and an index that hands them out on a host's own 127.0.0.1 to who knows the password."""

from __future__ import annotations

import base64
import hashlib
import inspect
import io
import json
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.hosts import Host

PORT = 8765
PLACE = "/opt/index"
LOG = "/run/index.jsonl"
SLOW = "/run/index.slow"  # while it is there, files with "slow" in their names take their time


def write_wheel(directory: str, name: str, version: str, files: dict[str, str], headers: Sequence[str] = ()) -> str:
    """Write a wheel of some text files, with more headers in its METADATA, and return its name."""
    info, wheel = f"{name}-{version}.dist-info", f"{name}-{version}-py3-none-any.whl"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *headers, ""]
    members = {
        **files,
        f"{info}/METADATA": "\n".join(metadata),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*members, f"{info}/RECORD"])
    with zipfile.ZipFile(Path(directory, wheel), "w") as archive:
        for path, text in {**members, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel


# A build backend: packs src/ with the name and version of pyproject.toml.
BACKEND = f"""
import tomllib, zipfile
from pathlib import Path

{inspect.getsource(write_wheel)}

def build_wheel(directory, config_settings=None, metadata_directory=None):
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    headers = [f"Requires-Dist: {{text}}" for text in project.get("dependencies", [])]
    for extra, texts in project.get("optional-dependencies", {{}}).items():
        headers += [f"Provides-Extra: {{extra}}"]
        headers += [f'Requires-Dist: {{text}}; extra == "{{extra}}"' for text in texts]
    files = {{path.relative_to("src").as_posix(): path.read_text() for path in Path("src").rglob("*.py")}}
    return write_wheel(directory, project["name"], project["version"], files, headers)
""".replace("Sequence[str]", "tuple")


def project(name: str, version: str, more: str = "") -> str:
    """Return the pyproject.toml of a project that our backend builds."""
    backend = '[build-system]\nrequires = ["tinybackend"]\nbuild-backend = "tinybackend"\n'
    return f'[project]\nname = "{name}"\nversion = "{version}"\n{more}{backend}'


def write_sdist(directory: Path, name: str, version: str, files: Mapping[str, str]) -> str:
    """Write a source archive, which our backend builds, and return its name."""
    root, archive = f"{name}-{version}", f"{name}-{version}.tar.gz"
    members = {
        "pyproject.toml": project(name, version),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    }
    with tarfile.open(directory / archive, "w:gz") as tar:
        for path, text in {**members, **files}.items():
            member = tarfile.TarInfo(f"{root}/{path}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return archive


def sha256(path: Path) -> str:
    """Return a file's digest as hashes of requirements have it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


SERVER = """
import hashlib, http.server, json, pathlib, re, sys, time

place, port, wanted, log, slow = sys.argv[1:]

def commands():
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().replace(b"\\0", b" ").decode(errors="replace")
        except OSError:
            pass

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        known = hashlib.sha256(self.headers.get("Authorization", "").encode()).hexdigest() == wanted
        with open(log, "a") as file:
            file.write(json.dumps({"path": self.path, "known": known, "commands": list(commands())}) + "\\n")
        name = self.path.strip("/").split("/")[-1]
        files = sorted(pathlib.Path(place).glob("*-*"))
        if not known:
            return self.answer(401, b"who are you?")
        if self.path.startswith("/files/"):
            found = [path for path in files if path.name == name]
            if "slow" in name and pathlib.Path(slow).exists():
                time.sleep(60)
            return self.answer(200, found[0].read_bytes()) if found else self.answer(404, b"")
        links = "".join(
            f'<a href="/files/{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">{path.name}</a>'
            for path in files if re.split(r"-(?=\\d)", path.name)[0].replace("_", "-") == name
        )
        self.answer(200 if links else 404, f"<!DOCTYPE html><html><body>{links}</body></html>".encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream" if "/files/" in self.path else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=3600")
        if "/files/" not in self.path:
            self.send_header("Vary", "Authorization")  # so pip's cache keeps that header
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="index"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Index:
    """A package index on a host."""

    host: Host
    user: str
    password: str

    @property
    def url(self) -> str:
        """Its address, with the credentials."""
        return f"http://{self.user}:{quote(self.password, safe='')}@127.0.0.1:{PORT}/simple"

    @property
    def secrets(self) -> list[str]:
        """How the password may be written."""
        return [self.password, quote(self.password, safe=""), self._basic]

    @property
    def _basic(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def start(self, packages: Path) -> None:
        """Hand out the packages of a directory. The host gets a digest of the password only."""
        self.host.put(packages, PLACE)
        self.host.write("/opt/index.py", SERVER)
        digest = hashlib.sha256(f"Basic {self._basic}".encode()).hexdigest()
        command = ["python3", "/opt/index.py", PLACE, str(PORT), digest, LOG, SLOW]
        self.host.run(["systemd-run", "--quiet", "--collect", "--unit=index", *command])
        self.host.run("for i in $(seq 50); do ss -ltn | grep -q 127.0.0.1:8765 && exit; sleep 0.1; done; exit 1")

    def stop(self) -> None:
        """Hand out nothing any more."""
        self.host.run(["systemctl", "stop", "index"])

    def requests(self) -> list[dict[str, Any]]:
        """Return what it was asked: path, whether with the password, and the command lines of all processes then."""
        return [json.loads(line) for line in self.host.run(f"cat {LOG} 2>/dev/null || true").stdout.splitlines()]

    def downloads(self, name: str) -> int:
        """Return how often a package's file was handed out."""
        return sum(each["known"] and each["path"].startswith(f"/files/{name}-") for each in self.requests())
