"""Measure how long the engine takes to make a release with pip and with uv: the first one, and one more requirement.

    python -m benchmarks.installers [RUNS]

Needs Docker and PyPI, as the tests do. Takes one host with Apache; before each first release it forgets the installer,
its cache and the virtual environments. Prints a table of medians in seconds and of ratios, for docs/dependencies.md.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from flask_apachectl.build.fetch import pack
from tests.support import docker, hosts
from tests.support.commands import ROOT
from tests.support.playbooks import apply_role

DISTRIBUTION = "debian-13-hot"
BIG = "alembic boto3 celery cryptography flask lxml numpy pandas pillow psycopg[binary] redis sentry-sdk sqlalchemy"
STEPS = ("first release", "one more requirement", "only code changed")
VARIABLES = {
    "flask_apache_app": "bench",
    "flask_apache_source": str(ROOT / "sample_app"),
    "flask_apache_wsgi": "flask_apache_sample:create_app()",
    "flask_apache_health_path": "/healthz",
}


def prepare(host: hosts.Host, source: Path, installer: str) -> float:
    """Ship a source and return the seconds that its release took."""
    path = "/etc/flask-apache/bench/app.json"
    declared = json.loads(host.read(path))
    declared["spec"]["installer"] = installer
    host.write(path, json.dumps(declared), mode=0o640)
    packed = pack.pack(source, source.parent / "cache")
    host.put(Path(packed["archive"]), f"/srv/flask-apache/bench/incoming/{packed['id']}.tar.gz")
    command = ["flask-apachectl", "--json", "--app", "bench", "prepare", packed["id"]]
    return float(json.loads(host.run(command, timeout=900).stdout)["seconds"])


def measure(host: hosts.Host, requirements: str, installer: str) -> list[float]:
    """Return the seconds of every step."""
    found = []
    host.run("cd /var/cache/flask-apache && rm -rf tools bench/* && rm -rf /srv/flask-apache/bench/venvs/*")
    host.run("find /srv/flask-apache/bench/releases -mindepth 1 -maxdepth 1 -exec rm -rf {} +")
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "app")
        shutil.copytree(ROOT / "sample_app", source, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        file = source / "requirements.txt"
        file.write_text(requirements or file.read_text())
        for step in STEPS:
            if step == STEPS[1]:
                file.write_text(file.read_text() + "humanize==4.13.0\n")
            elif step == STEPS[2]:
                (source / "more.py").touch()
            found.append(prepare(host, source, installer))
    return found


def main() -> None:
    """Measure and print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    host = hosts.start(DISTRIBUTION, sync=True)
    try:
        apply_role(host, VARIABLES)
        print(f"| {DISTRIBUTION}, median of {runs} | pip | uv | pip / uv |\n|---|---|---|---|")
        for name, requirements in (("sample app", ""), ("bigger", "\n".join([*BIG.split(), ""]))):
            rounds = [[measure(host, requirements, installer) for installer in ("pip", "uv")] for _ in range(runs)]
            for number, step in enumerate(STEPS):
                pip, uv = (statistics.median(each[side][number] for each in rounds) for side in (0, 1))
                ratio = statistics.median(each[0][number] / each[1][number] for each in rounds)
                print(f"| {name}, {step} | {pip:.1f} s | {uv:.1f} s | {ratio:.1f} |", flush=True)
    finally:
        host.remove()


if __name__ == "__main__":
    with docker.running():
        main()
