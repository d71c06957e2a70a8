"""Apache's sandbox: what it takes from an app that was taken over, and what goes on as before."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.security.shared import NAME
from tests.support.hosts import attach
from tests.support.parallel import each
from tests.support.releases import Deployed, wait_until
from tests.support.steps import StepError

if TYPE_CHECKING:
    from tests.security.shared import Place

DROP_IN = "/etc/systemd/system/apache2.service.d/flask-apache.conf"
MOST_EXPOSURE = 2.5
FORBIDDEN = {
    "open": "Read-only file system",
    "home": "Permission denied",
    "netlink": "Address family not supported by protocol",
}
ALLOWED = {"data": "written", "tmp": "written", "shared memory": "written", "unix": "None", "tcp": "None"}


def exposure(place: Place) -> float:
    """Return what systemd thinks of Apache's unit: from 0 to 10, at worst."""
    text = place.host.run(["systemd-analyze", "security", "--no-pager", "apache2.service"]).stdout
    found = re.search(r"Overall exposure level for apache2.service: ([\d.]+)", text)
    assert found, text
    return float(found[1])


def surroundings(place: Place) -> dict[str, str]:
    """Return what a daemon process of the app can do on its host."""
    found: dict[str, str] = place.host.http("/host", NAME).json()
    return found


def expect_sandbox(place: Place) -> None:
    """Expect that the processes of the app are in it, as the app's user, and that doctor is content."""
    found = surroundings(place)
    assert found == {"user": place.host.run(["id", "-u", "shop"]).stdout.strip(), **ALLOWED, **FORBIDDEN}
    shop = Deployed(place.host, "shop")
    assert wait_until(lambda: not shop.ctl("doctor").get("failed"), 20)


def test_exposure(places: list[Place]) -> None:
    """Systemd's own figure; without the file, it is 9 or more."""

    def go(place: Place) -> None:
        assert exposure(place) <= MOST_EXPOSURE
        before = place.host.read(DROP_IN)
        place.host.run(f"rm {DROP_IN} && systemctl daemon-reload")
        assert exposure(place) >= 9
        place.host.write(DROP_IN, before)
        place.host.run("systemctl daemon-reload")

    each(places, go)


def test_an_app_that_was_taken_over_is_confined(places: list[Place]) -> None:
    """It writes where it must, and not even where everybody else may."""
    each(places, expect_sandbox)


def test_everything_goes_on(places: list[Place]) -> None:
    """A deploy, a rollback, a worker, a reload, an upgrade of Apache, rotated logs, and a crash of a daemon process."""

    def go(place: Place) -> None:
        host, shop = place.host, Deployed(place.host, "shop")
        worker = {"name": "queue", "command": "sleep 600"}
        place.deploy("shop", workers=[worker], environment={"RELEASE": "2"}, request_body_limit=5000)
        assert host.run("systemctl is-active flask-apache-shop-queue@1.service").stdout.strip() == "active"
        shop.ctl("rollback")
        expect_sandbox(place)
        for command in (
            "systemctl reload apache2",
            "DEBIAN_FRONTEND=noninteractive apt-get install -y -q --reinstall apache2",
            "pkill -KILL -u shop -f wsgi; true",
        ):
            host.run(command)
            assert wait_until(lambda: host.http("/", NAME).status == 200, 20), command
            expect_sandbox(place)
        log = f"/var/log/flask-apache/shop/access.{time.strftime('%Y-%m-%d')}.log"
        host.http("/?rotated", NAME)
        assert wait_until(lambda: "/?rotated" in host.read(log), 5)
        place.deploy("shop")

    each(places, go)


def test_an_app_that_needs_more(places: list[Place]) -> None:
    """It names what it needs, which Apache then has at once; the rest stays as it is."""

    def go(place: Place) -> None:
        place.deploy("shop", sandbox_without=["ProtectHome"], sandbox_writable=["/srv/open"])
        expected = {**ALLOWED, **FORBIDDEN, "open": "written", "home": "[]"}
        assert {name: found for name, found in surroundings(place).items() if name != "user"} == expected
        assert not place.deploy("shop", sandbox_without=["ProtectHome"], sandbox_writable=["/srv/open"]).changed
        place.deploy("shop")
        expect_sandbox(place)

    each(places, go)


def test_what_apache_could_not_do_in_it_is_refused_before(places: list[Place]) -> None:
    """The trial start has the same limits: Apache never fails to start because of them."""

    def go(place: Place) -> None:
        for line, words in (
            ("CustomLog /srv/open/access.log combined", "Read-only file system"),
            ("<IfFile !/home/somebody>\nInclude /none\n</IfFile>", "/none"),
        ):
            with pytest.raises(StepError, match=words):
                place.deploy("shop", directives=line.split("\n"))
            assert place.host.http("/", NAME).status == 200
        place.deploy("shop")

    each(places, go)


def test_what_no_trial_start_can_tell_is_undone(places: list[Place]) -> None:
    """Where Apache does not come up in its new sandbox, the run starts it in the old one, and says what to do."""

    def go(place: Place) -> None:
        host, without = place.host, ["SystemCallFilter"]
        place.deploy("shop", sandbox_without=without)
        before = host.read(DROP_IN)
        host.run(
            "cp -p /etc/apache2/envvars /root && echo 'renice -n 5 $$ >/dev/null || exit 1' >>/etc/apache2/envvars"
        )
        for _ in range(2):  # the next run says the same
            with pytest.raises(StepError, match="flask_apache_sandbox_writable"):
                place.deploy("shop")
            assert host.read(DROP_IN) == before
            assert host.http("/", NAME).status == 200
        host.run("mv /root/envvars /etc/apache2")
        place.deploy("shop")
        expect_sandbox(place)

    each(places, go)


def test_it_is_turned_off_by_one_variable_of_any_app(places: list[Place]) -> None:
    """For all of them, and so is all else that concerns the whole Apache; then it comes back."""

    def go(place: Place) -> None:
        host = place.host
        place.deploy("admin", harden_server=False)
        assert not host.exists(DROP_IN)
        assert surroundings(place)["open"] == "written"
        assert host.http("/", NAME).headers["Server"] != "Apache"
        place.deploy("shop")
        assert not host.exists(DROP_IN)
        place.deploy("admin")
        assert host.http("/", NAME).headers["Server"] == "Apache"
        assert host.exists(DROP_IN)
        doctor = host.run("flask-apachectl --json --app shop doctor", check=False).stdout
        assert "systemctl restart apache2" in json.dumps(json.loads(doctor)["checks"])
        host.run("systemctl restart apache2")
        assert wait_until(lambda: host.http("/", NAME).status == 200, 20)
        expect_sandbox(place)

    each(places, go)


def test_it_is_not_for_other_peoples_sites(places: list[Place]) -> None:
    """Their programs may need what it forbids: a run after they came takes it away, without an interruption."""

    def go(place: Place) -> None:
        site = "<VirtualHost *:80>\nServerName old.example.com\nDocumentRoot /srv/open\n</VirtualHost>\n"
        place.host.write("/etc/apache2/sites-enabled/old.conf", site)
        pid = place.host.pid_of_apache()
        place.deploy("shop")
        assert not place.host.exists(DROP_IN)
        assert place.host.pid_of_apache() == pid
        place.host.run("systemctl restart apache2")
        assert wait_until(lambda: surroundings(place)["open"] == "written", 20)
        place.host.run("rm /etc/apache2/sites-enabled/old.conf")
        place.deploy("shop")
        assert place.host.exists(DROP_IN)
        place.host.run("systemctl restart apache2")
        assert wait_until(lambda: surroundings(place)["open"] != "written", 20)

    each(places, go)


@pytest.mark.last
def test_after_a_reboot(places: list[Place]) -> None:
    """Directories of a run that are not there at boot do not keep Apache from starting."""

    def go(place: Place) -> None:
        subprocess.run(["docker", "restart", "--time=0", place.host.name], check=True, capture_output=True)
        rebooted = attach(place.host.name, place.host.distribution)
        object.__setattr__(place, "host", rebooted)
        assert wait_until(lambda: rebooted.run("systemctl is-active apache2", check=False).returncode == 0, 60)
        assert wait_until(lambda: rebooted.http("/", NAME).status == 200, 20)
        expect_sandbox(place)

    each(places, go)
