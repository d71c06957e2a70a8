# MIT License (see LICENSE) or, as Ansible: GNU General Public License v3.0+ (https://www.gnu.org/licenses/gpl-3.0.txt)
"""The door to the engine flask-apachectl on a host: a request in; changed, msg and diff out."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: flask_apache_engine
short_description: Run flask-apachectl on a host
description:
  - Private to the role flask_apache, whose action plugin of the same name calls it with the role's own engine.
  - The engine runs from memory, so that a host that does not have it yet, or has another version, behaves the same.
options:
  command:
    description: The engine's command and its arguments.
    type: list
    elements: str
    required: true
  engine:
    description: The engine, as a compressed zip application in base64.
    type: str
    required: true
  request:
    description: What the command reads from standard input, as compressed JSON in base64. It may hold secrets.
    type: str
    required: true
  running:
    description: Where a command runs that was started by an earlier call; then nothing is started.
    type: str
    default: ""
  wait:
    description: Seconds after which a command that still runs is left alone, and its progress is returned.
    type: float
    default: 10
author:
  - flask_apache developers (@flask-apache)
"""

EXAMPLES = r"""
- name: Compare the host with the declaration
  flask_apache_engine:
    step: plan
"""

RETURN = r"""
msg:
  description: What was done, or why it was refused.
  type: str
  returned: always
diff:
  description: What differed, path by path.
  type: list
  returned: for the command apply
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import zlib
from subprocess import PIPE, Popen

from ansible.module_utils.basic import AnsibleModule

OLDEST_PYTHON = (3, 10)
RUN = "/run"  # in memory, and root's
PREFIX = "flask-apachectl."
ABANDONED = 86400  # seconds


def unpacked(text: str) -> bytes:
    """Return the bytes of a parameter."""
    return zlib.decompress(base64.b64decode(text))


def start(engine: bytes, command: list[str], request: bytes) -> str:
    """Start the engine, which goes on when this module or its connection ends. Returns its directory.

    There it leaves what it prints: ``answer``, ``progress``, and at its end ``code``, its exit code.
    """
    _clear()
    directory = tempfile.mkdtemp(prefix=PREFIX, dir=RUN)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            _run(directory, engine, command, request)
        os._exit(0)
    with open(os.path.join(directory, "pid"), "w") as file:
        file.write(str(pid))
    return directory


def _clear() -> None:
    """Remove what commands have left whose play did not wait for their end."""
    for name in os.listdir(RUN):
        path = os.path.join(RUN, name)
        if name.startswith(PREFIX) and time.time() - os.lstat(path).st_mtime > ABANDONED:
            shutil.rmtree(path, ignore_errors=True)


def _run(directory: str, engine: bytes, command: list[str], request: bytes) -> None:
    """Run the engine to its end, in a process of its own that nobody waits for. Its file has no name on disk."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    descriptor = os.memfd_create("flask-apachectl", 0)
    view = memoryview(engine)
    while view:
        view = view[os.write(descriptor, view) :]
    with (
        open(os.path.join(directory, "answer"), "wb") as answer,
        open(os.path.join(directory, "progress"), "wb") as told,
    ):
        process = Popen(
            [sys.executable, "-I", "-X", "utf8", "/proc/self/fd/%d" % descriptor, "--json", *command],
            stdin=PIPE,
            stdout=answer,
            stderr=told,
            pass_fds=(descriptor,),
        )
        process.communicate(request)
    path = os.path.join(directory, "code")
    with open(path + ".new", "w") as file:
        file.write(str(process.returncode))
    os.rename(path + ".new", path)


def read(directory: str, name: str) -> str:
    """Return what the engine has left so far."""
    with contextlib.suppress(OSError), open(os.path.join(directory, name), errors="replace") as file:
        return file.read()
    return ""


def is_running(directory: str) -> bool:
    """Tell whether an engine has not come to its end. The process that waits for it can have been ended, too."""
    if read(directory, "code"):
        return False
    with contextlib.suppress(OSError, ValueError), open("/proc/%s/stat" % read(directory, "pid")) as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return not read(directory, "pid") and os.path.isdir(directory)


def ended(code: str, progress: str) -> str:
    """Say how an engine ended that gave no answer."""
    lines = [line for line in progress.partition("Traceback (")[0].splitlines() if line.strip() and line[0] != " "]
    step = " at the step `%s`" % " ".join(lines[-1].split()) if lines else ""
    if code.startswith("-"):
        name = signal.Signals(-int(code)).name
        cause = "was ended by %s%s" % (name, " (out of memory?)" if name == "SIGKILL" else "")
    else:
        cause = "ended with exit code %s and gave no answer" % (code or "unknown")
    return "The engine %s%s." % (cause, step)


def served(engine: bytes, app: str) -> str:
    """Ask another engine what visitors get, after one has given no answer."""
    directory = start(engine, ["--app", app, "serving"], b"")
    deadline = time.monotonic() + 20
    while is_running(directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        return " " + str(json.loads(read(directory, "answer"))["msg"])
    except (ValueError, KeyError):
        return ""
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Run the engine, and turn its answer into the module's; or tell how far it is, after some time."""
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "engine": {"type": "str", "required": True, "no_log": True},
            "request": {"type": "str", "required": True, "no_log": True},
            "running": {"type": "str", "default": ""},
            "wait": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    if sys.version_info < OLDEST_PYTHON:
        version = "%d.%d" % sys.version_info[:2]
        module.fail_json(msg="host: the Python must be 3.10 or newer, got %s (%s)" % (version, sys.executable))
    if os.geteuid() != 0:
        module.fail_json(msg="host: the role must run as root; set become: true on the play")
    engine, command = unpacked(module.params["engine"]), module.params["command"]
    directory = module.params["running"] or start(engine, command, unpacked(module.params["request"]))
    deadline = time.monotonic() + module.params["wait"]
    while is_running(directory):
        if time.monotonic() > deadline:
            module.exit_json(changed=False, running=directory, progress=read(directory, "progress").splitlines())
        time.sleep(0.02)
    code, output, progress = (read(directory, name) for name in ("code", "answer", "progress"))
    shutil.rmtree(directory, ignore_errors=True)
    try:
        answer = json.loads(output)
    except ValueError:
        message = ended(code, progress)
        if command[:1] == ["--app"]:
            message += served(engine, command[1])
        module.fail_json(
            msg=message + " Run the play again: it goes on from here.", progress=progress.splitlines()[-20:]
        )
    answer["progress"] = progress.splitlines()
    if answer.pop("failed", False):
        module.fail_json(**answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
