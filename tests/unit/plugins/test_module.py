"""The module turns the engine's answer into Ansible's, and an engine that gave none into one sentence."""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.programs import load

if TYPE_CHECKING:
    from pathlib import Path

module = load("library/flask_apache_engine.py")
SECRET = "correct horse"
SERVING = """
import json, os, signal, sys, time
if "serving" in sys.argv:
    print(json.dumps({"msg": "Still serving r0."}))
    sys.exit()
request = json.load(sys.stdin)
print("stage   r1", file=sys.stderr)
print("build   r1", file=sys.stderr, flush=True)
"""


class EndedError(Exception):
    """The module has ended, with its result."""

    def __init__(self, **result: object) -> None:
        super().__init__(result)
        self.result = result


class Fake:
    """Stands for AnsibleModule."""

    params: dict[str, Any]

    def __init__(self, argument_spec: dict[str, Any], **_: object) -> None:
        assert argument_spec["request"]["no_log"]
        given = {name: spec.get("default") for name, spec in argument_spec.items()}
        self.params = given | Fake.params

    def exit_json(self, **result: object) -> None:
        """End well."""
        raise EndedError(**result)

    def fail_json(self, **result: object) -> None:
        """End badly."""
        raise EndedError(failed=True, **result)


@pytest.fixture(autouse=True)
def _run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RUN", str(tmp_path))
    monkeypatch.setattr(module, "AnsibleModule", Fake)


def packed(content: bytes) -> str:
    """Return a parameter."""
    return base64.b64encode(zlib.compress(content)).decode()


def call(program: str, *command: str, **parameters: object) -> dict[str, Any]:
    """Return the module's result for an engine that is a program of Python's."""
    Fake.params = {
        "command": list(command or ("--app", "shop", "apply")),
        "engine": packed((SERVING + program).encode()),
        "request": packed(json.dumps({"environment": {"KEY": SECRET}}).encode()),
        "wait": 60,
        **parameters,
    }
    with pytest.raises(EndedError) as ended:
        module.main()
    result: dict[str, Any] = ended.value.result
    assert SECRET not in json.dumps(result)
    return result


def test_an_answer_is_the_result(tmp_path: Path) -> None:
    result = call("print(json.dumps({'changed': True, 'msg': 'done', 'diff': [], 'words': sys.argv[1:]}))")
    assert result == {
        "changed": True,
        "msg": "done",
        "diff": [],
        "words": ["--json", "--app", "shop", "apply"],
        "progress": ["stage   r1", "build   r1"],
    }
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_fails() -> None:
    result = call("print(json.dumps({'failed': True, 'msg': 'Apache does not start'})); sys.exit(1)")
    assert (result["failed"], result["msg"]) == (True, "Apache does not start")


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL (out of memory?)"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "was ended by SIGTERM"),
        ("sys.exit(3)", "ended with exit code 3 and gave no answer"),
        ("print('{\"changed\": tru')", "ended with exit code 0 and gave no answer"),
        ("print('<html>')", "ended with exit code 0 and gave no answer"),
        ("sys.stdout.buffer.write(b'\\xff\\xfe')", "ended with exit code 0 and gave no answer"),
    ],
)
def test_an_engine_without_an_answer_is_a_sentence(end: str, cause: str) -> None:
    result = call(end)
    assert result == {
        "failed": True,
        "msg": f"The engine {cause} at the step `build r1`. Still serving r0. "
        "Run the play again: it goes on from here.",
        "progress": ["stage   r1", "build   r1"],
    }


def test_a_traceback_is_no_step() -> None:
    result = call("raise SystemError('it cannot be imported')")
    assert str(result["msg"]).startswith("The engine ended with exit code 1 and gave no answer at the step `build r1`.")


def test_nothing_is_asked_of_an_app_where_none_is_named() -> None:
    result = call("sys.exit(3)", "inspect")
    assert "Still serving" not in str(result["msg"])


def test_an_engine_that_cannot_be_asked_either() -> None:
    Fake.params = {"command": ["--app", "shop", "apply"], "engine": packed(b"syntax error"), "request": packed(b"{}")}
    with pytest.raises(EndedError) as ended:
        module.main()
    assert ended.value.result["failed"] is True
    assert "ended with exit code 1 and gave no answer" in str(ended.value.result["msg"])


def test_a_long_command_is_left_and_asked_again(tmp_path: Path) -> None:
    go = tmp_path / "go"
    program = f"while not os.path.exists({str(go)!r}): time.sleep(0.02)\nprint(json.dumps({{'msg': 'done'}}))"
    first = call(program, wait=0.5)
    assert (first["changed"], first["running"][: len(str(tmp_path))]) == (False, str(tmp_path))
    go.touch()
    assert call(program, running=first["running"]) == {"msg": "done", "progress": ["stage   r1", "build   r1"]}
    assert list(tmp_path.iterdir()) == [go]


def test_an_old_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OLDEST_PYTHON", (9, 9))
    result = call("")
    assert result["msg"].startswith("host: the Python must be 3.10 or newer, got 3.")
