"""What monitoring is told of an app: each part for itself, so that one that cannot be measured hides no other."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl import app as apps
from flask_apachectl import history, lock, paths, releases, routing
from flask_apachectl.apache import acme, certificates, server
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import programs, report
from flask_apachectl.host.exposition import Family, Sample
from flask_apachectl.serve import condition, pools, requests, units
from flask_apachectl.serve.condition import Visit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_apachectl.app import App

    Measured = tuple[str, float, dict[str, str]]  # name, value, and labels besides the app's

PREFIX = "flask_apache_"
POOL_STATES = ("starting", "live", "idle", "outdated", "failing")
GAUGES = {
    "up": "Whether a visitor gets the app.",
    "visit_duration_seconds": "How long the app took to answer the health check, asked as a visitor.",
    "visit_status_code": "The HTTP status of that answer, 0 without one.",
    "maintenance": "Whether the app is closed for maintenance.",
    "drain": "Whether the readiness address answers 503.",
    "change_in_progress": "Whether a deploy or another command is changing the app.",
    "release_info": "The live release, and the pool that serves it.",
    "release_created_timestamp_seconds": "When the live release was built.",
    "release_live_timestamp_seconds": "When the live release was made live.",
    "release_live_age_seconds": "For how long the live release has been live.",
    "last_deploy_success": "Whether the last deploy made its release live.",
    "last_deploy_timestamp_seconds": "When the last deploy ended.",
    "pool_state": "The state of a pool: 1 for the one that it is in.",
    "pool_visitors_ratio": "The share of the visitors that a pool gets.",
    "pool_processes": "Daemon processes of a pool.",
    "pool_wanted_processes": "Daemon processes that a pool should have.",
    "pool_restarted_processes": "Daemon processes of a pool that were started again after the pool was.",
    "pool_start_timestamp_seconds": "When a pool was started: it got its release, or Apache was started or reloaded.",
    "pool_resident_memory_bytes": "Resident memory of a pool's processes; pages that they share count for each.",
    "pool_active_requests": "Requests that a pool's processes have accepted and not finished.",
    "pool_queued_requests": "Requests that wait until a thread of a pool is free.",
    "certificate_expiry_timestamp_seconds": "When the certificate expires that Apache serves.",
    "filesystem_avail_bytes": "Free space of the file system of the app's releases.",
    "filesystem_size_bytes": "Size of the file system of the app's releases.",
    "unit_active": "Whether a worker or a timer is active.",
    "unit_failing": "Whether a worker keeps ending.",
    "collector_success": "Whether a part of an app's metrics could be measured.",
    "apache_up": "Whether Apache runs.",
    "collected_timestamp_seconds": "When all of this was measured.",
}
COUNTERS = {
    "http_requests_total": "Requests of visitors in the access log since the first collection, by their HTTP status.",
}
FAMILIES = tuple(
    Family(PREFIX + name, kind, text)
    for kind, texts in (("gauge", GAUGES), ("counter", COUNTERS))
    for name, text in texts.items()
)


class Collected:
    """The metrics of an app, as they are measured, and why some could not be."""

    def __init__(self, app: str) -> None:
        """Begin without any."""
        self.app = app
        self.samples: list[Sample] = []
        self.problems: list[str] = []

    def add(self, name: str, value: float, labels: dict[str, str]) -> None:
        """Add a value of a metric."""
        self.samples.append(Sample(PREFIX + name, value, {"app": self.app, **labels}))

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure a part: whatever goes wrong with it is noted, and ends nothing else."""
        succeeded = False
        try:
            yield
            succeeded = True
        except (RefusedError, OSError) as error:
            self.problems.append(f"{self.app}: {name}: {report.short(str(error))}")
        except Exception as error:  # noqa: BLE001 - a fault of the engine's is no reason to be silent about the app
            problem = report.without_secrets(f"{type(error).__name__}: {error}")
            self.problems.append(f"{self.app}: {name}: {report.short(problem)}")
        self.add("collector_success", succeeded, {"collector": name})


def of_host() -> list[Sample]:
    """Return what is told of the host itself."""
    return [
        Sample(f"{PREFIX}apache_up", server.pid() is not None, {}),
        Sample(f"{PREFIX}collected_timestamp_seconds", round(time.time()), {}),
    ]


def of_name(name: str) -> Collected:
    """Return all metrics of an app, as far as they can be measured."""
    found, app, visited = Collected(name), None, Visit("down", "")
    with found.part("declaration"):
        app = apps.load_app(name)
    if app is not None:
        with found.part("visit"):
            visited = condition.visit(app)
            found.add("visit_status_code", visited.status, {})
            found.add("visit_duration_seconds", visited.seconds, {})
        for part, measure in PARTS.items():
            with found.part(part):
                for measured in list(measure(app, visited)):
                    found.add(*measured)
    found.add("up", visited.state == "up", {})
    return found


def of_traffic(app: App, _visited: Visit) -> Iterator[Measured]:
    """Tell what an operator has switched on, and whether somebody changes the app."""
    routes = routing.read(app)
    yield "maintenance", bool(routes.maintenance), {}
    yield "drain", routes.drain, {}
    yield "change_in_progress", bool(lock.holder(app)), {}


def of_release(app: App, _visited: Visit) -> Iterator[Measured]:
    """Tell which release is live, and since when."""
    slot = routing.live_slot(app)
    release = routing.slot_release(app, slot)
    if slot is None or release is None:
        return
    yield "release_info", 1, {"release": release, "pool": slot}
    made_live = [
        entry["time"]
        for entry in history.read(app)
        if entry["action"] in history.MADE_LIVE and entry["release"] == release
    ]
    if made_live:
        since = timestamp(made_live[-1])
        yield "release_live_timestamp_seconds", since, {}
        yield "release_live_age_seconds", max(0, round(time.time() - since)), {}
    yield "release_created_timestamp_seconds", timestamp(releases.description(app, release)["made"]), {}


def of_deploys(app: App, _visited: Visit) -> Iterator[Measured]:
    """Tell how the last deploy ended."""
    deploys = [entry for entry in history.read(app) if entry["action"].partition(" ")[0] in history.DEPLOYED]
    if deploys:
        yield "last_deploy_success", deploys[-1]["action"] in history.DEPLOYED, {}
        yield "last_deploy_timestamp_seconds", timestamp(deploys[-1]["time"]), {}


def of_pools(app: App, visited: Visit) -> Iterator[Measured]:
    """Tell the condition of each pool."""
    for slot, pool in condition.of_pools(app, visited).items():
        labels = {"pool": slot}
        for state in POOL_STATES:
            yield "pool_state", state == pool["state"], {**labels, "state": state}
        yield "pool_visitors_ratio", pool["visitors"] / 100, labels
        yield "pool_processes", len(pool["pids"]), labels
        yield "pool_wanted_processes", app.site.processes, labels
        yield "pool_restarted_processes", pool["restarts"], labels
        yield "pool_start_timestamp_seconds", round(time.time() - pool["age"]), labels
        yield "pool_resident_memory_bytes", programs.resident(pool["pids"]), labels
    for slot, (active, queued) in pools.requests(app).items():
        yield "pool_active_requests", active, {"pool": slot}
        yield "pool_queued_requests", queued, {"pool": slot}


def of_requests(app: App, _visited: Visit) -> Iterator[Measured]:
    """Tell what visitors got since the first collection."""
    for code, number in sorted((requests.count(app) or {}).items()):
        yield "http_requests_total", number, {"code": code}


def of_certificate(app: App, _visited: Visit) -> Iterator[Measured]:
    """Tell how long the certificate lasts."""
    path = acme.certificate(app.site) if app.site.acme else Path(app.site.certificate)
    expires = certificates.expires(path) if app.site.certificate else None
    if expires is not None:
        yield "certificate_expiry_timestamp_seconds", expires, {}


def of_filesystem(app: App, _visited: Visit) -> Iterator[Measured]:
    """Tell how much room there is for releases."""
    space = shutil.disk_usage(app.home)
    yield "filesystem_avail_bytes", space.free, {}
    yield "filesystem_size_bytes", space.total, {}


def of_units(app: App, _visited: Visit) -> Iterator[Measured]:
    """Tell how the workers and timers of the live release do."""
    made = releases.as_made(app, routing.slot_release(app, routing.live_slot(app)))
    declared = units.declared(made) if paths.SYSTEMD.is_dir() else []
    for unit, state in units.states(declared).items():
        yield "unit_active", state["ActiveState"] == "active", {"unit": unit}
        yield "unit_failing", units.is_crash_looping(state), {"unit": unit}


def timestamp(text: str) -> float:
    """Return a time that `report.timestamp` wrote, in seconds since 1970."""
    return dt.datetime.strptime(text, report.TIME).replace(tzinfo=dt.timezone.utc).timestamp()


PARTS = {
    "traffic": of_traffic,
    "release": of_release,
    "deploys": of_deploys,
    "pools": of_pools,
    "requests": of_requests,
    "certificate": of_certificate,
    "filesystem": of_filesystem,
    "units": of_units,
}
