"""The command `metrics`, and the collector of a host: which app's metrics are written where, and when it goes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import cli, paths
from flask_apachectl.serve import collector, metrics, units
from flask_apachectl.serve.metrics import Collected

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.flask_apachectl.commands.conftest import Machine

TIMER = f"{collector.NAME}.timer"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each app have one metric, and a problem if its name says so."""

    def of_name(name: str) -> Collected:
        found = Collected(name)
        found.add("up", 1, {})
        found.problems += [f"{name}: pools: it is odd"] if "odd" in name else []
        return found

    monkeypatch.setattr(metrics, "of_name", of_name)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(time, "time", lambda: 1e9)


UP = "# HELP flask_apache_up Whether a visitor gets the app.\n# TYPE flask_apache_up gauge\n"
APACHE = (
    "# HELP flask_apache_apache_up Whether Apache runs.\n"
    "# TYPE flask_apache_apache_up gauge\n"
    "flask_apache_apache_up 1\n"
    "# HELP flask_apache_collected_timestamp_seconds When all of this was measured.\n"
    "# TYPE flask_apache_collected_timestamp_seconds gauge\n"
    "flask_apache_collected_timestamp_seconds 1000000000\n"
)


def text(*names: str) -> str:
    """Return the metrics of some apps as they are written."""
    return UP + "".join(f'flask_apache_up{{app="{name}"}} 1\n' for name in names) + APACHE


@pytest.mark.usefixtures("measured")
def test_metrics_of_all_apps_or_of_one(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.apply("odd-one", server_name="odd.example.com")
    machine.apply("shop")
    assert cli.main(["metrics"]) == 0
    assert capsys.readouterr().out == text("odd-one", "shop")
    assert cli.main(["--app", "shop", "metrics"]) == 0
    assert capsys.readouterr().out == text("shop")


@pytest.mark.usefixtures("measured")
def test_a_host_without_apps_has_metrics(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.running = False
    assert cli.main(["metrics"]) == 0
    assert capsys.readouterr().out == APACHE.replace("apache_up 1\n", "apache_up 0\n")


@pytest.mark.usefixtures("measured", "machine")
def test_an_app_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--app", "shop", "metrics"]) == 1
    assert "there is no app shop on this host" in capsys.readouterr().err
    assert cli.main(["--app", "shop", "metrics", "--textfile", "/x"]) == 1
    assert "leave out --app" in capsys.readouterr().err


def test_a_damaged_app_is_told_as_down(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.patch.setattr(os, "geteuid", lambda: 0)
    machine.apply("shop")
    (paths.ETC / "shop/app.json").write_text("{")
    for words in (["metrics"], ["--app", "shop", "metrics"]):
        assert cli.main(words) == 0
        told = capsys.readouterr().out
        assert 'flask_apache_up{app="shop"} 0\n' in told
        assert 'flask_apache_collector_success{app="shop",collector="declaration"} 0\n' in told


# --- The collector


@pytest.fixture
def places(tmp_path: Path) -> tuple[str, str]:
    """Return two directories for metrics."""
    found = tmp_path / "textfile/one", tmp_path / "textfile/two"
    for each in found:
        each.mkdir(parents=True)
    return str(found[0]), str(found[1])


class Systemd:
    """What systemd was told, and whether the timer runs."""

    def __init__(self, machine: Machine) -> None:
        self.told: list[str] = []
        self.active, self.outdated = False, False
        paths.SYSTEMD.mkdir()
        machine.patch.setattr(units, "systemctl", self.systemctl)

    def systemctl(self, *words: str) -> str:
        """Do as systemctl does."""
        if words[0] == "show":
            state, reload = "active" if self.active else "inactive", "yes" if self.outdated else "no"
            return (
                f"ActiveState={state}\nNeedDaemonReload={reload}\n\nActiveState=inactive\nNeedDaemonReload={reload}\n"
            )
        if words[0] == "daemon-reload" or TIMER in words:
            self.told.append(words[0])
            self.active = words[0] == "restart" or (self.active and words[0] != "stop")
            self.outdated = self.outdated and words[0] != "daemon-reload"
        return ""


@pytest.fixture
def systemd(machine: Machine) -> Systemd:
    """Return the host's systemd."""
    return Systemd(machine)


def collect(*directories: str) -> int:
    """Do as the timer does."""
    return cli.main(["metrics", *(word for each in directories for word in ("--textfile", each))])


def named() -> list[str]:
    """Return the directories that the collector's unit names."""
    text = (paths.UNITS / collector.SERVICE).read_text()
    (command,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert command.split()[:2] == [f"ExecStart={paths.ENGINE}", "metrics"]
    return command.split()[3::2]


def installed() -> list[str]:
    """Return the collector's files."""
    return sorted(str(path.relative_to(paths.UNITS)) for path in paths.UNITS.rglob("flask-apachectl*"))


def test_there_is_a_collector_as_long_as_an_app_wants_one(
    machine: Machine, systemd: Systemd, places: tuple[str, str]
) -> None:
    machine.apply("blog", server_name="blog.example.com")
    assert (installed(), systemd.told) == ([], [])
    machine.apply("shop", metrics_textfile=places[0])
    assert named() == [places[0]]
    assert installed() == [collector.SERVICE, TIMER, f"timers.target.wants/{TIMER}"]
    assert (systemd.told, systemd.active) == (["daemon-reload", "restart"], True)
    assert (machine.drift("shop"), machine.drift("blog")) == ([], [])
    machine.apply("blog", server_name="blog.example.com", metrics_textfile=places[1], digest="2")
    assert named() == sorted(places)
    machine.remove("shop")
    assert (named(), systemd.active) == ([places[1]], True)
    machine.apply("blog", server_name="blog.example.com", digest="3")
    assert (installed(), systemd.active, systemd.told[-2:]) == ([], False, ["stop", "daemon-reload"])


def test_it_goes_with_the_last_app(machine: Machine, systemd: Systemd, places: tuple[str, str]) -> None:
    machine.apply("shop", metrics_textfile=places[0])
    planned = machine.remove("shop", plan=True)
    assert str(paths.UNITS / collector.SERVICE) in planned["paths"]
    assert machine.remove("shop")["paths"] == planned["paths"]
    assert (installed(), systemd.active) == ([], False)


def test_a_second_run_changes_nothing(machine: Machine, systemd: Systemd, places: tuple[str, str]) -> None:
    first = machine.apply("shop", plan=True, metrics_textfile=places[0])
    assert str(paths.UNITS / TIMER) in first["paths"]
    assert (installed(), systemd.told) == ([], [])
    done = machine.apply("shop", metrics_textfile=places[0])
    assert (first["paths"], first["diff"]) == (done["paths"], done["diff"])
    assert machine.proofs == 1
    told, before = len(systemd.told), machine.tree()
    assert machine.apply("shop", metrics_textfile=places[0])["changed"] is False
    assert (machine.tree(), len(systemd.told), machine.proofs, machine.loads) == (before, told, 1, [False])


@pytest.mark.parametrize("wrong", ["active", "outdated"])
def test_a_timer_that_does_not_run_is_started(
    machine: Machine, systemd: Systemd, places: tuple[str, str], wrong: str
) -> None:
    machine.apply("shop", metrics_textfile=places[0])
    setattr(systemd, wrong, not getattr(systemd, wrong))
    assert machine.drift("shop") == [f"{TIMER} does not run as its file says"]
    answer = machine.apply("shop", metrics_textfile=places[0])
    assert (answer["changed"], answer["msg"]) == (True, f"started {TIMER}")
    assert (systemd.active, systemd.outdated, machine.drift("shop")) == (True, False, [])


def test_while_an_image_is_built_nothing_is_started(
    machine: Machine, systemd: Systemd, places: tuple[str, str]
) -> None:
    machine.apply("shop", metrics_textfile=places[0], manage_service=False)
    assert (named(), systemd.active) == ([places[0]], False)
    assert [path for path in machine.drift("shop") if "metrics" in path] == []


def test_a_changed_unit_is_drift(machine: Machine, systemd: Systemd, places: tuple[str, str]) -> None:
    machine.apply("shop", metrics_textfile=places[0])
    assert systemd.active
    (paths.UNITS / collector.SERVICE).write_text("mine\n")
    assert machine.drift("shop") == [str(paths.UNITS / collector.SERVICE)]
    machine.apply("shop", metrics_textfile=places[0])
    assert named() == [places[0]]


# --- What it writes


@pytest.mark.usefixtures("measured", "systemd")
def test_each_app_is_written_where_it_wants(machine: Machine, places: tuple[str, str]) -> None:
    machine.apply("blog", server_name="blog.example.com", metrics_textfile=places[1])
    machine.apply("news", server_name="news.example.com")
    machine.apply("shop", metrics_textfile=places[0])
    (machine.root / "textfile/one" / f".{collector.FILE}.abc").touch()  # of a collection that was killed
    assert collect(*places) == 0
    one, two = (machine.root / "textfile" / name / collector.FILE for name in ("one", "two"))
    assert (one.read_text(), two.read_text()) == (text("shop"), text("blog"))
    assert one.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in one.parent.iterdir()] == [collector.FILE]
    (paths.ETC / "news/app.json").write_text("{")  # where it wants them is not known
    assert collect(*places) == 0
    assert (one.read_text(), two.read_text()) == (text("news", "shop"), text("blog", "news"))


@pytest.mark.usefixtures("measured", "systemd")
def test_what_no_app_wants_any_more_goes(machine: Machine, places: tuple[str, str]) -> None:
    one, two = (machine.root / "textfile" / name / collector.FILE for name in ("one", "two"))
    machine.apply("shop", metrics_textfile=places[0])
    collect(places[0])
    machine.apply("shop", metrics_textfile=places[1], digest="2")
    assert not one.exists()
    one.write_text("late")
    collect(*places)  # of the former unit, which had begun before
    assert (one.exists(), two.exists()) == (False, True)
    machine.remove("shop")
    assert not two.exists()
    collect(*places)
    assert (one.exists(), two.exists()) == (False, False)


@pytest.mark.usefixtures("measured", "systemd")
def test_an_app_that_goes_meanwhile_is_not_written(
    machine: Machine, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = metrics.of_name

    def of_name(name: str) -> Collected:
        if name == "shop":
            machine.remove("shop")
        return measure(name)

    machine.apply("blog", server_name="blog.example.com", metrics_textfile=places[0])
    machine.apply("shop", metrics_textfile=places[0])
    monkeypatch.setattr(metrics, "of_name", of_name)
    assert collect(places[0]) == 0
    assert (machine.root / "textfile/one" / collector.FILE).read_text() == text("blog")


@pytest.mark.usefixtures("measured", "systemd")
def test_a_directory_that_is_missing_is_named_and_hides_no_other(
    machine: Machine, places: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(machine.root / "textfile/missing")
    machine.apply("odd", server_name="blog.example.com", metrics_textfile=missing)
    machine.apply("shop", metrics_textfile=places[1])
    assert collect(missing, places[1]) == 1
    assert f"{missing} must be a directory: install prometheus-node-exporter" in capsys.readouterr().err
    assert (machine.root / "textfile/two" / collector.FILE).read_text() == text("shop")


@pytest.mark.usefixtures("measured", "systemd")
def test_the_doctor_looks_at_what_is_written(machine: Machine, places: tuple[str, str]) -> None:
    machine.apply("shop", metrics_textfile=places[0])
    own = machine.app().site
    assert f"systemctl status {collector.SERVICE}" in collector.problem_of("shop", own)
    collect(places[0])
    assert collector.problem_of("shop", own) == ""
    written = machine.root / "textfile/one" / collector.FILE
    os.utime(written, (0, 0))
    assert f"systemctl status {collector.SERVICE}" in collector.problem_of("shop", own)
    written.unlink()
    written.parent.rmdir()
    assert "must be a directory" in collector.problem_of("shop", own)


# --- What Apache serves


def serve(*directories: str) -> int:
    """Do as the timer does where an app serves its metrics."""
    return cli.main(["metrics", *(word for each in directories for word in ("--textfile", each)), "--served"])


@pytest.mark.usefixtures("measured")
def test_an_app_that_serves_its_metrics_has_a_file_of_its_own(
    machine: Machine, systemd: Systemd, places: tuple[str, str]
) -> None:
    machine.apply("blog", server_name="blog.example.com", metrics_textfile=places[0])
    machine.apply("shop", metrics_served=True)
    command = [line for line in (paths.UNITS / collector.SERVICE).read_text().splitlines() if "ExecStart" in line]
    assert command == [f"ExecStart={paths.ENGINE} metrics --textfile {places[0]} --served"]
    assert systemd.active
    assert serve(places[0]) == 0
    assert paths.metrics_file("shop").read_text() == text("shop")
    assert [path.name for path in paths.metrics_directory().iterdir()] == ["shop.prom"]
    assert paths.metrics_directory().stat().st_mode & 0o777 == 0o710
    assert (machine.root / "textfile/one" / collector.FILE).read_text() == text("blog")
    assert machine.drift("shop") == []


@pytest.mark.usefixtures("measured", "systemd")
def test_what_no_app_serves_any_more_goes(machine: Machine) -> None:
    machine.apply("blog", server_name="blog.example.com", metrics_served=True)
    machine.apply("shop", metrics_served=True)
    serve()
    (paths.ETC / "blog/app.json").write_text("{")  # it served them, and says that it is damaged
    serve()
    assert 'app="blog"' in paths.metrics_file("blog").read_text()
    machine.apply("blog", server_name="blog.example.com", digest="2")
    assert (paths.metrics_file("blog").exists(), paths.metrics_file("shop").exists()) == (False, True)
    paths.metrics_file("blog").write_text("late")
    serve()  # of the former unit, which had begun before
    assert not paths.metrics_file("blog").exists()
    machine.remove("shop")
    assert (installed(), paths.metrics_directory().exists()) == ([], False)
    serve()
    assert not paths.metrics_directory().exists()


@pytest.mark.usefixtures("measured", "systemd")
def test_the_doctor_looks_at_what_is_served(machine: Machine) -> None:
    machine.apply("shop", metrics_served=True)
    own = machine.app().site
    assert f"systemctl status {collector.SERVICE}" in collector.problem_of("shop", own)
    serve()
    written = paths.metrics_file("shop")
    os.utime(written, (1e9 - 200, 1e9 - 200))
    assert collector.problem_of("shop", own) == ""
    os.utime(written, (1e9 - 400, 1e9 - 400))
    assert f"systemctl status {collector.SERVICE}" in collector.problem_of("shop", own)


@pytest.mark.usefixtures("measured", "machine")
def test_all_apps_are_served_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--app", "shop", "metrics", "--served"]) == 1
    assert "leave out --app" in capsys.readouterr().err
