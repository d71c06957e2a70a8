"""The kept releases of an app: their ids, which are complete, which may go."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl import environments, history, interpreter, paths, routing
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_apachectl.app import App


def release_id(
    source: str, config: dict[str, Any], environment: dict[str, str], python: str, *, again: bool = False
) -> str:
    """Return a release's id: the source's id, and a digest of what else makes the release.

    ``again`` gives another one, for when the release of the first id is live, with other secrets than it was made with.
    """
    makings = [config["wsgi"], config["requirements"], config["pip_args"], config["python"], python, environment]
    makings += [config["constraints"], config["extras"]]
    makings += [config["index_url"], config["extra_index_urls"], config["wheelhouse"]]
    makings += [[static["url"], static["path"]] for static in config["static"]]
    makings += [sorted(data_links(config).items()), again]
    return f"{source}-{files.short_hash(makings, 6)}"


def data_links(config: dict[str, Any]) -> dict[str, str]:
    """Return the paths in a release that are to lead to directories of the app's data: {path: directory}."""
    declared = config.get("data_directories", [])
    return {each["link"]: each["name"] for each in declared if isinstance(each, dict) and each.get("link")}


def prunable(by_age: Sequence[str], keep: int, protected: Sequence[str | None]) -> list[str]:
    """Return the releases that may go, given all of them, newest first, and those that must stay."""
    stay = [release for release in by_age if release in protected]
    stay += [release for release in by_age if release not in protected][: max(0, keep - len(stay))]
    return [release for release in by_age if release not in stay]


def complete(app: App) -> list[str]:
    """Return the ids of the complete releases, newest first."""
    found = sorted(app.releases.glob("*/release.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [path.parent.name for path in found if not path.parent.name.startswith(".")]


def wanted_release(app: App, source: str) -> str:
    """Return the id of the release that a source and the declaration make.

    There are two: the release of the first one may be live with other secrets, which came after a later release had
    been live; then it must not be changed, and another one goes live in its place.
    """
    makings = (source, app.config, environments.declared(app), interpreter.version(app))
    first, second = (release_id(*makings, again=again) for again in (False, True))
    live = routing.slot_release(app, routing.live_slot(app))
    if live is None or live not in (first, second):
        return first
    if environments.of_release(app, live) == environments.wanted(app):
        return live
    return second if live == first else first


def is_irreversible(app: App, release: str) -> bool:
    """Tell whether there is no way back behind a release, as it changed what older ones could not use."""
    return (app.releases / release / "irreversible").exists()


def prune(app: App) -> None:
    """Remove the oldest releases, never one in a slot or the previous live one, and what only they needed."""
    kept = complete(app)
    live = routing.slot_release(app, routing.live_slot(app))
    protected = [
        live,
        *(routing.slot_release(app, slot) for slot in paths.SLOTS),
        history.last_live(history.read(app), live, kept),
    ]
    protected += in_use(app)
    for release in prunable(kept, app.config["keep_releases"], protected):
        files.remove(app.releases / release)
    needed = {(app.releases / release / "venv").resolve() for release in complete(app)}
    for venv in app.venvs.iterdir():
        if venv not in needed:
            files.remove(venv)


def in_use(app: App) -> list[str]:
    """Return the releases that some process works in, such as a timer's long job of a release before the last."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            directory = Path(os.readlink(process / "cwd"))
            if directory.is_relative_to(app.releases):
                found.add(directory.relative_to(app.releases).parts[0])
    return sorted(found)


def refuse_to_cross(app: App, release: str) -> None:
    """Raise RefusedError when an irreversible release was made live since a release was."""
    barrier = history.crossed(
        history.read(app), release, [each for each in complete(app) if is_irreversible(app, each)]
    )
    if barrier:
        raise RefusedError(
            f"{barrier} cannot be undone (flask_apache_irreversible): {release} may not work with what it left, such "
            f"as a database's schema. {routing.consequence(app)} To go back nevertheless: "
            "`flask-apachectl rollback --force`, or flask_apache_rollback_force: true"
        )
