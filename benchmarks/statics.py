"""Measure one static file through Apache itself beside the same file through Flask, in turn.

    python -m benchmarks.statics [ROUNDS]

Needs Docker, as the tests do. `ab` on the host asks with 8 connections that are kept. Prints requests a second, and
the median of the rounds' ratios, for docs/static-files.md.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
from pathlib import Path

from tests.support import docker, hosts
from tests.support.playbooks import apply_role

DISTRIBUTION = "debian-13"
REQUESTS = 3000
BYTES = 20_000
NAME = "static.example.com"
APP = "from flask import Flask\n\napp = Flask(__name__)\n\n\n@app.get('/')\ndef front():\n    return 'ok'\n"


def write_source(source: Path) -> dict[str, object]:
    """Write an app whose static file is Flask's below /static and Apache's below /assets; return the variables."""
    (source / "static").mkdir()
    (source / "app.py").write_text(APP)
    (source / "requirements.txt").write_text("flask==3.1.3\n")
    (source / "static/file.bin").write_bytes(b"x" * BYTES)
    return {
        "flask_apache_app": "statics",
        "flask_apache_source": str(source),
        "flask_apache_server_name": NAME,
        "flask_apache_static": [{"url": "/assets", "path": "static"}],
    }


def rate(host: hosts.Host, path: str) -> float:
    """Return how many requests a second were answered, all with the file."""
    command = ["ab", "-q", "-k", "-c", "8", "-n", str(REQUESTS), "-H", f"Host: {NAME}", f"http://127.0.0.1{path}"]
    output = host.run(command).stdout
    if f"Document Length:        {BYTES} bytes" not in output or "Failed requests:        0" not in output:
        sys.exit(f"{path} was not answered well:\n{output}")
    found = re.search(r"Requests per second:\s+([\d.]+)", output)
    return float(found[1]) if found else 0


def compare(host: hosts.Host, rounds: int) -> None:
    """Measure and print."""
    ratios = []
    for _ in range(rounds):
        flask, apache = rate(host, "/static/file.bin"), rate(host, "/assets/file.bin")
        ratios.append(apache / flask)
        print(f"Flask {flask:.0f}/s, Apache {apache:.0f}/s: {ratios[-1]:.1f}")
    print(f"median ratio {statistics.median(ratios):.1f}")


def main() -> None:
    """Deploy the app to a fresh host, and compare."""
    host = hosts.start(DISTRIBUTION, sync=True)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            apply_role(host, write_source(Path(scratch)))
            compare(host, int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    finally:
        host.remove()


if __name__ == "__main__":
    with docker.running():
        main()
