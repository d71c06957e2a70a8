"""Measure the memory of an app's daemon processes with two pools, with an idle pool that is cold, and with one pool.

    python -m benchmarks.memory

Needs Docker, as the tests do. Deploys the sample app to a host of each distribution, and prints a table for
benchmarks/README.md: MiB that are resident, as `flask-apachectl status` says, where a page that processes share
counts for each of them; and the proportional share, where it counts once.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

from tests.support import docker, hosts
from tests.support.commands import ROOT
from tests.support.playbooks import play
from tests.support.releases import wait_until

DISTRIBUTIONS = ("debian-12-hot", "debian-13-hot")
CHOICES = {
    "blue_green, warm": {},
    "blue_green, cold": {"flask_apache_idle_pool": "cold"},
    "rolling": {"flask_apache_strategy": "rolling"},
}
REQUESTS = 50
SHARES = "cat /proc/{}/smaps_rollup | awk '/^Pss:/ {{print $2}}'"


def deploy(targets: list[hosts.Host], source: Path, mark: str, choice: dict[str, str]) -> None:
    """Deploy another release of the sample app to all hosts."""
    with (source / "flask_apache_sample/__init__.py").open("a") as module:
        module.write(f"\nMARK = {mark!r}\n")
    variables = {"flask_apache_source": str(source), "flask_apache_server_name": "localhost", **choice}
    play(targets, "site.yml", variables, "-e@inventory/group_vars/flask_apache.yml", f"-eflask_apache_source={source}")


def measure(host: hosts.Host) -> dict[str, tuple[int, int]]:
    """Return the resident memory and the proportional share of each pool, in MiB, by its state."""
    status = ["flask-apachectl", "--json", "status"]

    def pools() -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = json.loads(host.run(status).stdout)["apps"][0]["pools"]
        return found

    wait_until(lambda: all(len(pool["pids"]) == 2 for pool in pools().values()), 20)  # type: ignore[arg-type] # noqa: PLR2004
    for _ in range(REQUESTS):
        host.http("/flask-apache/", "localhost")
    time.sleep(2)
    found = {}
    for pool in pools().values():
        kib = [int(host.run(SHARES.format(pid)).stdout) for pid in pool["pids"]]  # type: ignore[attr-defined]
        found[str(pool["state"])] = (int(str(pool["resident_mib"])), sum(kib) // 1024)
    return found


def main() -> None:
    """Measure and print the table."""
    targets = [hosts.start(distribution, sync=True) for distribution in DISTRIBUTIONS]
    print("| | | live pool | idle pool | both |\n|---|---|---|---|---|")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch, "app")
            shutil.copytree(ROOT / "sample_app", source, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            deploy(targets, source, "first", {})
            for name, choice in CHOICES.items():
                deploy(targets, source, name, choice)
                for host in targets:
                    found = measure(host)
                    both = [tuple(map(sum, zip(*found.values(), strict=True)))]
                    cells = [found.get("live", ()), found.get("idle", ()), *both]
                    shown = " | ".join(f"{cell[0]} ({cell[1]})" if cell else "none" for cell in cells)
                    print(f"| {name} | {host.distribution.removesuffix('-hot')} | {shown} |", flush=True)
    finally:
        for host in targets:
            host.remove()


if __name__ == "__main__":
    with docker.running():
        main()
