"""What is hardened of the whole Apache follows from all apps, and goes with the last one."""

from __future__ import annotations

from pathlib import Path

import pytest

from flask_apachectl import paths
from flask_apachectl.apache import hardening, others
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import desired, report
from flask_apachectl.host.desired import Change, Link
from tests.unit.flask_apachectl.apache.hosts import Apaches, enabled
from tests.unit.flask_apachectl.samples import shop

IN_BLOG = {"server_name": "blog.example.com"}


@pytest.fixture
def host(apache: Path, as_root: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apaches:  # noqa: ARG001
    """Return a host without apps, on which systemd runs and can do everything."""
    for name in ("UNITS", "SYSTEMD", "VAR_LIB", "VAR_LOG"):
        monkeypatch.setattr(paths, name, tmp_path / name.lower())
        (tmp_path / name.lower()).mkdir()
    monkeypatch.setattr(hardening, "problem_of", lambda _settings: "")
    monkeypatch.setattr(others, "are_none", lambda: True)
    monkeypatch.setattr(report, "say", lambda _text: None)
    return Apaches()


def settings() -> dict[str, list[str]]:
    """Return the settings of the file for systemd, each with all its values."""
    found: dict[str, list[str]] = {}
    path = paths.UNITS / hardening.DROP_IN
    for name, _, value in (line.partition("=") for line in path.read_text().splitlines() if "=" in line):
        found.setdefault(name, []).append(value)
    return found


def has_sandbox() -> bool:
    """Tell whether there is a file for systemd, and no directory without one."""
    path = paths.UNITS / hardening.DROP_IN
    assert path.exists() == path.parent.exists()
    return path.exists()


def test_systemd_knows_apaches_first_process(host: Apaches) -> None:
    """Unless its file is elsewhere: a wrong one would keep Apache from starting."""
    envvars = paths.APACHE / "envvars"
    host.deploy("shop")
    assert "PIDFile" not in settings()
    envvars.write_text("export APACHE_PID_FILE=/var/run/apache2$SUFFIX/apache2.pid\n")
    host.deploy("shop")
    assert (settings()["PIDFile"], settings()["Restart"]) == (["/run/apache2/apache2.pid"], ["on-abnormal"])
    envvars.write_text("export APACHE_PID_FILE=/srv/apache2.pid\n")
    host.deploy("shop")
    assert not {"PIDFile", "Restart"} & set(settings())


def test_it_is_on_until_the_last_app_goes(host: Apaches) -> None:
    host.deploy("shop")
    assert hardening.ENABLED in enabled("conf")
    assert has_sandbox()
    assert host.deploy("shop") == []
    host.deploy("blog", **IN_BLOG)
    host.remove("shop")
    assert hardening.ENABLED in enabled("conf")
    assert has_sandbox()
    host.remove("blog")
    assert enabled("conf") == []
    assert not has_sandbox()
    assert not list(paths.APACHE.rglob("*harden*"))
    assert not (paths.APACHE / "md").exists()


def test_certificates_of_mod_md_stay(host: Apaches) -> None:
    """Its directory is there before mod_md is, as it could not be made in the sandbox."""
    host.deploy("shop")
    assert f"-{paths.APACHE}/md" in settings()["ReadWritePaths"][0].split()
    (paths.APACHE / "md/domains").mkdir()
    assert host.deploy("shop") == []
    host.remove("shop")
    assert (paths.APACHE / "md/domains").is_dir()


def test_apache_reads_it_after_debians_own_settings() -> None:
    assert hardening.ENABLED > "security.conf"
    assert others.is_own(hardening.ENABLED)


def test_one_app_turns_it_off_for_all(host: Apaches) -> None:
    host.deploy("shop")
    host.deploy("blog", **IN_BLOG, harden_server=False)
    assert hardening.ENABLED not in enabled("conf")
    assert not has_sandbox()
    host.remove("blog")  # what is then declared comes back without a run for the shop
    assert hardening.ENABLED in enabled("conf")
    assert has_sandbox()


@pytest.mark.parametrize(
    ("modes", "alone", "expected"),
    [
        (["auto"], True, True),
        (["auto"], False, False),
        (["always"], False, True),
        (["auto", "always"], False, True),
        (["none"], True, False),
        (["always", "none"], True, False),
    ],
)
def test_the_sandbox_is_for_apaches_that_serve_only_apps(
    host: Apaches, monkeypatch: pytest.MonkeyPatch, modes: list[str], *, alone: bool, expected: bool
) -> None:
    monkeypatch.setattr(others, "are_none", lambda: alone)
    for number, mode in enumerate(modes):
        host.deploy(f"app{number}", sandbox=mode, server_name=f"{number}.example.com")
    assert has_sandbox() is expected
    assert hardening.ENABLED in enabled("conf")


def test_a_file_of_somebodys_beside_it_stays(host: Apaches) -> None:
    host.deploy("shop")
    own = (paths.UNITS / hardening.DROP_IN).with_name("own.conf")
    own.write_text("[Service]\nNice=5\n")
    host.remove("shop")
    assert own.read_text() == "[Service]\nNice=5\n"
    assert not (paths.UNITS / hardening.DROP_IN).exists()


def test_without_systemd_there_is_none(host: Apaches) -> None:
    paths.SYSTEMD.rmdir()
    host.deploy("shop")
    assert not has_sandbox()
    assert hardening.limits(host.apps) is None


def test_apps_that_need_more(host: Apaches) -> None:
    """What one app needs is left to all, as they share one Apache."""
    host.deploy("shop", sandbox_without=["ProtectHome"], sandbox_writable=["/srv/media", "/var/lib/apache2/x"])
    host.deploy("blog", **IN_BLOG, sandbox_without=["SystemCallFilter"])
    found = settings()
    assert not {"ProtectHome", "SystemCallFilter"} & set(found)
    assert "-/srv/media" in found["ReadWritePaths"][0].split()
    assert "-/var/lib/apache2/x" not in found["ReadWritePaths"][0].split()
    limits = hardening.limits(host.apps)
    assert limits is not None
    assert (limits.hidden, limits.capabilities[0]) == ([], "chown")
    host.deploy("blog", **IN_BLOG, sandbox_without=["ProtectSystem", "CapabilityBoundingSet"])
    assert "ReadWritePaths" not in settings()
    assert hardening.limits(host.apps) == hardening.Limits([], [], [])


def test_data_and_logs_on_another_disk_are_writable(host: Apaches, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    (paths.VAR_LIB / "shop").symlink_to(disk)
    host.deploy("shop", access_log="/data/logs/access.log")
    assert {f"-{disk}", "-/data/logs", f"-{paths.VAR_LIB}", "-/run"} <= set(settings()["ReadWritePaths"][0].split())


def test_the_journal_is_no_directory(host: Apaches) -> None:
    host.deploy("shop")
    before = settings()["ReadWritePaths"]
    host.deploy("shop", access_log=paths.JOURNAL, error_log=paths.JOURNAL)
    after = settings()["ReadWritePaths"][0].split()
    assert set(after) <= set(before[0].split())
    assert f"-{Path.cwd()}" not in after


def test_where_links_among_the_logs_lead_is_writable(host: Apaches, tmp_path: Path) -> None:
    """Also those of files, but for the output of a container."""
    disk, logs = tmp_path / "disk", tmp_path / "logs"
    disk.mkdir()
    logs.mkdir()
    (logs / "error.log").symlink_to(disk / "error.log")
    (logs / "access.log").symlink_to("/dev/null")
    (logs / "other.log").symlink_to("/proc/self/fd/1")
    host.deploy("shop", access_log=str(logs / "access.log"), sandbox="always")
    assert has_sandbox()
    writable = settings()["ReadWritePaths"][0].split()
    assert {f"-{disk}", f"-{logs}"} <= set(writable)
    assert not [path for path in writable if path.startswith(("-/dev", "-/proc"))]


def test_the_sandbox_before_is_restored(host: Apaches) -> None:
    path = paths.UNITS / hardening.DROP_IN
    host.deploy("shop")
    before = path.read_text()
    hardening.restore([Change(str(path), "", before)])
    assert not path.parent.exists()
    host.deploy("shop", sandbox_writable=["/srv/media"])
    changed = path.read_text()
    for shown in (before, f"file owner=root group=root mode=0600\n{before}"):
        path.write_text(changed)
        hardening.restore([Change("/etc/other", "x", "y"), Change(str(path), shown, changed)])
        assert path.read_text() == before


def test_where_systemd_cannot_set_limits(host: Apaches, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default Apache goes on without them; who insists is refused, with systemd's words."""
    monkeypatch.setattr(hardening, "problem_of", lambda _settings: "Failed at step NAMESPACE")
    host.deploy("shop")
    assert not has_sandbox()
    with pytest.raises(RefusedError, match="limit Apache on this host: Failed at step NAMESPACE\nSet flask_apache_s"):
        host.deploy("shop", sandbox="always")


def test_a_link_that_leads_nowhere_is_not_made(host: Apaches) -> None:
    host.deploy("shop")
    (paths.APACHE / "conf-available" / paths.HARDENED).unlink()
    found = hardening.wanted(host.apps, is_declared=False)
    assert Link(paths.APACHE / "conf-enabled" / hardening.ENABLED) in found
    assert any(map(desired.difference, hardening.wanted({"shop": shop().site}, is_declared=False)))
