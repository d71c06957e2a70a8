#!/usr/bin/python
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
author:
  - flask_apache developers (@flask-apache)
"""

EXAMPLES = r"""
- name: Report the live release
  flask_apache_engine:
    step: status
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
import signal
import subprocess
import sys
import zlib

from ansible.module_utils.basic import AnsibleModule

OLDEST_PYTHON = (3, 10)


def unpacked(text: str) -> bytes:
    """Return the bytes of a parameter."""
    return zlib.decompress(base64.b64decode(text))


class Engine:
    """The engine in memory: a file that has no name on disk."""

    def __init__(self, content: bytes) -> None:
        self.descriptor = os.memfd_create("flask-apachectl", 0)  # inherited by the program, which is the file itself
        view = memoryview(content)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def run(self, command: list[str], request: bytes = b"{}") -> tuple[int, str, str]:
        """Run a command. Returns its exit code, and what it printed: the answer, and the lines of progress."""
        program = [sys.executable, "-I", "/proc/self/fd/%d" % self.descriptor, "--json"]
        process = subprocess.Popen(
            program + command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(self.descriptor,),
        )
        output, progress = process.communicate(request)
        return process.returncode, output.decode(errors="replace"), progress.decode(errors="replace")


def ended(code: int, progress: str) -> str:
    """Say how an engine ended that gave no answer."""
    lines = [line for line in progress.splitlines() if line.strip()]
    step = " at the step '%s'" % " ".join(lines[-1].split()) if lines and not lines[-1].startswith(" ") else ""
    if code < 0:
        name = signal.Signals(-code).name
        cause = "was ended by %s%s" % (name, " (out of memory?)" if name == "SIGKILL" else "")
    else:
        cause = "ended with exit code %d and gave no answer" % code
    return "The engine %s%s." % (cause, step)


def main() -> None:
    """Run the engine, and turn its answer into the module's."""
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "engine": {"type": "str", "required": True, "no_log": True},
            "request": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    if sys.version_info < OLDEST_PYTHON:
        version = "%d.%d" % sys.version_info[:2]
        module.fail_json(msg="host: the Python must be 3.10 or newer, got %s (%s)" % (version, sys.executable))
    engine, command = Engine(unpacked(module.params["engine"])), module.params["command"]
    code, output, progress = engine.run(command, unpacked(module.params["request"]))
    try:
        answer = json.loads(output)
    except ValueError:
        message = ended(code, progress)
        app = command[1:2] if command[:1] == ["--app"] else []
        if app:
            serving = engine.run(["--app", app[0], "serving"])[1]
            with contextlib.suppress(ValueError, KeyError):
                message += " " + json.loads(serving)["msg"]
        module.fail_json(
            msg=message + " Run the play again: it goes on from here.", progress=progress.splitlines()[-20:]
        )
    answer["progress"] = progress.splitlines()
    if answer.pop("failed", False):
        module.fail_json(**answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
