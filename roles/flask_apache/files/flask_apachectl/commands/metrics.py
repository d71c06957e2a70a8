"""Metrics of the apps, in Prometheus's text format."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl import app as apps
from flask_apachectl import lock, paths
from flask_apachectl.declaration import DamagedError
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import exposition, facts, files, report
from flask_apachectl.serve import collector, metrics

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from flask_apachectl.host.exposition import Sample
    from flask_apachectl.serve.metrics import Collected


def show(options: argparse.Namespace) -> dict[str, Any]:
    """Print metrics of all apps, or of one, for Prometheus. An app that is down or damaged is told by its metrics."""
    if options.app and (options.textfile or options.served):
        raise RefusedError("--textfile and --served are for all apps of the host: leave out --app")
    if options.app:
        with contextlib.suppress(DamagedError):
            apps.load_app(options.app)
    with ThreadPoolExecutor(max_workers=8) as executor:
        found = list(executor.map(metrics.of_name, [options.app] if options.app else apps.present_apps()))
    problems = [problem for each in found for problem in each.problems]
    for problem in problems:
        report.say(problem)
    if options.textfile or options.served:
        if options.served:
            write_served(found)
        write(found, options.textfile)
        return {"problems": problems, "msg": ""}
    samples = gathered(found)
    rows = [{"name": each.name, "labels": each.labels, "value": each.value} for each in samples]
    return {"metrics": rows, "problems": problems, "msg": exposition.render(metrics.FAMILIES, samples).rstrip("\n")}


def gathered(found: Iterable[Collected]) -> list[Sample]:
    """Return the metrics of the host and of some apps."""
    return [*metrics.of_host(), *(sample for each in found for sample in each.samples)]


def write_served(found: Iterable[Collected]) -> None:
    """Write the metrics of each app that serves them now over HTTP; those of a damaged one if it has served them.

    Only Apache can read them: they tell one app of the host about another.
    """
    with lock.host_held():
        for each in found:
            path = paths.metrics_file(each.app)
            try:
                is_served = apps.load_app(each.app).site.metrics_served
            except DamagedError:
                is_served = path.exists()
            except RefusedError:
                is_served = False
            if is_served:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                os.chown(path.parent, 0, facts.apache_group())
                path.parent.chmod(0o710)
                files.write(path, exposition.render(metrics.FAMILIES, gathered([each])))
            else:
                path.unlink(missing_ok=True)


def write(found: Sequence[Collected], directories: Iterable[str]) -> None:
    """Write each app's metrics to the directory that it declares now; those of a damaged one to all of them.

    Where no app wants them any more, the file is removed. Raises RefusedError when a directory is missing.
    """
    missing = []
    with lock.host_held():
        declared = {each.app: _directory(each.app) for each in found}
        for place in directories:
            path = Path(place) / collector.FILE
            own = [each for each in found if declared[each.app] in (place, None)]
            for left in path.parent.glob(f".{path.name}.*"):  # by a collection that was killed
                left.unlink(missing_ok=True)
            if not path.parent.is_dir():
                missing.append(collector.missing(place))
            elif own:
                files.write(path, exposition.render(metrics.FAMILIES, gathered(own)))
            else:
                path.unlink(missing_ok=True)
    if missing:
        raise RefusedError("\n".join(missing))


def _directory(name: str) -> str | None:
    """Return the directory that an app declares: empty for none, or for an app that is gone; None if it is damaged."""
    try:
        return apps.load_app(name).site.metrics_textfile
    except DamagedError:
        return None
    except RefusedError:
        return ""
