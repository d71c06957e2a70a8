"""The command line: usage, exit codes and JSON output."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import cli, environments
from flask_apachectl.commands import request
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import report
from tests.unit.flask_apachectl.samples import declare, declared

if TYPE_CHECKING:
    from flask_apachectl.app import App


def commands() -> list[str]:
    """Return the names of all commands."""
    (action,) = (action for action in cli.parser()._actions if action.choices)  # noqa: SLF001
    return list(action.choices or ())


def test_there_are_the_commands_of_the_manual() -> None:
    assert {"status", "releases", "history", "deploy", "rollback", "canary", "promote", "abort"} <= set(commands())
    assert {"maintenance", "drain", "run", "shell", "doctor", "probe", "prune", "prepare", "activate"} <= set(
        commands()
    )


@pytest.mark.parametrize("command", [None, *commands()])
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str | None) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main([*([command] if command else []), "--help"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.startswith("usage: flask-apachectl")


def test_commands_of_the_role_are_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    listed = set(re.findall(r"(?m)^    ([a-z-]+)", capsys.readouterr().out))
    assert {"status", "deploy", "prune"} <= listed
    of_the_role = {"inspect", "reserve", "apply", "remove", "fetch", "prepare", "before-start", "activate", "serving"}
    assert not listed & (of_the_role | {"shadow"})


def test_wrong_usage_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["destroy"])
    assert exit_.value.code == 2
    assert "destroy" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["destroy"],
        ["status", "more"],
        ["status", "--json"],  # it must come before the command
        ["canary"],
        ["canary", "0"],
        ["canary", "100"],
        ["canary", "many"],
        ["activate"],
        ["activate", "r", "--canary", "100"],
        ["maintenance"],
        ["maintenance", "maybe"],
        ["drain", "ON"],
        ["prune", "--keep", "all"],
        ["prepare"],
        ["--app"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_apart_from_failure(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(words)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("usage: flask-apachectl")


@pytest.mark.parametrize("words", [["run", "--", "flask", "--help"], ["run", "flask", "routes", "--all"]])
def test_a_command_of_the_app_keeps_its_own_options(words: list[str]) -> None:
    options = cli.parser().parse_args(words)
    assert [word for word in options.command if word != "--"] == [word for word in words[1:] if word != "--"]


def test_options_that_a_command_lacks_have_their_defaults() -> None:
    for words in (["rollback"], ["activate", "r"], ["prepare", "s"], ["prune"], ["status"]):
        options = cli.parser().parse_args(words)
        assert (options.app, options.json, options.plan, options.canary) == (None, False, False, 0)


@pytest.mark.parametrize(
    "error",
    [
        RefusedError("no luck"),
        OSError(28, "No space left on device"),
        subprocess.CalledProcessError(1, ["python3"]),
        pytest.param(ValueError("release.json is damaged")),
        pytest.param(KeyError("getpwnam(): name not found: 'shop'")),
        pytest.param(tarfile.ReadError("unexpected end of data")),
        pytest.param(EOFError("Compressed file ended")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_is_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(_options: object) -> None:
        raise error

    monkeypatch.setattr(cli, "answer", fail)
    monkeypatch.setattr(report, "last_step", lambda: "")
    told = str(error)
    if not isinstance(error, (RefusedError, OSError)):  # a bug in the engine: the message names its type and place
        told = f"{type(error).__name__}: {error} (test_cli.py:{fail.__code__.co_firstlineno + 1})"
    assert cli.main(["--json", "status"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found.pop("seconds") >= 0
    assert found == {"failed": True, "msg": told}
    assert cli.main(["status"]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"flask-apachectl: {told}\n")


def test_a_failure_names_the_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "answer", fail)
    monkeypatch.setattr(report, "last_step", lambda: "build r1")
    assert cli.main(["status"]) == 1
    expected = "flask-apachectl: [Errno 28] No space left on device, at the step `build r1`\n"
    assert capsys.readouterr().err == expected


SECRET = "it's \\ a \u2603\nof two lines"


def test_an_unforeseen_error_tells_no_secret(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its text may hold anything, so what the request and the app's environment hold is masked in it."""
    asked = {"environment": {"A": SECRET, "B": "short"}, "index_urls": ["https://ann:pass%20word@example.com/simple"]}
    asked["wanted"] = {"git_key": "-----BEGIN KEY-----\nabcdefgh\n"}
    app.conf.mkdir(parents=True, exist_ok=True)
    (app.conf / "env").write_text(json.dumps({"C": "kept on the host"}))
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(asked)))

    def fail(_options: object) -> None:
        found = [request.read(), environments.declared(app), SECRET, "abcdefgh"]
        raise ValueError(f"{json.dumps(found)} {found} {found[2]}")

    monkeypatch.setattr(cli, "answer", fail)
    assert cli.main(["--json", "status"]) == 1
    said = json.loads(capsys.readouterr().out)["msg"]
    assert said.startswith("ValueError: ")
    assert "'B': 'short'" in said
    for text in ("two lines", "2603", "\u2603", "pass%20word", "abcdefgh", "kept on", "BEGIN"):
        assert text not in said


def test_success_is_one_json_object(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "answer", lambda _options: {"changed": False, "msg": "ü\nb"})
    assert cli.main(["--json", "status"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["msg"], found["changed"], set(found)) == ("ü\nb", False, {"msg", "changed", "seconds"})
    assert cli.main(["status"]) == 0
    assert capsys.readouterr() == ("ü\nb\n", "")


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli.main(["--json", "status"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["failed"] is True
    assert "root" in answer["msg"]
    assert cli.main(["status"]) == 1
    assert capsys.readouterr().err.startswith("flask-apachectl: ")


@pytest.fixture
def as_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


REQUEST = {
    "app": "new",
    **declared(),
    "environment": {},
    "users": {},
    "index_urls": [],
    "files": [],
    "directories": [],
    "archives": {},
    "digest": "",
    "salt": "",
    "apache": {
        "fragments": {},
        "pools": {"path": "/nowhere", "content": ""},
        "vhosts": {},
        "server": {},
        "harden_server": {},
        "modules": [],
        "wsgi_load": "",
        "certificate": "",
        "key": "",
        "self_signed": False,
        "external_account": "",
    },
}


@pytest.mark.usefixtures("app", "as_operator")
def test_a_check_on_a_bare_host_tells_what_would_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [__file__])  # the engine, which a request installs
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(REQUEST)))
    assert cli.main(["--json", "prepare", "s", "--request", "--plan"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["changed"] is True
    assert re.fullmatch(r"would build s-[0-9a-f]{6}", found["msg"])


@pytest.mark.usefixtures("app", "as_operator")
def test_nothing_is_activated_for_an_app_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--json", "--app", "new", "activate", "s-?", "--plan"]) == 1
    assert json.loads(capsys.readouterr().out)["msg"] == "there is no app new on this host; apps: none"


@pytest.mark.usefixtures("as_operator")
def test_a_command_of_the_role_needs_a_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert cli.main(["prepare", "s", "--request"]) == 1
    assert "sends a request on standard input" in capsys.readouterr().err


@pytest.mark.usefixtures("as_operator")
def test_a_plan_needs_no_name_where_there_is_one_app(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    declare(app, "shop")
    assert cli.main(["rollback", "--plan"]) == 1
    assert "there is no earlier release" in capsys.readouterr().err


@pytest.mark.usefixtures("app", "as_operator")
def test_no_rollback_is_planned_for_an_app_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--app", "new", "rollback", "--plan"]) == 1
    assert "no app new on this host" in capsys.readouterr().err


def test_roots_umask_and_language_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.ISO-8859-1")
    monkeypatch.setenv("LANGUAGE", "de")
    before = os.umask(0o077)
    try:
        cli.as_on_any_host()
        assert os.umask(0o022) == 0o022
        assert (os.environ["LC_ALL"], os.environ["LANGUAGE"]) == ("C.UTF-8", "")
    finally:
        os.umask(before)


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_a_failure_tells_no_secret_that_the_app_has_printed(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Those of its environment and of each kept release; what is no secret is shown."""
    kept = app.releases / "r1"
    kept.mkdir(parents=True)
    declare(app, "shop")
    (app.conf / "env").write_text(json.dumps({"API_TOKEN": "canary-new", "COLOUR": "crimson"}))
    (kept / "env").write_text(json.dumps({"API_TOKEN": "canary-old"}))
    (app.conf / "secret_key").write_text("canary-key")

    def refuse(_options: object) -> None:
        raise RefusedError("hook failed:\n  canary-new canary-old canary-key crimson")

    monkeypatch.setattr(report, "_concealed", set())
    monkeypatch.setattr(cli, "answer", refuse)
    assert cli.main([*words, "--app", "shop", "deploy"]) == 1
    told = "".join(capsys.readouterr())
    assert "hook failed:" in told
    assert "**** **** **** crimson" in told
