"""Metrics, as Debian's own Prometheus and node_exporter see them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from flask_apachectl.serve import collector, metrics
from tests.support.commands import ROOT
from tests.support.parallel import each
from tests.support.releases import Deployed, wait_until
from tests.support.steps import Run, StepError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.hosts import Host

TIMER = f"{collector.NAME}.timer"
MONITORING = ROOT / "docs/monitoring"
DIRECTORY = "/var/lib/prometheus/node-exporter"
WRITTEN = f"{DIRECTORY}/{collector.FILE}"
CONFIGURATION = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [/etc/prometheus/alerts.yml]
scrape_configs:
  - job_name: node
    static_configs: [{targets: ["localhost:9100"]}]
"""
APP = """
import os, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    while path == "/slow" and not os.path.exists(os.environ["FLASK_APACHE_DATA"] + "/go on"):
        time.sleep(0.1)
    start_response("500 Broken" if path == "/broken" else "200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""
SHOP: dict[str, Any] = {
    "app": "shop",
    "wsgi": "app:app",
    "server_name": "shop.example.com",
    "requirements": [],
    "tls": "self_signed",
    "daemon_processes": 2,
    "daemon_threads": 1,
    "workers": [{"name": "queue", "command": "sleep infinity"}],
    "metrics_textfile": DIRECTORY,
}
BLOG: dict[str, Any] = {
    "app": "blog",
    "wsgi": "app:app",
    "server_name": "blog.example.com",
    "requirements": [],
    "access_log": "/var/log/apache2/blog.log",
}
INSTALL = """
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -yqq --no-install-recommends prometheus prometheus-node-exporter openssl
systemctl stop prometheus
"""


@dataclass
class Monitored:
    """A host with two apps, and the Prometheus that watches it."""

    host: Host
    source: Path

    def deploy(self, declared: dict[str, Any], **changes: object) -> Run:
        """Make a run of the role."""
        run = Run(self.host, {**declared, "source": str(self.source), **changes})
        run.deploy()
        return run

    def metrics(self, *words: str) -> dict[str, float]:
        """Return what the engine tells, by names and labels, and see that it says nothing of errors."""
        done = self.host.run(["flask-apachectl", *words, "metrics"])
        return {
            name.removeprefix("flask_apache_"): float(value)
            for name, value in (line.rsplit(" ", 1) for line in done.stdout.splitlines() if not line.startswith("#"))
        }

    def collect(self) -> None:
        """Let the timer's service write now."""
        self.host.run(["systemctl", "start", collector.SERVICE])

    def ask(self, path: str) -> Any:  # noqa: ANN401 - Prometheus's answer
        """Return what Prometheus's API answers."""
        answer = self.host.http(f"/api/v1/{path}", port=9090).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and values that Prometheus has for an expression."""
        found = self.ask(f"query?query={quote(expression)}")["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def one(self, expression: str) -> tuple[dict[str, str], float]:
        """Return the labels and the value of the one series that Prometheus has for an expression, soon."""
        assert wait_until(lambda: len(self.query(expression)) == 1, 20, 0.3), self.query(expression)
        return self.query(expression)[0]

    def sees(self, expression: str, value: float, seconds: float = 20) -> bool:
        """Return whether Prometheus gets just this value for an expression, in time."""
        return wait_until(lambda: [found for _, found in self.query(expression)] == [value], seconds, 0.3)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the apps' source."""
    directory = tmp_path_factory.mktemp("monitored")
    (directory / "app.py").write_text(APP)
    return directory


@pytest.fixture(scope="module")
def monitored(start_host: Callable[[str], Host], source: Path) -> list[Monitored]:
    """Return a host of each Debian release, with Prometheus and node_exporter."""
    found = [Monitored(host, source) for host in each(["debian-12-hot", "debian-13-hot"], start_host)]
    each(found, prepare)
    return found


def prepare(on: Monitored) -> None:
    """Install Prometheus, and deploy two apps, of which one declares a directory."""
    run = Run(on.host, {**SHOP, "source": str(on.source)})
    run.step("plan")
    assert "is not a directory on the host" in str(run.results["plan"]["warnings"])
    on.host.run(INSTALL, timeout=600)
    on.host.write("/etc/prometheus/prometheus.yml", CONFIGURATION)
    for name in ("alerts.yml", "alerts_test.yml"):
        on.host.put(MONITORING / name, f"/etc/prometheus/{name}")
    on.host.run("systemctl restart prometheus prometheus-node-exporter")
    on.deploy(SHOP)
    on.deploy(BLOG)
    assert wait_until(lambda: on.metrics().get('pool_processes{app="shop",pool="blue"}') == 2, 10)


def everywhere(test: Callable[[Monitored], None]) -> Callable[[list[Monitored]], None]:
    """Make a test of one host a test of all of them, at the same time."""

    def run(monitored: list[Monitored]) -> None:
        each(monitored, test)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@everywhere
def test_prometheus_sees_the_apps_that_want_it(on: Monitored) -> None:
    """The timer writes by itself, node_exporter serves it, and Prometheus has it; a second run changes nothing."""
    assert wait_until(lambda: on.host.exists(WRITTEN), 20), on.host.logs()
    on.collect()  # the timer's first run may have been before the app was live
    assert on.sees('flask_apache_up{app="shop"}', 1)
    assert on.query('flask_apache_up{app="blog"}') == []
    assert on.sees("flask_apache_apache_up", 1)
    labels, value = on.one("flask_apache_release_info")
    status = Deployed(on.host, "shop").status()
    assert (labels["release"], labels["pool"], value) == (status["release"], status["live"], 1)
    _, memory = on.one('flask_apache_pool_resident_memory_bytes{pool="blue"}')
    assert 10e6 < memory < 400e6
    _, age = on.one("flask_apache_release_live_age_seconds")
    assert 0 <= age < 600
    _, left = on.one("flask_apache_certificate_expiry_timestamp_seconds - time()")
    assert 3600 < left / 1000 < 86400 * 3650 / 1000
    assert [labels["unit"] for labels, value in on.query("flask_apache_unit_active == 1")] == [
        "flask-apache-shop-queue@1.service"
    ]
    assert on.query("flask_apache_collector_success == 0") == []
    assert on.query("node_textfile_scrape_error")[0][1] == 0
    for declared in (SHOP, BLOG):
        assert not on.deploy(declared).changed


@everywhere
def test_promtool_accepts_the_metrics_and_the_alerts(on: Monitored) -> None:
    """Names and types follow Prometheus's conventions; each alert fires when it should."""
    done = on.host.run("flask-apachectl metrics | promtool check metrics 2>&1")
    assert done.stdout == ""
    done = on.host.run("cd /etc/prometheus && promtool check rules alerts.yml && promtool test rules alerts_test.yml")
    assert "SUCCESS" in done.stdout
    on.host.run("sed -i 's/< 14 /< 13 /' /etc/prometheus/alerts.yml")
    done = on.host.run("cd /etc/prometheus && promtool test rules alerts_test.yml", check=False)
    assert done.returncode != 0
    on.host.put(MONITORING / "alerts.yml", "/etc/prometheus/alerts.yml")
    rules = [rule for group in on.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) > 10
    assert {rule["health"] for rule in rules} == {"ok"}


@everywhere
def test_prometheus_reads_every_expression_of_the_dashboard(on: Monitored) -> None:
    """And has values for those that an app without traffic has, too."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$instance", ".*").replace("$app", ".*")
            expression = expression.replace("$__rate_interval", "1m")
            found = on.query(expression)
            assert found or "rate(" in expression, expression


@everywhere
def test_requests_are_counted_once(on: Monitored) -> None:
    """By their status, without the engine's own, also when the log is rotated, or is not the app's usual one."""
    before = on.metrics()
    on.host.http("/", "blog.example.com")
    for _ in range(3):
        assert on.host.http("/broken", "shop.example.com", https=True).status == 500
    assert wait_until(lambda: grown(on, before) == {'app="blog",code="200"': 1, 'app="shop",code="500"': 3}, 10)
    log = BLOG["access_log"]
    on.host.http("/", "blog.example.com")
    assert wait_until(lambda: on.host.read(log).count('"GET / HTTP/1.1" 200') > 1, 5)
    on.host.run(f"cp -p {log} {log}.1 && truncate -s 0 {log}")
    on.host.http("/broken", "blog.example.com")
    expected = {'app="blog",code="200"': 2, 'app="blog",code="500"': 1, 'app="shop",code="500"': 3}
    assert wait_until(lambda: grown(on, before) == expected, 10), grown(on, before)
    assert grown(on, before) == expected
    on.collect()
    name = 'flask_apache_http_requests_total{app="shop",code="500"}'
    assert on.sees(name, on.metrics()['http_requests_total{app="shop",code="500"}'])


def grown(on: Monitored, before: dict[str, float]) -> dict[str, float]:
    """Return by how much the counters of requests have grown, as far as they have."""
    name = "http_requests_total{"
    return {
        key.removeprefix(name).rstrip("}"): value - before.get(key, 0)
        for key, value in on.metrics().items()
        if key.startswith(name) and value != before.get(key, 0)
    }


@everywhere
def test_requests_in_the_pool_are_seen(on: Monitored) -> None:
    """Two threads serve, so of five slow requests three wait."""
    live = Deployed(on.host, "shop").status()["live"]
    assert in_pools(on) == {f"shop {slot}": (0, 0) for slot in ("blue", "green")}
    with ThreadPoolExecutor(max_workers=5) as executor:
        slow = [executor.submit(on.host.http, "/slow", "shop.example.com", https=True) for _ in range(5)]
        try:
            assert wait_until(lambda: in_pools(on)[f"shop {live}"] == (2, 3), 20), in_pools(on)
            assert in_pools(on) == {"shop blue": (0, 0), "shop green": (0, 0), f"shop {live}": (2, 3)}
        finally:
            on.host.run("touch '/var/lib/flask-apache/shop/go on'")
        assert [each.result().status for each in slow] == [200] * 5
    told = on.metrics("--app", "shop")
    names = (f'pool_{name}_requests{{app="shop",pool="{live}"}}' for name in ("active", "queued"))
    assert [told[name] for name in names] == [0, 0]


ASK = """
import json, sys
sys.path.insert(0, "/usr/local/bin/flask-apachectl")
from flask_apachectl import app
from flask_apachectl.serve import pools
print(json.dumps(pools.requests(app.load_app("shop"))))
"""


def in_pools(on: Monitored) -> dict[str, tuple[int, int]]:
    """Return the active and queued requests of the app's pools, without a visit."""
    told = json.loads(on.host.run(["python3", "-c", ASK]).stdout)
    return {f"shop {slot}": (active, queued) for slot, (active, queued) in told.items()}


@everywhere
def test_what_is_down_is_told(on: Monitored) -> None:
    """A damaged app hides no other; without Apache all are down; nothing ends with a stack trace."""
    path = "/etc/flask-apache/shop/app.json"
    declared = on.host.read(path)
    on.host.run(f"chmod 0640 {path} && echo '{{' > {path}")
    try:
        done = on.host.run(["flask-apachectl", "metrics"])
        assert 'flask_apache_up{app="shop"} 0\n' in done.stdout
        assert 'flask_apache_up{app="blog"} 1\n' in done.stdout
        assert "shop: declaration: " in done.stderr
        assert "Traceback" not in done.stderr
        on.collect()
        assert on.sees('flask_apache_up{app="shop"}', 0)
        assert on.sees('flask_apache_collector_success{app="shop",collector="declaration"}', 0)
    finally:
        on.host.run(["tee", path], stdin=declared)
    on.host.run("systemctl stop apache2")
    try:
        told = on.metrics()
        assert (told["apache_up"], told['up{app="shop"}'], told['up{app="blog"}']) == (0, 0, 0)
        assert told['pool_processes{app="shop",pool="blue"}'] == 0
        assert told['pool_state{app="shop",pool="blue",state="failing"}'] == 1
        on.collect()
        alert = 'ALERTS{alertname="FlaskApacheDown",app="shop",alertstate="pending"}'
        assert on.sees(alert, 1)
    finally:
        on.host.run("systemctl start apache2")
    assert wait_until(lambda: on.metrics()['up{app="shop"}'] == 1, 20)
    Deployed(on.host, "shop").ctl("maintenance", "on")
    told = on.metrics("--app", "shop")
    Deployed(on.host, "shop").ctl("maintenance", "off")
    assert (told['maintenance{app="shop"}'], told['up{app="shop"}'], told['visit_status_code{app="shop"}']) == (
        1,
        0,
        503,
    )
    on.collect()
    assert on.sees('flask_apache_up{app="shop"}', 1)
    done = on.host.run(["flask-apachectl", "--app", "nothing", "metrics"], check=False)
    assert (done.returncode, done.stdout) == (1, "")


@everywhere
def test_a_refused_deploy_is_told(on: Monitored) -> None:
    """The release before stays the live one."""
    before = on.metrics("--app", "shop")
    with pytest.raises(StepError):
        on.deploy(SHOP, health_path="/broken", health_timeout=5)
    told = on.metrics("--app", "shop")
    assert (before['last_deploy_success{app="shop"}'], told['last_deploy_success{app="shop"}']) == (1, 0)
    release = [[name for name in found if name.startswith("release_info")] for found in (before, told)]
    assert release[0] == release[1]
    on.deploy(SHOP)


@everywhere
def test_the_collector_is_what_the_apps_want(on: Monitored) -> None:
    """A stopped timer is started; a directory that is left keeps no file; with the last app that wants it, all goes."""
    host = on.host
    host.run(["systemctl", "stop", TIMER])
    assert on.deploy(SHOP).results["apply"]["msg"] == f"started {TIMER}"
    assert host.run(["systemctl", "is-enabled", TIMER]).stdout == "enabled\n"

    host.run("mkdir /var/lib/metrics")
    on.deploy(SHOP, metrics_textfile="/var/lib/metrics")
    assert not host.exists(WRITTEN)
    assert wait_until(lambda: host.exists(f"/var/lib/metrics/{collector.FILE}"), 10)
    on.deploy(BLOG, metrics_textfile=DIRECTORY)
    on.collect()
    assert 'app="blog"' in host.read(WRITTEN)
    assert 'app="shop"' not in host.read(WRITTEN)
    Run(host, BLOG).step("remove")
    assert not host.exists(WRITTEN)

    host.run("rm -r /var/lib/metrics")
    assert host.run(["systemctl", "start", collector.SERVICE], check=False).returncode != 0
    assert "/var/lib/metrics must be a directory" in host.run(["journalctl", f"--unit={collector.SERVICE}"]).stdout
    wrong = json.loads(host.run(["flask-apachectl", "--json", "doctor"], check=False).stdout)["checks"]
    assert [row["check"] for row in wrong if not row["ok"]] == ["its metrics are written"]
    host.run(["systemctl", "reset-failed", collector.SERVICE])

    on.deploy(SHOP, metrics_textfile=DIRECTORY)
    on.collect()
    on.deploy(SHOP, metrics_textfile="")
    assert left(host) == []
    on.deploy(SHOP)
    assert wait_until(lambda: host.exists(WRITTEN), 10)
    assert len(left(host)) == 4
    Run(host, SHOP).step("remove")
    assert left(host) == []
    assert host.run(["systemctl", "is-system-running"]).stdout == "running\n"


def left(host: Host) -> list[str]:
    """Return the collector's files, and whether systemd knows its timer."""
    found = host.run("find /etc/systemd/system /var/lib/prometheus -name 'flask*apache*.*' | grep -v shop", check=False)
    known = host.run(["systemctl", "list-timers", "--all", "--no-legend", TIMER]).stdout.splitlines()
    return [*found.stdout.splitlines(), *known[1:]]


def test_every_metric_has_been_seen_or_is_known_not_to_be(monitored: list[Monitored]) -> None:
    """The list of metrics names none that no host tells."""
    for on in monitored:
        on.deploy(SHOP)
        told = {f"flask_apache_{name.partition('{')[0]}" for name in on.metrics()}
        assert told == {family.name for family in metrics.FAMILIES}
