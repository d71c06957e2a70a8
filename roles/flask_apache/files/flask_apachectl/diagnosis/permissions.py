"""Who cannot get where the configuration leads, and who can change what only root should."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from flask_apachectl import paths, routing
from flask_apachectl.apache import acme
from flask_apachectl.diagnosis.finding import ERROR, Kind, command
from flask_apachectl.host import facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flask_apachectl.app import App
    from flask_apachectl.diagnosis.finding import Finding

SUBJECT = "Permissions"
READ, WRITE, ENTER = stat.S_IROTH, stat.S_IWOTH, stat.S_IXOTH
LETTERS = {READ: "r", WRITE: "w", ENTER: "x"}
MOST_LINKS = 40  # as many as Linux follows
ACL = "system.posix_acl_access"
LACKING = Kind(
    SUBJECT,
    "Apache, the app's user or the build user cannot enter, read or write what it needs",
    ERROR,
    "visitors get 403 or 500, or the next deploy fails",
)
OPEN = Kind(
    SUBJECT,
    "Somebody else than root can change what root or Apache runs",
    ERROR,
    "whoever writes there decides what root, Apache or the app runs",
)
KINDS = (LACKING, OPEN)


class Who(NamedTuple):
    """A Unix user: what it is for, its name, uid and groups."""

    role: str
    name: str
    uid: int
    groups: frozenset[int]


class Need(NamedTuple):
    """What a user has to do with a path, besides entering all directories above it."""

    who: Who
    path: Path
    rights: int  # a sum of READ, WRITE and ENTER


def user(role: str, name: str) -> Who | None:
    """Return a user of the host; None when there is none, which other checks report."""
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, ValueError):
        return None
    return Who(role, name, entry.pw_uid, frozenset(os.getgrouplist(name, entry.pw_gid)))


def of_app(app: App) -> Iterator[Finding]:
    """Look at all paths that an app needs, and at who can change them."""
    told = set()
    for need in needs(app):
        for wrong, fix in lacking(need):
            if fix not in told:
                told.add(fix)
                yield LACKING.found(wrong, fix, app.name)
    for path, why, fix in changeable(owned_by_root(app), strangers([app])):
        yield OPEN.found(f"{path} {why}", fix, app.name)


def of_host(apps: Iterable[App]) -> Iterator[Finding]:
    """Look at who can change what Apache reads."""
    store = acme.store()
    read = [path for path in below(paths.APACHE) if path != store and store not in path.parents]
    for path, why, fix in changeable([*read, paths.ENGINE, *below(paths.LIB)], strangers(apps)):
        yield OPEN.found(f"{path} {why}", fix)


def needs(app: App) -> Iterator[Need]:
    """Yield what Apache, the app's user and the build user need."""
    group = facts.apache_group()
    www = user("Apache", next((each.pw_name for each in pwd.getpwall() if each.pw_gid == group), "www-data"))
    own, builder = user("the app's user", app.site.user), user("the build user", paths.build_user(app.name))
    release = app.releases / (routing.slot_release(app, routing.live_slot(app)) or "-")
    if www:
        yield Need(www, app.map, READ)
        if (release / "public").is_dir():
            yield Need(www, release / "public", ENTER)
    if own:
        yield Need(own, app.conf / "entry.wsgi", READ)
        yield Need(own, app.data, READ | WRITE | ENTER)
        if release.is_dir():
            yield Need(own, release / "app", READ | ENTER)
            yield Need(own, release / "venv/bin/python", READ | ENTER)
    if builder and (paths.CACHE / app.name).is_dir():
        yield Need(builder, paths.CACHE / app.name, READ | WRITE | ENTER)
        yield Need(builder, Path(app.spec.python), READ | ENTER)


def way(path: Path) -> Iterator[Path]:
    """Yield each directory that leads to a path, from / on, and last what it is itself; links are followed."""
    here, rest, links = Path("/"), list(path.parts[1:]), 0
    yield here
    while rest:
        part = rest.pop(0)
        here = here.parent if part == ".." else here / part
        if here.is_symlink() and links < MOST_LINKS:
            links += 1
            target = Path(os.readlink(here))
            here, rest = here.parent, [*target.parts[int(target.is_absolute()) :], *rest]
            here = Path("/") if target.is_absolute() else here
        elif part != "..":
            yield here


def lacking(need: Need) -> Iterator[tuple[str, str]]:
    """Yield what hinders a user: the place, which right is missing there, and the command that gives it."""
    who = need.who
    places = list(way(need.path))
    for place in places:
        is_last = place == places[-1]
        rights = need.rights if is_last else ENTER
        try:
            status = place.lstat()
        except OSError:
            return  # missing: other checks report it
        missing = lacks(status, who, rights) if not has_acl(place) else 0
        if not missing:
            continue
        letters = "".join(letter for right, letter in LETTERS.items() if missing & right)
        verb = "enter" if missing == ENTER and stat.S_ISDIR(status.st_mode) else {READ: "read"}.get(missing, "use")
        wrong = f"{who.role} ({who.name}) cannot {verb} {place}: {stat.filemode(status.st_mode)} {_owner(status)}"
        wrong += "" if is_last else f", on the way to {need.path}"
        if is_last and rights & WRITE and status.st_uid != who.uid:
            yield wrong, command("chown", f"{who.name}:", place)
        else:
            yield wrong, command("chmod", f"{_whose(status, who)}+{letters}", place)


def lacks(status: os.stat_result, who: Who, rights: int) -> int:
    """Return the rights that a file's mode does not give to a user."""
    shift = {"u": 6, "g": 3, "o": 0}[_whose(status, who)]
    return rights & ~(status.st_mode >> shift) if who.uid else 0


def _whose(status: os.stat_result, who: Who) -> str:
    """Return which part of a mode counts for a user."""
    if status.st_uid == who.uid:
        return "u"
    return "g" if status.st_gid in who.groups else "o"


def has_acl(path: Path) -> bool:
    """Tell whether a path has an access control list: then its mode does not tell all."""
    try:
        return ACL in os.listxattr(path, follow_symlinks=False)
    except OSError:
        return False


def _owner(status: os.stat_result) -> str:
    names = []
    for lookup, number in ((pwd.getpwuid, status.st_uid), (grp.getgrgid, status.st_gid)):
        try:
            names.append(str(lookup(number)[0]))
        except KeyError:
            names.append(str(number))
    return ":".join(names)


def strangers(apps: Iterable[App]) -> dict[int, str]:
    """Return the groups of the users of apps, of builds and of Apache, with the name of one of the users."""
    found = {}
    for app in apps:
        for each in (user("", app.site.user), user("", paths.build_user(app.name)), user("", "www-data")):
            found.update(dict.fromkeys(each.groups, each.name) if each else {})
    return found


def owned_by_root(app: App) -> Iterator[Path]:
    """Yield what of an app only root should change: its files, the directories of its releases, and those above."""
    yield from below(app.conf)
    yield from paths.UNITS.glob(f"flask-apache-{app.name}-*")
    yield from (app.releases, app.venvs)
    for slot in paths.SLOTS:
        release = app.home / slot
        if release.is_dir():
            real, venv = release.resolve(), (release / "venv").resolve()
            yield from (real, real / "app", real / "public", venv, venv / "bin")
            yield from (path for path in real.iterdir() if path.is_file() and not path.is_symlink())


def below(top: Path) -> Iterator[Path]:
    """Yield a directory and all that is in it, or a file."""
    yield top
    for directory, names, files in os.walk(top):
        yield from (Path(directory, name) for name in (*names, *files))


def changeable(found: Iterable[Path], groups: dict[int, str]) -> Iterator[tuple[Path, str, str]]:
    """Yield what others than root can change, why, and the command that ends it; of the directories above, too."""
    known = {path: None for each in found for path in (*way(each.parent), each)}
    for path in known:
        try:
            status = path.lstat()
        except OSError:
            continue
        if stat.S_ISLNK(status.st_mode):
            continue
        is_sticky = stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)
        if status.st_uid:
            yield path, f"belongs to {_owner(status)}", command("chown", "root", path)
        elif status.st_mode & stat.S_IWOTH and not is_sticky:
            yield path, f"is writable to everybody ({stat.filemode(status.st_mode)})", command("chmod", "o-w", path)
        elif status.st_mode & stat.S_IWGRP and status.st_gid in groups and not is_sticky:
            why = f"is writable to a group of {groups[status.st_gid]} ({stat.filemode(status.st_mode)})"
            yield path, why, command("chmod", "g-w", path)
