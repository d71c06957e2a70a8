"""The kept releases of an app: their ids, what each carries, which are whole, which may go."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask_apachectl import declaration, environments, history, paths, routing, slots, venvs
from flask_apachectl.app import App, read_json
from flask_apachectl.declaration import DamagedError, Spec
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, manifest

if TYPE_CHECKING:
    from collections.abc import Sequence


def release_id(source: str, spec: Spec, environment: dict[str, str], *, again: bool = False) -> str:
    """Return a release's id: the source's id, and a digest of what was declared; nothing of it is the host's.

    ``again`` gives another one, for when the release of the first id is live, with other secrets than it was made with.
    """
    return f"{source}-{files.short_hash([spec.inputs, environment, again], 6)}"


def wanted_release(app: App, source: str) -> str:
    """Return the id of the release that a source and the declaration make.

    There are two: the release of the first one may be live with other secrets, which came after a later release had
    been live; then it must not be changed, and another one goes live in its place.
    """
    inputs = (source, app.spec, environments.declared(app))
    first, second = (release_id(*inputs, again=again) for again in (False, True))
    live = routing.slot_release(app, routing.live_slot(app))
    if live is None or live not in (first, second):
        return first
    with contextlib.suppress(DamagedError, FileNotFoundError):
        if environments.of_release(app, live) == environments.wanted(app):
            return live
        return second if live == first else first
    return live  # its environment is damaged: it is made again


def other_id(app: App, source: str, release: str) -> str:
    """Return the other one of the two ids that a source and the declaration may have."""
    ids = [release_id(source, app.spec, environments.declared(app), again=again) for again in (False, True)]
    return ids[ids.index(release) - 1]


def description(app: App, release: str) -> dict[str, Any]:
    """Return what release.json says. Raises DamagedError or FileNotFoundError."""
    path = app.releases / release / "release.json"
    found = read_json(path)
    if not (isinstance(found, dict) and isinstance(found.get("files"), dict) and isinstance(found.get("made"), str)):
        raise DamagedError(f"{path} is damaged: run the role for this app")
    return found


def as_made(app: App, release: str | None) -> App:
    """Return the app with the specification that a release carries; with the declared one when that is damaged."""
    if release is None:
        return app
    try:
        found = description(app, release)
        spec = declaration.read(Spec, found.get("spec"), f"{app.releases / release / 'release.json'}: spec")
    except (DamagedError, FileNotFoundError):
        return app
    return replace(app, spec=spec)


def complete(app: App) -> list[str]:
    """Return the ids of the releases that were made to their end, newest first."""
    found = []
    for path in app.releases.glob("*/release.json"):
        if not path.parent.name.startswith("."):
            with contextlib.suppress(DamagedError, FileNotFoundError):
                description(app, path.parent.name)
                found.append((path.stat().st_mtime_ns, path.parent.name))
    return [release for _, release in sorted(found, reverse=True)]


def damaged_files(
    app: App, release: str, *, thorough: bool = False, seen: dict[Path, list[str]] | None = None
) -> list[str]:
    """Return the files of a release, with its virtual environment, that are missing, cut or changed.

    ``seen`` keeps what was found of each virtual environment, which releases share.
    """
    directory = app.releases / release
    try:
        found = description(app, release)
        declaration.read(Spec, found.get("spec"), "spec")
        wrong = manifest.damage(directory, found["files"], thorough=thorough)
    except (DamagedError, FileNotFoundError):
        wrong = [str(directory / "release.json")]
    try:
        environments.of_release(app, release)
    except (DamagedError, FileNotFoundError):
        wrong.append(str(directory / "env"))
    venv, seen = (directory / "venv").resolve(), {} if seen is None else seen
    if venv not in seen:
        seen[venv] = venvs.damage(venv, thorough=thorough)
    return wrong + seen[venv]


def has_source(app: App, release: str) -> bool:
    """Tell whether a release's source is whole, so that another release can be made of it."""
    with contextlib.suppress(DamagedError, FileNotFoundError):
        wanted = {name: kept for name, kept in description(app, release)["files"].items() if name.startswith("app/")}
        return not manifest.damage(app.releases / release, wanted)
    return False


def damaged(app: App, *, thorough: bool = False) -> dict[str, list[str]]:
    """Return the kept releases that are not whole, with their files that are not."""
    seen: dict[Path, list[str]] = {}
    names = [path.name for path in sorted(app.releases.glob("[!.]*"))]
    return {name: wrong for name in names if (wrong := damaged_files(app, name, thorough=thorough, seen=seen))}


def is_irreversible(app: App, release: str) -> bool:
    """Tell whether there is no way back behind a release, as it changed what older ones could not use."""
    return (app.releases / release / "irreversible").exists()


def refuse_to_cross(app: App, release: str) -> None:
    """Raise RefusedError when an irreversible release was made live since a release was."""
    irreversible = [each for each in complete(app) if is_irreversible(app, each)]
    barrier = history.crossed(history.read(app), release, irreversible)
    if barrier:
        raise RefusedError(
            f"{barrier} is irreversible (flask_apache_irreversible): {release} may not work with what it changed, such "
            f"as a database's schema. {routing.consequence(app)} To roll back anyway: "
            "`flask-apachectl rollback --force`, or flask_apache_rollback_force: true"
        )


def prunable(by_age: Sequence[str], keep: int, protected: Sequence[str | None]) -> list[str]:
    """Return the releases that may go, given all of them, newest first, and those that must stay."""
    stay = [release for release in by_age if release in protected]
    stay += [release for release in by_age if release not in protected][: max(0, keep - len(stay))]
    return [release for release in by_age if release not in stay]


def prune(app: App) -> None:
    """Remove the oldest releases, never one in a slot or the previous live one, and what only they needed."""
    kept = complete(app)
    live = routing.slot_release(app, routing.live_slot(app))
    protected = [live, *(routing.slot_release(app, slot) for slot in paths.SLOTS)]
    protected += [history.last_live(history.read(app), live, kept), *in_use(app)]
    for release in prunable(kept, app.site.keep_releases, protected):
        files.remove(app.releases / release)
    slots.repair_replaced(app)
    needed = {(path / "venv").resolve() for path in app.releases.iterdir()}
    for venv in app.venvs.iterdir():
        if venv.resolve() not in needed:
            files.remove(venv)


def in_use(app: App) -> list[str]:
    """Return the releases that some process works in, such as a timer's long job of a release before the last."""
    found, real = set(), app.releases.resolve()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            directory = Path(os.readlink(process / "cwd"))
            if directory.is_relative_to(real):
                found.add(directory.relative_to(real).parts[0])
    return sorted(found)
