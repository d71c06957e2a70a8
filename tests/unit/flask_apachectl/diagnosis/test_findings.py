"""What a finding says, what doctor makes of all of them, and that docs/doctor.md has each kind."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl import app as apps
from flask_apachectl import cli
from flask_apachectl.commands import doctor
from flask_apachectl.declaration import DamagedError
from flask_apachectl.diagnosis import checks, clock, everything, finding, permissions, pools, space
from flask_apachectl.diagnosis.finding import ERROR, WARNING, Finding
from tests.support.commands import ROOT
from tests.unit.flask_apachectl.samples import shop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DOCUMENT = ROOT / "docs/doctor.md"
FULL = space.NO_SPACE.found("0.0 MiB of 1 MiB are free in /srv", "rm -r '/srv/a b'", "shop")
OLD = pools.CRASHED.found("systemd has started Apache again 2 times", "journalctl --unit=apache2")


def test_a_finding_is_three_lines_and_a_record() -> None:
    assert FULL.lines(with_app=True).splitlines() == [
        "error    shop: 0.0 MiB of 1 MiB are free in /srv",
        "  why    whoever writes there fails: deploys, uploads, logs",
        "  mend   rm -r '/srv/a b'",
    ]
    assert FULL.lines(with_app=False).startswith("error    0.0 MiB")
    assert list(OLD.record()) == ["severity", "wrong", "why", "fix", "app"]
    assert OLD.record()["app"] == ""
    torn = Finding(WARNING, "one\ntwo", "why", "fix")
    assert len(torn.lines(with_app=True).splitlines()) == 3


def test_texts_for_people() -> None:
    assert finding.command("chmod", "o+x", "/srv/a b") == "chmod o+x '/srv/a b'"
    assert finding.shortened("abcde", 3) == "a, b, c and 2 more"
    assert finding.shortened("ab", 3) == "a, b"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return what is found of the host and of its one app."""
    made = SimpleNamespace(host={}, app={}, checks=[("a release is live", "")])
    monkeypatch.setattr(apps, "present_apps", lambda: ["shop"])
    monkeypatch.setattr(apps, "load_app", lambda _name: shop())
    monkeypatch.setattr(doctor, "of_apache", lambda: [("Apache runs", "")])
    monkeypatch.setattr(doctor, "drift", lambda _app, thorough: [] if not thorough else ["/etc/x"])
    monkeypatch.setattr(doctor, "diagnose", lambda _app, _drifted: made.checks)
    monkeypatch.setattr(everything, "of_host", lambda _apps: made.host)
    monkeypatch.setattr(everything, "of_app", lambda _app, _drifted: made.app)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    return made


def asked(capsys: pytest.CaptureFixture[str], code: int) -> dict[str, Any]:
    """Return doctor's answer as JSON has it."""
    assert cli.main(["--json", "doctor"]) == code
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_warnings_do_not_fail(found: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    found.host = {pools.SUBJECT: [OLD]}
    answer = asked(capsys, 0)
    assert answer["findings"] == [OLD.record()]
    assert [row["ok"] for row in answer["checks"]] == [True, True]
    assert cli.main(["doctor"]) == 0
    assert "\n\nwarning  systemd has started" in capsys.readouterr().out


def test_an_error_fails_and_comes_first(found: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    found.host, found.app = {pools.SUBJECT: [OLD]}, {pools.SUBJECT: [OLD], space.SUBJECT: [FULL]}
    answer = asked(capsys, 1)
    assert [each["severity"] for each in answer["findings"]] == [ERROR, WARNING, WARNING]
    (row,) = (row for row in answer["checks"] if not row["ok"])
    assert row["check"] == everything.SOUND[space.SUBJECT]
    assert FULL.wrong in row["advice"]


def test_a_check_that_fails_is_a_finding(found: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    found.checks = [("a visitor gets the app", "503, as it is closed for maintenance")]
    (row,) = asked(capsys, 1)["findings"]
    assert (row["severity"], row["fix"]) == (ERROR, "flask-apachectl --app shop maintenance off")
    assert row["wrong"] == "visitors do not get the app: 503, as it is closed for maintenance"


TEXTS = (
    *("Apache runs", "Apache's configuration is valid", "Apache runs in its sandbox", "its declaration can be read"),
    *("a release is live", "blue: release r{1} is whole", "green: 12 processes run it"),
    *("the release's Python is the host's", "a visitor gets the app", "its metrics are written"),
    *("there is room for releases", "flask-apache-shop-queue@1.service runs the live release"),
    "flask-apache-shop-nightly.timer runs",
)


@pytest.mark.parametrize("check", TEXTS)
def test_each_check_has_its_finding(check: str) -> None:
    rows: Sequence[dict[str, Any]] = [
        {"app": "shop", "check": check, "ok": False, "advice": "an {advice}"},
        {"app": "shop", "check": check, "ok": True, "advice": ""},
    ]
    (each,) = checks.findings(rows)
    assert each.is_error
    assert all((each.wrong, each.why, each.fix, each.app == "shop"))


def test_no_check_is_without_a_finding() -> None:
    """Each text that doctor gives to a check is one of those above."""
    code = (ROOT / "roles/flask_apache/files/flask_apachectl/commands/doctor.py").read_text()
    texts = re.findall(r'(?m)^\s+yield f?"(.*?)",', code)
    assert len(texts) >= 9
    known = [each.pattern for each in checks.KNOWN]
    unknown = [
        text
        for text in texts
        if not any(re.fullmatch(pattern, re.sub(r"\{[^}]*\}", "1", text)) for pattern in known)
        and "{" not in text.partition(" ")[0]
        and text != "all files are as declared and built"  # `changes` says more
    ]
    assert unknown == []


def test_what_cannot_be_looked_at_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def torn(_app: object) -> Iterator[Finding]:
        yield FULL
        raise DamagedError("/srv/x is damaged")

    monkeypatch.setattr(space, "of_app", torn)
    for module in (permissions, pools, clock):
        monkeypatch.setattr(module, "of_app", lambda _app: [OLD])
    found = everything.of_app(shop(), [])
    assert found[pools.SUBJECT] == [OLD]
    first, second = found[space.SUBJECT]
    assert (first, second.severity) == (FULL, WARNING)
    assert second.wrong == "space cannot be looked at: DamagedError: /srv/x is damaged"


def test_the_documentation_has_every_kind() -> None:
    """Run `python docs/findings.py` to write it."""
    table = "\n".join(finding.table(everything.KINDS))
    assert table.strip() in DOCUMENT.read_text()
    assert len({kind.what for kind in everything.KINDS}) == len(everything.KINDS)


def test_every_kind_is_listed() -> None:
    listed = {id(kind) for kind in everything.KINDS}
    for module in everything.MODULES:
        own = {id(value) for value in vars(module).values() if isinstance(value, finding.Kind)}
        assert own <= listed, module.__name__
