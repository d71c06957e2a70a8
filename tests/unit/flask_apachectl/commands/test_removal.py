"""A removed app leaves nothing of its own, and the last one nothing at all; other apps notice nothing."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import paths
from flask_apachectl.commands import removal
from flask_apachectl.errors import RefusedError
from tests.unit.flask_apachectl.apache.hosts import enabled
from tests.unit.flask_apachectl.commands.conftest import Machine, fresh_machine
from tests.unit.flask_apachectl.kills import Killed

if TYPE_CHECKING:
    from pathlib import Path


def own(name: str) -> list[Path]:
    """Return the places of an app."""
    return [top / name for top in (paths.ETC, paths.SRV, paths.VAR_LIB, paths.VAR_LOG, paths.CACHE)]


def deploy(machine: Machine, *names: str) -> None:
    """Apply apps, and give them data, logs and units."""
    for name in names:
        directory = "/nowhere" if name == "shop" else ""
        own_name = f"{name}.example.com"
        machine.apply(name, server_name=own_name, default_server=name == "shop", metrics_textfile=directory)
        for path in own(name)[2:]:
            path.mkdir()
            (path / "file").write_text(name)
        (paths.UNITS / f"flask-apache-{name}-queue@.service").write_text("")
        (paths.UNITS / f"flask-apache-{name}.target").write_text("")
        (paths.UNITS / "timers.target.wants").mkdir(exist_ok=True)
        wants = paths.UNITS / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / f"flask-apache-{name}.target").symlink_to(f"../flask-apache-{name}.target")


def test_an_app_goes_and_the_others_stay(machine: Machine) -> None:
    deploy(machine, "blog")
    before = machine.tree()
    deploy(machine, "shop")
    assert enabled()[0] == "00-flask-apache-shop.example.com-80.conf"
    answer = machine.remove("shop", data=True)
    assert (answer["changed"], answer["msg"]) == (True, "removed shop")
    assert {name: text for name, text in machine.tree().items() if "shop" in name} == {}
    assert machine.tree() == before
    assert (machine.drift("blog"), machine.loads[-1]) == ([], False)
    assert machine.configuration == machine.on_disk()


def test_data_stays_unless_it_is_to_go(machine: Machine) -> None:
    deploy(machine, "shop", "blog")
    machine.remove("shop")
    assert [path for path in own("shop") if path.exists()] == [paths.VAR_LIB / "shop"]


def test_nothing_is_left_of_the_last_one(machine: Machine) -> None:
    before = machine.tree()
    deploy(machine, "shop", "blog")
    (machine.root / "certificates").mkdir()
    machine.remove("shop", data=True)
    assert machine.diverted
    assert paths.ENGINE.exists()
    machine.remove("blog", data=True)
    assert not machine.diverted
    left = set(machine.tree())
    later = {"certificates", "apache2/mods-enabled/headers.load", "apache2/mods-enabled/rewrite.load"}
    assert left - set(before) - later == {f"units/{name}.target.wants" for name in ("multi-user", "timers")}
    assert set(before) - left == {"etc", "etc/vhosts", "srv", "var_log", "cache", "lib", "var_lib"}


def test_an_app_whose_first_deploy_has_begun_keeps_the_rest(machine: Machine) -> None:
    deploy(machine, "shop")
    (paths.ETC / "blog").mkdir()
    machine.remove("shop", data=True)
    assert paths.ENGINE.exists()
    assert machine.diverted


def test_a_plan_removes_nothing(machine: Machine) -> None:
    deploy(machine, "shop", "blog")
    before, proofs, loads = machine.tree(), machine.proofs, len(machine.loads)
    planned = machine.remove("shop", plan=True, data=True)
    assert (machine.tree(), machine.proofs, len(machine.loads)) == (before, proofs, loads)
    assert planned["msg"] == "would remove shop"
    done = machine.remove("shop", data=True)
    assert (planned["paths"], planned["diff"]) == (done["paths"], done["diff"])


def test_what_is_not_there_is_removed_already(machine: Machine) -> None:
    deploy(machine, "blog")
    for plan, message in ((True, "there is nothing to remove of shop"), (False, "removed shop")):
        answer = machine.remove("shop", plan=plan, data=True)
        assert (answer["changed"], answer["paths"], answer["msg"]) == (False, [], message)


def test_an_app_with_a_damaged_declaration_can_be_removed(machine: Machine) -> None:
    deploy(machine, "blog", "shop")
    (paths.ETC / "shop/app.json").write_text('{"app":')
    machine.remove("shop", data=True)
    assert not [name for name in machine.tree() if "shop" in name]


def test_a_neighbour_that_cannot_be_read_stops_a_removal(machine: Machine) -> None:
    deploy(machine, "blog", "shop")
    (paths.ETC / "blog/app.json").write_text('{"app":')
    before = machine.tree()
    with pytest.raises(RefusedError, match="run the role for blog first"):
        machine.remove("shop", data=True)
    assert machine.tree() == before


def test_what_cannot_be_proved_is_not_removed(machine: Machine) -> None:
    deploy(machine, "blog", "shop")
    before, machine.refusal = machine.tree(), "Apache does not start"
    with pytest.raises(RefusedError, match="Apache does not start"):
        machine.remove("shop", data=True)
    assert machine.tree() == before


@pytest.mark.parametrize("names", [("shop",), ("blog", "shop")])
def test_a_killed_removal_is_completed_by_the_next_one(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, names: tuple[str, ...]
) -> None:
    wanted: dict[str, str] = {}
    for moment in itertools.chain([10**6], range(0, 1000, 3)):
        with pytest.MonkeyPatch.context() as patch:
            machine = fresh_machine(tmp_path_factory.mktemp("host"), patch, request)
            deploy(machine, *names)
            was_killed = True
            with contextlib.suppress(Killed), machine.killer.armed(moment, hard=moment % 2 == 0):
                machine.remove("shop", data=True)
                was_killed = False
            if was_killed:
                machine.remove("shop", data=True)
            tree = machine.tree() | {"loaded": json.dumps(machine.configuration)}
            wanted = wanted or tree
            assert tree == wanted
        if not was_killed and moment != 10**6:
            break
    assert moment > 10


def test_traces_name_nothing_of_an_app_with_a_longer_name(machine: Machine) -> None:
    deploy(machine, "shop", "shop-two")
    found = removal.traces(machine.app("shop"), last=False, data=True)
    assert not [path for path in found if "shop-two" in str(path)]
    assert paths.UNITS / "flask-apache-shop-queue@.service" in found
