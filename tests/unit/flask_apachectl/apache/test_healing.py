"""What is taken from the running Apache and from what was installed when files of Apache are damaged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import paths
from flask_apachectl.apache import server, site
from flask_apachectl.host import facts
from flask_apachectl.host.desired import Link
from tests.unit.flask_apachectl.samples import shop

if TYPE_CHECKING:
    from pathlib import Path

    from flask_apachectl.app import App

MODULE = "/usr/lib/apache2/modules/mod_wsgi.so"


@pytest.mark.parametrize(
    ("mapped", "expected"),
    [(MODULE, True), ("/usr/local/lib/flask-apache/mod_wsgi-6.1.1-python3.13.so", False), ("", False)],
)
def test_a_restart_is_for_another_module(
    apache: Path, monkeypatch: pytest.MonkeyPatch, mapped: str, *, expected: bool
) -> None:
    """A link that is restored loads what the running Apache has loaded already."""
    (apache / "mods-enabled/wsgi.load").write_text(f"LoadModule wsgi_module {MODULE}\n")
    maps = f"7f00-7f01 r-xp 0000b000 00:27 12   {mapped}\n"
    read = facts.read
    monkeypatch.setattr(server, "pid", lambda: 7)
    monkeypatch.setattr(facts, "read", lambda path: maps if path.name == "maps" else read(path))
    assert server.has_wanted_module() is expected


@pytest.mark.parametrize("place", ["flask-apache.json", "shop/app.json"])
def test_the_stock_sites_link_is_known_from_what_was_installed(apache: Path, app: App, place: str) -> None:
    """While an app is the default, only the role's own link says where the distribution's page is."""
    kept = apache / "sites-available/flask-apache-replaced.conf"
    file = paths.ETC / place
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"installed": [{"path": "/other"}, {"path": str(kept), "target": "../x.conf"}]}))
    default = shop(default_server=True).site
    assert Link(kept, "../x.conf") in site.shared({app.name: default})
    kept.symlink_to("/tmp")
    assert Link(kept, "../x.conf") in site.shared({app.name: default})
    assert Link(apache / "sites-enabled/000-default.conf", "../x.conf") in site.shared({app.name: app.site})


@pytest.mark.parametrize("content", ["", "[]", '{"installed": [1]}', '{"installed": 1}', "\udcff"])
def test_a_damaged_list_is_no_list(apache: Path, app: App, content: str) -> None:
    """Other files may say the same."""
    (paths.ETC / "flask-apache.json").write_bytes(content.encode(errors="surrogateescape"))
    assert all(not each.path.is_relative_to(apache / "sites-available") for each in site.shared({app.name: app.site}))
