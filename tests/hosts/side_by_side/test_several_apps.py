"""Several apps on one host: where each answers, its own user, pools and logs."""

from __future__ import annotations

import json
import re
import shutil
import socket
from functools import partial
from typing import TYPE_CHECKING

from tests.hosts.side_by_side.shared import (
    NAME,
    PORT,
    SECONDS,
    SHARED,
    Variables,
    ask,
    own_answers,
    pids,
    roles,
    until,
    write_app,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.hosts import Host


def no_connection(host: Host, port: int) -> bool:
    """Return whether a port is closed."""
    try:
        socket.create_connection((host.ip, port), timeout=SECONDS).close()
    except ConnectionRefusedError:
        return True
    return False


def accesses(host: Host, app: str) -> list[str]:
    """Return the paths that visitors requested, from an app's access log."""
    log = host.run(["cat", f"/var/log/flask-apache/{app}/access.log"]).stdout
    return re.findall(r'"(?:GET|POST) (\S+) HTTP/1\.1" .* "-"$', log, re.MULTILINE)


def test_every_app_answers_at_its_own_place(pair: list[Host]) -> None:
    for host in pair:
        assert ask(host, "/flask-apache/api/info", SHARED, 80)["script_name"] == "/flask-apache"
        eu = ask(host, "/shop/eu/", SHARED, 80)
        assert (eu["script_name"], eu["url"]) == ("/shop/eu", "/shop/eu/")
        assert eu["external"] == f"http://{SHARED}/shop/eu/"
        root = ask(host, "/", f"{NAME}:{PORT}")
        assert (root["script_name"], root["url"]) == ("", "/")
        assert root["external"] == f"http://{NAME}:{PORT}/"
        assert own_answers(host, "/flask-apache/", NAME, PORT)
        for path in ("/", "/shop", "/shop/europe", "/flask-apache-2"):
            assert not own_answers(host, path, SHARED, 80)


def test_every_app_has_its_own_user_pools_and_virtual_environment(pair: list[Host]) -> None:
    for host in pair:
        eu, root = ask(host, "/shop/eu/", SHARED, 80), ask(host, "/")
        assert (eu["user"], eu["app"]) == ("shop", "shop")
        assert (root["user"], root["app"]) == ("own", "own")
        for app in ("flask-apache", "shop", "own"):
            running = pids(host, app)
            assert [len(running[slot]) for slot in ("blue", "green")] == [2, 2]
            every = ",".join(str(pid) for pool in running.values() for pid in pool)
            seen = host.run(["ps", "-o", "user:32=,ppid=", "-p", every]).stdout.split("\n")[:-1]
            assert {tuple(line.split()) for line in seen} == {(app, str(host.pid_of_apache()))}
        prefixes = {eu["prefix"], root["prefix"], ask(host, "/flask-apache/api/info", SHARED, 80)["prefix"]}
        assert {prefix.split("/")[3] for prefix in prefixes} == {"flask-apache", "shop", "own"}


def test_a_new_release_of_one_app_changes_nothing_else(
    pair: list[Host], sample: Variables, shop: Variables, own: Variables, source: Path
) -> None:
    older = source.with_name("older")
    shutil.copytree(source, older)
    before = [{app: pids(host, app) for app in ("flask-apache", "shop")} for host in pair]
    for host in pair:  # damage the idle pool and the virtual environment
        host.run("rm -r /srv/flask-apache/own/empty /srv/flask-apache/own/venvs/*/bin")
    write_app(source, "2")
    play = roles(pair, sample, {**shop, "flask_apache_source": str(older)}, own)
    assert [task.partition(" : ")[2] for task in play.changed_tasks] == [
        "release | Build the release",
        "release | Start and probe the release, and switch to it",
    ]
    for host, neighbours in zip(pair, before, strict=True):
        assert play.recap[host.name].changed == 2
        assert ask(host, "/")["version"] == "2"
        assert ask(host, "/shop/eu/", SHARED, 80)["version"] == "1"
        assert {app: pids(host, app) for app in neighbours} == neighbours


def test_a_moved_app_leaves_nothing_behind_and_the_deepest_mount_wins(pair: list[Host], own: Variables) -> None:
    moved = {**own, "flask_apache_server_name": SHARED, "flask_apache_port": 80}
    roles(pair, moved)
    for host in pair:
        assert ask(host, "/", SHARED, 80)["app"] == "own"
        assert ask(host, "/shop/eu/", SHARED, 80)["app"] == "shop"
        assert ask(host, "/flask-apache/api/info", SHARED, 80)["app"] == "flask-apache"
        for path in ("/shop/eu", "/flask-apache"):
            assert host.http(path, SHARED).headers["Location"] == f"http://{SHARED}{path}/"
        for path in ("/shop/europe", "/shop", "/flask-apache-2"):
            assert own_answers(host, path, SHARED, 80), f"{path} belongs to the app at /"
        assert no_connection(host, PORT)
        logged = accesses(host, "own")
        assert "/shop/europe" in logged
        assert not {"/shop/eu/", "/flask-apache/api/info"} & set(logged), "a neighbour's visitors"


def test_what_an_app_logs_is_in_the_log_that_was_declared(pair: list[Host]) -> None:
    for host in pair:
        assert host.http("/shop/eu/crash", SHARED).status == 500
        until(partial(holds, host, "/var/log/flask-apache/*/error.log", "a mistake of shop"), "it is logged")
        declared = json.loads(host.read("/etc/flask-apache/shop/app.json"))["site"]["error_log"]
        assert holds(host, declared, "a mistake of shop")
        assert not holds(host, "/var/log/flask-apache/own/error.log", "a mistake of shop")


def holds(host: Host, logs: str, text: str) -> bool:
    """Return whether one of several logs contains a text."""
    return text in host.run(f"cat {logs}", check=False).stdout
