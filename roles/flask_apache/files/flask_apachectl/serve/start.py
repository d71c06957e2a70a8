"""Start a release in a pool, and probe it until every process has answered."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from flask_apachectl import causes, paths, releases, routing, slots
from flask_apachectl.apache import server
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, report
from flask_apachectl.serve import health, logs, pools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask_apachectl.app import App

BAD_ANSWERS_FOR = 5.0  # seconds of wrong answers from a started pool, after which it will not get better
MOST_DEATHS = 2  # of its processes, after which a release is refused
ENDS_WITHIN = 5.0  # seconds in which the processes of a release have ended their requests
STAYS_FOR = 1.5  # seconds for which a new pool's processes must live on after their first right answers


def start(app: App, slot: str, release: str, check_in: Callable[[], None] = lambda: None) -> None:
    """Let the idle pool run a release, probe it, check it in; what it ran before comes back when that fails."""
    if server.pid() is None:
        raise RefusedError(server.NO_APACHE)
    report.say(f"start   {release} in {app.pool(slot)}")
    routing.end_canary(app)
    log = logs.ErrorLog(app)
    was = (app.home / slot).resolve()
    try:
        if was.name != release:
            slots.assign(app, slot, app.releases / release)
        warm = pools.current(app, slot)
        pools.stop_outdated(app, slot)
        prove_well(app, slot, release, log, warm)
        check_in()
    except (RefusedError, OSError) as failure:
        refused = pools.current(app, slot) - warm
        slots.assign(app, slot, was)
        for pid in refused:
            pools.stop(pid, at_once=True)  # no visitor has asked it, and it may hang
        pools.stop_outdated(app, slot)
        raise RefusedError(f"{failure}\n{routing.consequence(app)}") from None


def roll(app: App, slot: str, release: str, check_in: Callable[[], None] = lambda: None) -> None:
    """Replace the processes of the one pool one by one; old and new code serve side by side meanwhile."""
    report.say(f"roll    {release} through {app.pool(slot)}")
    try:
        check_in()
    except RefusedError as failure:
        raise RefusedError(f"{failure}\n{routing.consequence(app)}") from None
    log = logs.ErrorLog(app)
    was = (app.home / slot).resolve()
    slots.assign(app, slot, app.releases / release)
    told: list[int] = []
    try:
        while old := [pid for pid in pools.outdated(app, slot) if pid not in told]:
            told.append(old[0])
            pools.stop(old[0])
            probe(app, slot, release, log, processes=min(len(told), app.site.processes), rolling=True)
        prove_well(app, slot, release, log, set(), rolling=True)
    except (RefusedError, OSError) as failure:
        refused = pools.current(app, slot)
        slots.assign(app, slot, was)
        for process in pools.daemon_processes(app):
            if process.pid in refused:
                pools.stop(process.pid, at_once=process.loading)
        raise RefusedError(f"{failure}\n{routing.consequence(app)}") from None


def prove_well(app: App, slot: str, release: str, log: logs.ErrorLog, warm: set[int], *, rolling: bool = False) -> None:
    """Probe a pool, and see its new processes live on for a while: some answer rightly at first and then die.

    ``warm`` are the processes that have done so before. One death is forgiven: it may have been due to an option. So
    are those of a reload of Apache. Raises RefusedError, with what the app logged, otherwise.
    """
    probe(app, slot, release, log, rolling=rolling)
    deaths, reloads, end = 0, server.Reloads(), time.monotonic() + app.spec.health_timeout
    while not live_on(app, slot, warm):
        probe(app, slot, release, log, rolling=rolling)
        deaths += not reloads.happened() or time.monotonic() > end  # asked once new processes answer
        if deaths == MOST_DEATHS:
            raise unhealthy(release, "its processes exit soon after their first answers", log)


def live_on(app: App, slot: str, warm: set[int]) -> bool:
    """Wait for a while, unless all processes of a pool are ``warm``; tell whether none of them has ended."""
    pids, deadline = pools.current(app, slot), time.monotonic() + STAYS_FOR
    while pids - warm and pids <= pools.current(app, slot) and time.monotonic() < deadline:
        time.sleep(0.1)
    return pids <= pools.current(app, slot)


def unhealthy(release: str, problem: str, log: logs.ErrorLog) -> RefusedError:
    """Return the error for a release that does not become healthy, with what the app logged and what that means."""
    lines = log.lines()
    told = (f"release {release} did not become healthy: {problem}", lines, causes.of_app(lines))
    return RefusedError("\n".join(filter(None, told)))


def probe(
    app: App, slot: str, release: str, log: logs.ErrorLog, *, processes: int | None = None, rolling: bool = False
) -> None:
    """Ask a candidate through Apache, where no visitor can, until every process of it has answered rightly.

    ``processes`` is how many there must be, by default the whole pool; answers of processes
    that are still to be replaced do not count while a pool is ``rolling``.
    Raises RefusedError, with what the app logged, when that has not happened within the app's health time-out.
    """
    report.say(f"probe   {app.url_path} of {release}")
    processes = processes or app.site.processes
    deadline = time.monotonic() + app.spec.health_timeout
    rounds, answered, wrong_since, reloads = 0, set[int](), None, server.Reloads()
    problem = "no process has started"
    with health.probing(app, slot) as token, ThreadPoolExecutor(max_workers=max(4, 2 * processes)) as executor:
        while time.monotonic() < deadline:
            pids = pools.current(app, slot)
            if len(pids) < processes:
                if not rolling:
                    pools.stop_outdated(app, slot)  # again: one that had just been forked was not recognized
                rounds, answered = 0, set()
                time.sleep(0.05)
                continue
            old = pools.outdated(app, slot) if rolling else []
            answers = list(executor.map(lambda _: health.ask(app, token), range(max(4, 2 * processes))))
            answers = [answer for answer in answers if answer.pid not in old]
            wrong = [answer for answer in answers if not health.is_right(app, answer, release)]
            if not wrong:
                answered |= {answer.pid for answer in answers}
                problem, wrong_since = f"only {len(answered & pids)} of {len(pids)} processes have answered", None
                if answered >= pids:
                    rounds, answered = rounds + 1, set()
                    if rounds >= app.spec.health_successes:
                        return
                continue
            if reloads.happened() or wrong_since is None:
                wrong_since = time.monotonic()
            rounds, problem = 0, health.explain(app, wrong[0], release)
            stop_others(wrong, pids, release)
            if wrong[0].status and time.monotonic() - wrong_since > BAD_ANSWERS_FOR:
                break
            time.sleep(0.2)
    raise unhealthy(release, problem, log)


def stop_others(answers: Iterable[health.Answer], pids: set[int], release: str) -> None:
    """End the processes of a pool that answered as another release: they started while the slot was changing."""
    for answer in answers:
        if answer.release not in ("", release) and answer.pid in pids:
            pools.stop(answer.pid)


def cool(app: App) -> None:
    """Let the pool that does not serve run nothing, and so hold no memory."""
    slot = routing.other(routing.live_slot(app))
    if routing.slot_release(app, slot):
        vacate(app, slot)


def vacate(app: App, slot: str) -> None:
    """Let the pool of an idle slot run nothing."""
    slots.assign(app, slot, slots.empty(app, slot))
    pools.stop_outdated(app, slot)


def discard(app: App, release: str) -> None:
    """Remove a kept release that is not live: first nobody gets it, and no process runs it any more."""
    routes = routing.read(app)
    if routes.canary and routing.slot_release(app, routes.canary) == release:
        routing.end_canary(app)
    for slot in paths.SLOTS:
        if routing.slot_release(app, slot) == release:
            vacate(app, slot)
    deadline = time.monotonic() + ENDS_WITHIN
    while release in releases.in_use(app) and time.monotonic() < deadline:
        time.sleep(0.05)
    files.remove(app.releases / release)
