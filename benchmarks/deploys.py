"""Measure deploys with the role beside other ways to do the same work, in one run, over the same connection.

Each run takes one fresh host for each way and does the same steps on all of them: a step with every way in turn,
then the next step. The order of the ways changes from run to run. A step ends when the app answers over HTTP with
the code that was deployed last. Prints medians in seconds, the medians of each run's ratios of the role to the other
ways, and the machine, for benchmarks/README.md. Needs Docker, as the tests do.

ways:
  role    the role, by site.yml
  script  benchmarks/bare.sh, the shortest shell script that serves the app
  plain   benchmarks/plain/playbook.yml, the plainest Ansible playbook
  peers   benchmarks/peers/playbook.yml, the roles geerlingguy.apache and ansistrano.deploy; measured when the
          environment variable PEERS names the directory that holds both, below these names

steps:
  bare         from a bare host to the app's first answer; every run begins with it
  unchanged    nothing changed
  code         a module changed
  requirement  a requirement was added, and a module imports it
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import hosts, playbooks, venv
from tests.support.commands import ROOT, SetupError, run, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Deploy = Callable[[hosts.Host, Path], None]
    Seconds = Mapping[str, Mapping[str, float]]  # of one run: step -> way -> seconds

NAME = "localhost"
PATH = "/flask-apache/deployed"
ANSWER_SECONDS = 60
PEER_ROLES = ("geerlingguy.apache", "ansistrano.deploy")
STEPS = {
    "bare": "bare host to first answer",
    "unchanged": "nothing changed",
    "code": "code changed",
    "requirement": "requirement added",
}
ROUTE = """

@bp.get("/deployed")
def deployed() -> str:
    {body}
"""


def deploy_with_role(host: hosts.Host, source: Path) -> None:
    """Deploy with the role, from the control node."""
    variables = {"flask_apache_source": str(source), "flask_apache_server_name": NAME}
    ansible(host, "site.yml", variables, "--extra-vars=@inventory/group_vars/flask_apache.yml")


def deploy_with_script(host: hosts.Host, source: Path) -> None:
    """Deploy with the bare script."""
    host.run("rm -rf /tmp/source")
    host.put(source, "/tmp/source")  # noqa: S108 - on a host of our own
    host.run(["sh", "-s"], stdin=(ROOT / "benchmarks/bare.sh").read_text())


def deploy_with_plain_playbook(host: hosts.Host, source: Path) -> None:
    """Deploy with the plainest playbook, from the control node."""
    ansible(host, "benchmarks/plain/playbook.yml", {"app_source": str(source)})


def deploy_with_peers(host: hosts.Host, source: Path) -> None:
    """Deploy with the two roles below $PEERS, from the control node."""
    ansible(host, "benchmarks/peers/playbook.yml", {"app_source": str(source)}, roles=Path(os.environ["PEERS"]))


WAYS: dict[str, tuple[str, Deploy]] = {
    "role": ("role", deploy_with_role),
    "script": ("bare script", deploy_with_script),
    "plain": ("plain playbook", deploy_with_plain_playbook),
    "peers": ("geerlingguy + ansistrano", deploy_with_peers),
}


def ansible(
    host: hosts.Host, playbook: str, variables: Mapping[str, str], *arguments: str, roles: Path = ROOT / "roles"
) -> None:
    """Run a playbook as all ways by Ansible do: same connection, same ansible.cfg. Raises SetupError when it fails."""
    with tempfile.TemporaryDirectory() as scratch:
        inventory = Path(scratch, "inventory.json")
        inventory.write_text(json.dumps(playbooks.inventory([host])))
        run(
            [
                *(venv.PYTHON.with_name("ansible-playbook"), ROOT / playbook, f"--inventory={inventory}"),
                *(*arguments, f"--extra-vars={json.dumps(variables)}"),  # the last ones win
            ],
            cwd=ROOT,
            env=venv.environment(ANSIBLE_ROLES_PATH=str(roles.absolute())),
            timeout=900,
        )


class Source:
    """A copy of the sample app, without its tests, that tells over HTTP which version of its code answers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.version = ""
        ignored = shutil.ignore_patterns("__pycache__", ".*", "tests")
        shutil.copytree(ROOT / "sample_app", directory, ignore=ignored)
        self._module = directory / "flask_apache_sample/pages.py"
        self._original = self._module.read_text()

    def change(self, step: str) -> None:
        """Make the change that a step deploys."""
        if step == "unchanged":
            return
        self.version = step
        body = f'return "{step}"'
        if step == "requirement":
            requirements = self.directory / "requirements.txt"
            requirements.write_text(requirements.read_text() + "\nhumanize==4.13.0\n")
            body = f'import humanize\n\n    return humanize.intcomma("{step}")'
        self._module.write_text(self._original + ROUTE.format(body=body))


def timed(way: str, host: hosts.Host, source: Source) -> float:
    """Return the seconds from the start of a deploy to the first answer of the code that it deployed.

    Raises SetupError when that code does not answer a minute after the deploy.
    """
    began = time.perf_counter()
    WAYS[way][1](host, source.directory)
    end = time.perf_counter() + ANSWER_SECONDS
    answer = ""
    while time.perf_counter() < end:
        try:
            response = host.http(PATH, NAME, timeout=5)
        except (OSError, http.client.HTTPException) as error:  # while Apache reloads
            answer = repr(error)
        else:
            answer = f"{response.status} {response.body[:200]!r}"
            if response.status == 200 and response.text == source.version:  # noqa: PLR2004
                return time.perf_counter() - began
        time.sleep(0.05)
    raise SetupError(f"{PATH} must answer {source.version!r} after a deploy by {WAYS[way][0]}, got {answer}")


def measure(distribution: str, ways: Sequence[str], steps: Sequence[str]) -> Seconds:
    """Return the seconds of every step with every way, each on a fresh host of its own."""
    found: dict[str, dict[str, float]] = {}
    with contextlib.ExitStack() as stack:
        targets = {way: stack.enter_context(fresh_host(distribution)) for way in ways}
        source = Source(Path(stack.enter_context(tempfile.TemporaryDirectory()), "app"))
        for step in steps:
            source.change(step)
            found[step] = {}
            for way, host in targets.items():
                found[step][way] = timed(way, host, source)
                say(f"{STEPS[step]}, {WAYS[way][0]}: {found[step][way]:.1f} s")
    return found


@contextlib.contextmanager
def fresh_host(distribution: str) -> Iterator[hosts.Host]:
    """Have a bare host for a while."""
    host = hosts.start(distribution, sync=True)
    try:
        yield host
    finally:
        host.remove()


def rotated(ways: Sequence[str], number: int) -> list[str]:
    """Return the ways in the order of a run: each of them is the first one in turn."""
    first = number % len(ways)
    return [*ways[first:], *ways[:first]]


def table(distribution: str, results: Sequence[Seconds]) -> str:
    """Return the medians of all runs, and the medians of the runs' ratios, as Markdown."""
    measured = results[0]["bare"]
    ways = [way for way in WAYS if way in measured]
    others = [way for way in ways if way != "role"] if "role" in ways else []
    heads = [*(WAYS[way][0] for way in ways), *(f"role / {WAYS[way][0]}" for way in others)]
    lines = [f"| {distribution}, median of {len(results)} | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for step in results[0]:
        cells = [f"{statistics.median(result[step][way] for result in results):.1f} s" for way in ways]
        ratios = [[result[step]["role"] / result[step][way] for result in results] for way in others]
        cells += [f"{statistics.median(each):.2f}" for each in ratios]
        lines.append(f"| {STEPS[step]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def machine() -> str:
    """Return what a reader must know about the machine to judge the seconds."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    core = run([venv.PYTHON.with_name("ansible-playbook"), "--version"]).stdout.partition("[")[2].partition("]")[0]
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"Machine: {model}, {os.cpu_count()} cores, {gib:.0f} GiB, Linux {platform.release()}, ansible-{core}, "
        f"Python {platform.python_version()}, load {load} at the start."
    )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line. Exits with a sentence when something is wrong with it, or with PEERS."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.deploys",
        usage="%(prog)s [RUNS] [--only WAY ...] [--steps STEP ...] [--distribution NAME]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs", metavar="RUNS", nargs="?", type=int, default=3, help="how many runs, at least 1 (default: 3)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=WAYS,
        metavar="WAY",
        help=f"measure these ways alone: {', '.join(WAYS)} (default: all; peers if PEERS is set)",
    )
    parser.add_argument(
        "--steps",
        nargs="+",
        choices=STEPS,
        metavar="STEP",
        default=list(STEPS),
        help=f"measure these steps alone: {', '.join(STEPS)} (default: all; bare is always one of them)",
    )
    parser.add_argument(
        "--distribution", metavar="NAME", default="debian-13", help="the hosts' image (default: debian-13)"
    )
    options = parser.parse_args(arguments)
    peers = os.environ.get("PEERS", "")
    wanted = options.only or [way for way in WAYS if way != "peers" or peers]
    options.only = [way for way in WAYS if way in wanted]
    options.steps = [step for step in STEPS if step in {"bare", *options.steps}]
    if options.runs < 1:
        parser.error(f"RUNS must be a number from 1, got {options.runs}")
    if "peers" in options.only and not (peers and all(Path(peers, name, "tasks").is_dir() for name in PEER_ROLES)):
        parser.error(f"PEERS must name a directory that holds the roles {' and '.join(PEER_ROLES)}, got {peers!r}")
    return options


def main() -> None:
    """Measure and print the table."""
    options = parse(sys.argv[1:])
    from tests.support import docker  # noqa: PLC0415 - not for --help

    described = machine()
    with docker.running():
        results = []
        for number in range(options.runs):
            say(f"run {number + 1} of {options.runs}")
            results.append(measure(options.distribution, rotated(options.only, number), options.steps))
    print(f"{table(options.distribution, results)}\n\n{described}")


if __name__ == "__main__":
    try:
        main()
    except SetupError as error:
        sys.exit(f"error: {error}")
