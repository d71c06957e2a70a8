"""The installed engine, killed with SIGKILL at the start of one of its steps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

    from tests.support.hosts import Host

# Arguments: the number of the step to be killed at, the steps as module.function, what to set (module.NAME=value), from
# which step on they count, and the engine's own arguments. Prints the step.
PROGRAM = """
import hashlib, json, os, signal, sys, zipfile
limit, steps, settings, first = int(sys.argv[1]), *map(json.loads, sys.argv[2:5])
sys.argv[:5] = ["/usr/local/bin/flask-apachectl"]
with open(sys.argv[0], "rb") as file: # its modules beside it, so that Python keeps their byte code
    unpacked = "/var/tmp/killed-" + hashlib.sha256(file.read()).hexdigest()[:12]
if not os.path.exists(unpacked):
    zipfile.ZipFile(sys.argv[0]).extractall(unpacked + ".new")
    os.rename(unpacked + ".new", unpacked)
sys.path.insert(0, unpacked)
from flask_apachectl import cli
count, begun = 0, not first

def owner(name):
    module, _, attribute = name.rpartition(".")
    return sys.modules["flask_apachectl." + module], attribute

def killing(name, function):
    def step(*arguments, **options):
        global count, begun
        begun = begun or name == first
        reads = name.endswith("systemctl") and arguments[0] in ("show", "list-units")
        if begun and not reads:
            count += 1
            if count == limit:
                print(name.rpartition(".")[2], *[each for each in arguments[:1] if isinstance(each, str)], flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return step

for name, value in settings.items():
    setattr(*owner(name), value)
for name in steps:
    setattr(*owner(name), killing(name, getattr(*owner(name))))
sys.exit(cli.main())
"""


def run(
    host: Host,
    arguments: Sequence[str],
    *,
    kill_at: int,
    steps: Sequence[str],
    settings: Mapping[str, float],
    first: str = "",
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the installed engine, and kill it at the n-th of its steps unless ``kill_at`` is 0.

    ``steps`` and ``first`` are functions of the package, such as ``host.files.write``; ``settings`` are constants of
    its modules.
    """
    words = [str(kill_at), json.dumps(list(steps)), json.dumps(dict(settings)), json.dumps(first)]
    command = ["python3", "-c", PROGRAM, *words, *arguments]
    return host.run(command, check=False, stdin=stdin)
