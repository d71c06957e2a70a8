"""Measure deploys with the role beside the same work done by a bare shell script, over the same connection.

    python -m benchmarks.deploys [RUNS]

Needs Docker, as the tests do. Each run takes two fresh hosts, does the same four steps on both, in turn, and asks
the app after each. Prints a table of medians in seconds and of ratios, for benchmarks/README.md.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import docker, hosts
from tests.support.commands import ROOT
from tests.support.playbooks import play

if TYPE_CHECKING:
    from collections.abc import Callable

DISTRIBUTION = "debian-13"
STEPS = ("fresh host", "nothing changed", "code changed", "requirement added")
PATH = "/flask-apache/healthz"


def deploy_with_role(host: hosts.Host, source: Path) -> None:
    """Deploy with the role, from the controller."""
    variables = {"flask_apache_source": str(source), "flask_apache_server_name": "localhost"}
    play(host, "site.yml", variables, "-e@inventory/group_vars/flask_apache.yml", f"-eflask_apache_source={source}")


def deploy_with_script(host: hosts.Host, source: Path) -> None:
    """Deploy with the bare script."""
    host.run("rm -rf /tmp/source")
    host.put(source, "/tmp/source")  # noqa: S108 - on a host of our own
    host.run(["sh", "-s"], stdin=(ROOT / "benchmarks/bare.sh").read_text())


def timed(deploy: Callable[[hosts.Host, Path], None], host: hosts.Host, source: Path) -> float:
    """Return the seconds of one deploy, after which the app must answer."""
    began = time.perf_counter()
    deploy(host, source)
    seconds = time.perf_counter() - began
    answer = host.http(PATH, "localhost")
    if answer.status != 200:  # noqa: PLR2004
        sys.exit(f"{PATH} answered {answer.status} after {deploy.__name__}")
    return seconds


def change(source: Path, step: str) -> None:
    """Make the change that a step deploys."""
    if step == "code changed":
        module = source / "flask_apache_sample/__init__.py"
        module.write_text(module.read_text() + "\nCHANGED = True\n")
    elif step == "requirement added":
        requirements = source / "requirements.txt"
        requirements.write_text(requirements.read_text() + "\nhumanize==4.13.0\n")


def measure() -> dict[str, tuple[float, float]]:
    """Return the seconds of every step, with the role and with the script, on fresh hosts."""
    found = {}
    pair = [hosts.start(DISTRIBUTION) for _ in range(2)]
    try:
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch, "app")
            shutil.copytree(ROOT / "sample_app", source, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            for step in STEPS:
                change(source, step)
                found[step] = (
                    timed(deploy_with_role, pair[0], source),
                    timed(deploy_with_script, pair[1], source),
                )
    finally:
        for host in pair:
            host.remove()
    return found


def main() -> None:
    """Measure and print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with docker.running():
        results = [measure() for _ in range(runs)]
    print(f"| {DISTRIBUTION}, median of {runs} | role | bare script | ratio |")
    print("|---|---|---|---|")
    for step in STEPS:
        role, script = (statistics.median(result[step][side] for result in results) for side in (0, 1))
        ratio = statistics.median(result[step][0] / result[step][1] for result in results)
        print(f"| {step} | {role:.1f} s | {script:.1f} s | {ratio:.1f} |")


if __name__ == "__main__":
    main()
