"""The deployed sample app over HTTP, and its processes and files on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.hosts import Host, attach

if TYPE_CHECKING:
    from testinfra.host import Host as Inside

MOUNT = "/flask-apache"


@pytest.fixture(scope="module")
def site(host: Inside) -> Host:
    return attach(host.backend.get_hostname())


@pytest.fixture(scope="module")
def info(site: Host) -> dict[str, Any]:
    answer = site.http(f"{MOUNT}/api/info")
    assert answer.status == 200
    facts: dict[str, Any] = answer.json()
    return facts


@pytest.fixture(scope="module")
def app(host: Inside) -> str:
    (name,) = (name for name in host.file("/srv/flask-apache").listdir() if not name.startswith("."))
    return str(name)


def test_front_page(site: Host) -> None:
    answer = site.http(f"{MOUNT}/")
    assert answer.status == 200
    assert answer.headers.get_content_type() == "text/html"


def test_a_page_that_does_not_exist_is_the_apps_404(site: Host) -> None:
    assert site.http(f"{MOUNT}/there-is-no-such-page").status == 404


def test_a_live_pool_of_the_deployed_release_answers(host: Inside, app: str, info: dict[str, Any]) -> None:
    release = f"/srv/flask-apache/{app}/releases/{info['release']}"
    assert host.file(release).is_directory
    assert info["pool"].endswith(("blue", "green"))
    assert info["script_name"] == MOUNT


def test_file_names_may_hold_any_letter(info: dict[str, Any]) -> None:
    assert info["filesystem_encoding"] == "utf-8"


def test_every_process_of_apache_is_roots_or_an_unprivileged_users(
    host: Inside, site: Host, info: dict[str, Any]
) -> None:
    owner = host.file(f"/proc/{info['pid']}").user
    assert owner not in {"root", "www-data"}
    assert host.file(f"/proc/{site.pid_of_apache()}").user == "root"


def test_the_app_cannot_write_its_own_code(host: Inside, site: Host, app: str, info: dict[str, Any]) -> None:
    owner = host.file(f"/proc/{info['pid']}").user
    home = f"/srv/flask-apache/{app}"
    assert site.run(["find", home, "-writable", "-not", "-type", "l"], user=owner, check=False).stdout == ""
    assert {state.owner for state in site.snapshot([home]).values()} == {"root"}


def test_secrets_are_for_root_and_the_app(host: Inside, app: str, info: dict[str, Any]) -> None:
    env = host.file(f"/etc/flask-apache/{app}/env")
    assert (env.user, env.mode) == ("root", 0o640)
    assert env.group == host.file(f"/proc/{info['pid']}").group
