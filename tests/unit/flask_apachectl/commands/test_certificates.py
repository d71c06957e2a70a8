"""Apache loads what mod_md has got, and only then are visitors led to HTTPS: also after a kill at any step."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import app as apps
from flask_apachectl import paths, routing
from flask_apachectl.apache import acme, server
from flask_apachectl.commands import certificates
from flask_apachectl.errors import RefusedError
from tests.support.certificates import issue

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.flask_apachectl.commands.conftest import Machine

RELEASE = "0123456789ab-cdef01"
AUTHORITY = "https://acme.example.net/dir"
FIRST, SECOND = (issue(name, ("www.example.com",)) for name in ("first", "second"))


class Md:
    """Apache's mod_md on a machine: what it has, and what Apache shows."""

    def __init__(self, machine: Machine, patch: pytest.MonkeyPatch) -> None:
        self.machine, self.reloads, self.shown, self.breaks = machine, 0, FIRST, False
        paths.HTTPS.mkdir()
        machine.apply("shop", https_port=443, acme=AUTHORITY)
        self.app = apps.load_app("shop")
        self.keep(FIRST.pem)
        patch.setattr(server, "reload", self.reload)
        patch.setattr(server, "addresses", lambda _app: ("127.0.0.1",))
        patch.setattr(server, "certificate", lambda _app, _address: self.shown.der)
        patch.setattr(routing, "live_release", lambda _app: RELEASE)
        patch.setattr(certificates, "LOADED_WITHIN", 0.3)
        patch.setattr(certificates, "BEGINS_WITHIN", 0.1)

    def keep(self, text: str) -> None:
        """Write the certificate that mod_md has."""
        path = acme.certificate(self.app.site)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def stage(self, *, errors: int = 0, finished: bool = True) -> Path:
        """Get another certificate ready, or try in vain. Returns the directory in which it is."""
        directory = acme.staging(self.app.site)
        directory.mkdir(parents=True, exist_ok=True)
        told = {"finished": finished, "errors": errors, "last": {"detail": "no luck"}}
        (directory / "job.json").write_text(json.dumps(told))
        return directory

    def reload(self) -> None:
        """Use what is staged."""
        self.reloads += 1
        if acme.is_staged(self.app.site):
            (acme.staging(self.app.site) / "job.json").unlink()
            self.keep(SECOND.pem)
            self.shown = FIRST if self.breaks else SECOND


@pytest.fixture
def md(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Md:
    """Return mod_md with what it began with."""
    return Md(machine, monkeypatch)


def load() -> str:
    """Run the command; return what it says."""
    return str(certificates.load(Namespace())["msg"])


def test_nothing_to_load(md: Md) -> None:
    assert load() == "there is nothing to load"
    assert (md.reloads, md.app.is_certified, md.app.url) == (0, False, "http://www.example.com/")


def test_a_first_certificate(md: Md) -> None:
    md.stage()
    assert load() == "loaded the certificates of www.example.com"
    assert (md.reloads, md.app.is_certified, md.app.url) == (1, True, "https://www.example.com/")
    assert load() == "there is nothing to load"


def test_visitors_are_not_led_to_what_apache_does_not_show(md: Md) -> None:
    md.stage()
    md.breaks = True
    with pytest.raises(
        RefusedError, match=r"Apache does not show the new certificate of www\.example\.com at port 443"
    ):
        load()
    assert not md.app.is_certified
    md.shown = SECOND
    assert load() == "loaded the certificates of www.example.com"
    assert md.app.is_certified


def test_another_apps_damaged_declaration_hinders_nothing(md: Md) -> None:
    (paths.ETC / "blog").mkdir()
    (paths.ETC / "blog/app.json").write_text("{")
    md.stage()
    load()
    assert md.app.is_certified


def await_it(seconds: float = 0.5) -> dict[str, object]:
    """Wait for the certificate."""
    return certificates.await_first(Namespace(app="shop", seconds=seconds))


def test_a_certificate_is_awaited(md: Md, monkeypatch: pytest.MonkeyPatch) -> None:
    md.stage(finished=False)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            md.stage()

    monkeypatch.setattr(time, "sleep", sleep)
    url = "https://www.example.com/"
    told = {"msg": f"{url} has its certificate", "serves": f"{url} serves {RELEASE}"}
    assert await_it(60) == {"changed": True, "pending": False, **told}
    assert md.reloads == 1


def test_one_that_does_not_come(md: Md) -> None:
    md.stage(finished=False)
    answer = await_it(0)
    assert answer["pending"]
    assert answer["msg"] == (
        f"no certificate from {AUTHORITY} after 0 s (no luck). Visitors get http://www.example.com/ meanwhile, and the "
        "host goes on trying"
    )


@pytest.mark.parametrize("has_failed", [True, False])
def test_after_a_failure_it_is_tried_at_once(md: Md, has_failed: bool) -> None:  # noqa: FBT001 - a parameter
    if has_failed:
        md.stage(errors=3, finished=False)
    await_it(0)
    assert md.reloads == 1
    assert not acme.staging(md.app.site).exists()
