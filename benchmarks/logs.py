"""Measure requests with an access log in JSON beside the same requests with Apache's combined format, in turn.

    python -m benchmarks.logs [ROUNDS]

Needs Docker, as the tests do. One fresh host has two apps that do nothing, one with each format. `ab` on the host asks
with 8 connections that are kept. Prints requests a second, and the median of the rounds' ratios, for docs/logs.md.
"""

from __future__ import annotations

import os
import re
import statistics
import sys
import tempfile
from pathlib import Path

from tests.support import docker, hosts, small_app
from tests.support.playbooks import apply_role

DISTRIBUTION = "debian-13-hot"
REQUESTS = 8000
FORMATS = ("combined", "json")


def name(log_format: str) -> str:
    """Return the server name of the app with a format."""
    return f"{log_format}.example.com"


def variables(source: Path, log_format: str) -> dict[str, object]:
    """Return the variables of the app with a format."""
    return {
        "flask_apache_app": log_format,
        "flask_apache_source": str(source),
        "flask_apache_requirements": [],
        "flask_apache_server_name": name(log_format),
        "flask_apache_access_log_format": log_format,
    }


def rate(host: hosts.Host, log_format: str) -> float:
    """Return how many requests a second were answered."""
    headers = ["-H", f"Host: {name(log_format)}", "-H", "Referer: http://www.example.com/?q=a"]
    output = host.run(["ab", "-q", "-k", "-c", "8", "-n", str(REQUESTS), *headers, "http://127.0.0.1/"]).stdout
    if f"Complete requests:      {REQUESTS}" not in output or "Failed requests:        0" not in output:
        sys.exit(f"{name(log_format)} did not answer well:\n{output}")
    found = re.search(r"Requests per second:\s+([\d.]+)", output)
    return float(found[1]) if found else 0


def compare(host: hosts.Host, rounds: int) -> None:
    """Measure and print. The order of the two changes from round to round."""
    ratios = []
    for number in range(rounds):
        rates = {each: rate(host, each) for each in (FORMATS if number % 2 else FORMATS[::-1])}
        ratios.append(rates["json"] / rates["combined"])
        load = os.getloadavg()[0]
        print(f"combined {rates['combined']:.0f}/s, JSON {rates['json']:.0f}/s: {ratios[-1]:.3f} (load {load:.1f})")
    print(f"median ratio {statistics.median(ratios):.3f}")


def main() -> None:
    """Deploy the apps to a fresh host, and compare."""
    host = hosts.start(DISTRIBUTION, sync=True)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            source = small_app.write(Path(scratch) / "app", "benchmark")
            for log_format in FORMATS:
                apply_role(host, variables(source, log_format))
            compare(host, int(sys.argv[1]) if len(sys.argv) > 1 else 9)
    finally:
        host.remove()


if __name__ == "__main__":
    with docker.running():
        main()
