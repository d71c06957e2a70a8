"""The state of a host after any sequence of commands, failures and kills."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flask_apachectl import history, paths, routing, venvs
from flask_apachectl.build import preparation
from flask_apachectl.errors import RefusedError
from flask_apachectl.routing import Routes
from tests.unit.flask_apachectl.kills import Killed
from tests.unit.flask_apachectl.model import BROKEN, SOURCES, Host

if TYPE_CHECKING:
    from collections.abc import Callable


class Machine(RuleBasedStateMachine):
    """Commands in any order; some are refused or killed."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="flask-apache-unit.")
        self.host: Host | None = None
        self.lived: list[str] = []  # the releases that were live, without repetitions

    @initialize(
        apache=st.booleans(),
        idle_pool=st.sampled_from(["warm", "cold"]),
        strategy=st.sampled_from(["blue_green", "blue_green", "rolling"]),
        source=st.sampled_from(SOURCES),
    )
    def begin(self, apache: bool, idle_pool: str, strategy: str, source: str) -> None:  # noqa: FBT001
        """Deploy for the first time."""
        self.host = Host(Path(self.directory.name), idle_pool=idle_pool, strategy=strategy)
        preparation.make_slots(self.host.app, os.getgid())
        if apache:
            self.host.apache.start()
        self.host.deploy(source)
        assert (self.host.live() or "").startswith(source)

    def teardown(self) -> None:
        """Clean up."""
        if self.host is not None:
            self.host.close()
        self.directory.cleanup()

    def act(self, name: str, index: int) -> None:
        """Run a command; ``index`` chooses among the sources and releases."""
        host = self.host
        assert host is not None
        releases = host.releases()
        release = releases[index % len(releases)]
        actions: dict[str, Callable[[], object]] = {
            "deploy": lambda: host.deploy(SOURCES[index % len(SOURCES)]),
            "broken": lambda: host.deploy(BROKEN),
            "again": lambda: host.command("deploy"),
            "rotate": lambda: host.rotate(f"secret {index % 3}"),
            "mark": lambda: host.mark(irreversible=bool(index % 2)),
            "prepare": lambda: host.prepare(SOURCES[index % len(SOURCES)]),
            "activate": lambda: host.command("activate", release=release),
            "rollback": lambda: host.command("rollback"),
            "rollback to": lambda: host.command("rollback", release=release, force=index > 6),
            "canary": lambda: host.command("canary", canary=1 + index % 99, release=release if index % 2 else None),
            "promote": lambda: host.command("promote"),
            "abort": lambda: host.command("abort"),
            "maintenance": lambda: host.command("maintenance", state=("on", "off")[index % 2]),
            "drain": lambda: host.command("drain", state=("on", "off")[index % 2]),
            "prune": lambda: host.command("prune", keep=index % 4),
        }
        with contextlib.suppress(RefusedError):
            actions[name]()

    ACTIONS = st.sampled_from(
        [
            *("deploy", "broken", "again", "rotate", "mark", "prepare", "activate", "rollback", "rollback to"),
            *("canary", "promote", "abort", "maintenance", "drain", "prune"),
        ]
    )

    @rule(name=ACTIONS, index=st.integers(0, 11))
    def command(self, name: str, index: int) -> None:
        """Run a command of an operator or of the role."""
        self.act(name, index)

    @rule(name=ACTIONS, index=st.integers(0, 11), moment=st.integers(0, 60), hard=st.booleans(), data=st.data())
    def killed(self, name: str, index: int, moment: int, hard: bool, data: st.DataObject) -> None:  # noqa: FBT001
        """Kill a command at any moment. The next run must need no manual repair."""
        host = self.host
        assert host is not None
        with contextlib.suppress(Killed), host.killer.armed(moment, hard=hard):
            self.act(name, index)
        if host.app.site.strategy == "blue_green":  # a killed roll has not made anything live yet
            self.look()
        sound = [release for release in host.releases() if not release.startswith(BROKEN)]
        release = data.draw(st.sampled_from(sound))
        assert host.command("activate", release=release)["release"] == release == host.live()
        assert host.debris() == []
        assert len(host.secrets()) == 1  # the live release's

    @precondition(lambda self: self.host is not None and self.host.apache.running)
    @rule()
    def apache_restarts(self) -> None:
        """Restart Apache, as an upgrade does."""
        assert self.host is not None
        self.host.apache.start()

    def look(self) -> None:
        """Record the live release once it is verified; a run that was killed earlier has made nothing live."""
        live = self.host.live() if self.host else None
        entries = history.read(self.host.app) if self.host else []
        recorded = [entry["release"] for entry in entries if entry["action"] in history.MADE_LIVE]
        if live and recorded[-1:] == [live] and self.lived[-1:] != [live]:
            self.lived.append(live)

    @invariant()
    def the_map_names_a_slot(self) -> None:
        """Visitors always have a pool."""
        if self.host is None:
            return
        text = self.host.app.map.read_text()
        routes = Routes.parse(text)
        assert routes.live in paths.SLOTS
        assert routes.canary in ("", routing.other(routes.live))
        assert Routes.parse(routes.render()) == routes

    @invariant()
    def the_live_release_is_whole(self) -> None:
        """Check that it can start at any time."""
        if self.host is None:
            return
        live = self.host.live()
        assert live in self.host.releases()
        assert venvs.is_complete((self.host.app.releases / live / "venv").resolve())

    @invariant()
    def a_rollback_finds_the_previous_release(self) -> None:
        """Keep it, whatever is pruned."""
        self.look()
        if self.host is not None and len(self.lived) > 1:
            assert self.lived[-2] in self.host.releases()

    @invariant()
    def every_process_of_the_live_pool_runs_the_live_release(self) -> None:
        """No visitor gets an older one."""
        if self.host is None or not self.host.apache.running:
            return
        slot, live = routing.live_slot(self.host.app), self.host.live()
        assert {release for each, _, release in self.host.apache.processes.values() if each == slot} == {live}

    @invariant()
    def the_history_is_whole(self) -> None:
        """Each line is one entry; the last entry that made a release live names the live release."""
        if self.host is None:
            return
        entries = [json.loads(line) for line in self.host.app.history.read_text().splitlines()]
        keys = {"time", "action", "release", "previous", "by"}
        assert [entry for entry in entries if set(entry) - {"reason"} != keys] == []
        assert {entry["action"].split()[-1] in ("refused", "failed") for entry in entries if "reason" in entry} <= {
            True
        }


Machine.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    phases=[Phase.explicit, Phase.generate],  # shrinking such a sequence takes minutes
)
TestCommandsInAnyOrder = Machine.TestCase
