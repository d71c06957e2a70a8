"""The virtual environment that a source needs, built as an unprivileged user."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import tarfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask_apachectl import causes, interpreter, paths, routing, venvs, wheelhouses
from flask_apachectl.build import credentials, staging
from flask_apachectl.errors import FailedProgramError, RefusedError
from flask_apachectl.host import builder, files, programs, report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flask_apachectl.app import App
    from flask_apachectl.declaration import Spec

TOOLS = ".tools"  # no app has this name


def index_arguments(spec: Spec, wheelhouse: Path | None) -> list[str]:
    """Return the installer's arguments for where packages come from."""
    if wheelhouse:
        return ["--no-index", "--find-links", str(wheelhouse)]
    first = ["--index-url", spec.index_url] if spec.index_url else []
    return first + [word for url in spec.extra_index_urls for word in ("--extra-index-url", url)]


def venv_key(plan: dict[str, Any], source: Path, source_id: str, spec: Spec, python: str) -> str:
    """Return the name of the virtual environment that a source needs: a digest of what goes into it."""
    tied = plan["tied"] or any((source / argument).exists() for argument in spec.pip_args)
    origin = [spec.index_url, spec.extra_index_urls, spec.wheelhouse, source_id if tied else None]
    return files.short_hash([spec.python, python, spec.pip_args, plan["inputs"], origin], 12)


@dataclass(frozen=True)
class BuildEnvironment:
    """Where the commands of one build run: as the build user, in the source, until the build's time is over."""

    app: App
    user: builder.Builder
    group: int
    source: Path
    deadline: float
    environment: dict[str, str] = field(repr=False)

    def run_plain(self, *command: str, environment: dict[str, str] | None = None) -> str:
        """Run a command and return its output. Raises RefusedError with the end of that."""
        left = self.deadline - time.monotonic()
        home, cwd = self.user.home, self.source
        return programs.run(command, self.user, self.group, home=home, cwd=cwd, seconds=left, environment=environment)

    def run(self, *command: str, environment: dict[str, str] | None = None) -> str:
        """Run a command and return its output. Raises RefusedError that tells the cause, without credentials."""
        try:
            return self.run_plain(*command, environment={**self.environment, **(environment or {})})
        except FailedProgramError as failure:
            forms = [
                form
                for _, *pair in credentials.of_addresses(self.app.index_urls)
                for form in credentials.secret_forms(*pair)
            ]
            known = causes.of_build(failure.output)
            cause = report.redact("\n".join(filter(None, [" ".join(command), str(failure), known])), forms)
            raise RefusedError(
                f"the virtual environment cannot be built: {cause}\n{routing.consequence(self.app)}"
            ) from None

    def install(self, tools: Path, venv: Path, arguments: Sequence[str]) -> None:
        """Install into a virtual environment, with uv if the tools contain it."""
        if (tools / "bin/uv").exists():
            command = [f"{tools}/bin/uv", "pip", "install", "--quiet", "--python", f"{venv}/bin/python"]
        else:
            command = [f"{venv}/bin/python", f"{tools}/only/pip", "install", "--quiet"]
        origin = index_arguments(self.app.spec, wheelhouse(self.app, self.group))
        shown, environment = credentials.hide_proxy(arguments)
        try:
            self.run(*command, *origin, *shown, environment=environment)
        except RefusedError as failure:
            raise RefusedError(
                "\n".join([*map(credentials.access_trouble, self.app.index_urls), str(failure)]).lstrip()
            ) from None


@contextlib.contextmanager
def build_environment(app: App, source: Path, group: int) -> Iterator[BuildEnvironment]:
    """Open a place for a build. Credentials are in memory, in a file of the build user's, for as long as it is open."""
    user, private = builder.of(app.name), paths.RUN / f"build-{app.name}"
    environment = {
        **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        "PIP_CERT": paths.CA_BUNDLE,
        "PIP_CACHE_DIR": str(user.home / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "SSL_CERT_FILE": paths.CA_BUNDLE,
        "UV_CACHE_DIR": str(user.home / "uv"),
        "UV_COMPILE_BYTECODE": "1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # pip's
        "UV_LINK_MODE": "copy",  # a link would make the cache root's
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "NETRC": str(private / "netrc"),
    }
    work = BuildEnvironment(app, user, group, source, time.monotonic() + app.spec.build_timeout, environment)
    user.clean()
    try:
        with index_credentials(work, private):
            yield work
    finally:
        user.leave_nothing()


@contextlib.contextmanager
def index_credentials(work: BuildEnvironment, private: Path) -> Iterator[None]:
    """Give a build the credentials of its package indexes, in memory, for as long as it is open."""
    known = credentials.of_addresses(work.app.index_urls)
    if not known:
        yield
        return
    user = work.user
    files.remove(private)
    paths.RUN.mkdir(exist_ok=True)
    paths.RUN.chmod(0o755)
    private.mkdir(mode=0o700)
    netrc = "".join(f"machine {host} login {user} password {password}\n" for host, user, password in known)
    forms = "".join(f"{form}\n" for _, *pair in known for form in credentials.secret_forms(*pair))
    try:
        for name, text in (("netrc", netrc), ("forms", forms)):
            files.write(private / name, text, mode=0o600)
            os.chown(private / name, user.uid, -1)
        os.chown(private, user.uid, -1)
        try:
            yield
        finally:  # pip keeps the headers of a request that its answer varies by
            clean = 'grep -rlZF -f "$0" "$1" | xargs -0 -r rm -f'
            command = ["sh", "-c", clean, str(private / "forms"), str(user.home)]
            programs.run(command, user, work.group, home=user.home, cwd=user.home, seconds=work.app.spec.build_timeout)
    finally:
        files.remove(private)
        with contextlib.suppress(OSError):  # another app's
            paths.RUN.rmdir()


def wheelhouse(app: App, group: int) -> Path | None:
    """Return the directory of the wheels that the role shipped, if that is where packages come from."""
    if not app.spec.wheelhouse:
        return None
    directory = wheelhouses.place(app)
    archive = directory.with_name(f"{directory.name}.tar.gz")
    if wheelhouses.damage(directory):
        if not archive.exists():
            raise RefusedError("the wheelhouse is not on this host: run the role, which ships it")
        partial = directory.with_name(f".{directory.name}")
        with tarfile.open(archive) as tar:
            staging.extract(tar, partial)
        files.set_ownership(partial, group)
        wheelhouses.seal(partial, group)
        files.remove(directory)
        partial.rename(directory)
    for another in set(directory.parent.iterdir()) - {directory}:
        files.remove(another)
    return directory


def make_tools(spec: Spec, python: str) -> Path:
    """Return a virtual environment with pip, for all apps of a host with the same interpreter.

    It comes from the interpreter alone, and root makes it: no build can change what other apps' builds run.
    """
    tools: Path = paths.CACHE / TOOLS / files.short_hash([spec.python, python], 12)
    tools.parent.mkdir(exist_ok=True)
    os.chown(tools.parent, 0, 0)
    tools.parent.chmod(0o755)
    with (tools.parent / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another app's run may be making them
        if venvs.is_whole(tools, python):
            return tools
        report.say(f"tools   {tools}")
        for debris in tools.parent.glob(".*"):
            files.remove(debris)
        partial = tools.with_name(f".{tools.name}")
        partial.mkdir()
        try:
            command = ["nice", spec.python, "-I", "-m", "venv", str(partial)]
            done = subprocess.run(command, check=False, cwd="/", stdin=subprocess.DEVNULL, capture_output=True)
            if done.returncode:
                output = (done.stdout + done.stderr).decode(errors="replace")
                raise RefusedError(f"{spec.python} cannot make a virtual environment with pip:\n{report.tail(output)}")
            # pip alone, to run in a virtual environment that has none.
            (partial / "only").mkdir()
            (partial / "only/pip").symlink_to(f"../lib/python{python}/site-packages/pip")
            files.set_ownership(partial, 0, others=0o005)
            venvs.seal(partial, python, mode=0o644)
            files.remove(tools)
            partial.rename(tools)
        finally:
            files.remove(partial)
    return tools


def make_uv(work: BuildEnvironment, python: str, tools: Path) -> Path:
    """Return a virtual environment with uv: the app's own, because its index may have another uv than others."""
    spec = work.app.spec
    place = work.app.home / "tools"
    made = place / files.short_hash([spec.python, python, spec.uv_version], 12)
    if venvs.is_whole(made, python):
        return made
    report.say(f"tools   {made}")
    files.remove(place)
    place.mkdir()
    os.chown(place, 0, work.group)
    place.chmod(paths.READABLE_TO_THE_APP)
    partial = made.with_name(f".{made.name}")
    partial.mkdir()
    os.chown(partial, work.user.uid, work.group)
    work.run(spec.python, "-m", "venv", "--without-pip", str(partial))
    work.install(tools, partial, [f"uv=={spec.uv_version}"])
    files.set_ownership(partial, work.group, made_by=work.user.uid)
    venvs.seal(partial, python, work.group)
    partial.rename(made)
    return made


def expect_access(work: BuildEnvironment) -> None:
    """Refuse to ask a private index without its credentials."""
    if work.app.spec.index_private and not work.app.index_urls:
        raise RefusedError(
            "something has to be installed from a private index, whose credentials only the role has: run the role\n"
            + routing.consequence(work.app)
        )


def read_plan(work: BuildEnvironment, tools: Path, lines_file: Path) -> dict[str, Any]:
    """Return how to install what the source needs, as its files say."""
    spec = work.app.spec
    question = {
        "requirements": spec.requirements,
        "constraints": spec.constraints,
        "extras": spec.extras,
        "wsgi": spec.wsgi,
        "lines_file": str(lines_file),
    }
    try:
        output = work.run_plain(f"{tools}/bin/python", *programs.itself()[1:], "dependencies", json.dumps(question))
    except RefusedError as failure:
        reason = "\n".join(line.strip() for line in str(failure).splitlines())
        raise RefusedError(f"the dependencies cannot be installed: {reason}\n{routing.consequence(work.app)}") from None
    found: dict[str, Any] = json.loads(output)
    return found


def build(app: App, source: str, release: Path, group: int) -> Path:
    """Make the virtual environment that the source needs, unless there is one, as an unprivileged user."""
    python = interpreter.version(app)
    os.chown(release, 0, group)
    release.chmod(paths.ON_APACHES_WAY)
    files.set_ownership(release / "app", group)
    with build_environment(app, release / "app", group) as work:
        tools = make_tools(app.spec, python)
        lines_file = release / "locked.txt"
        plan = read_plan(work, tools, lines_file)
        if plan["lines"]:
            files.write(lines_file, "\n".join([*plan["lines"], ""]), mode=0o640, group=group)
        venv = place(app, venv_key(plan, work.source, source, app.spec, python), python)
        if venvs.is_whole(venv, python):
            return venv
        if plan["steps"]:
            expect_access(work)
        report.say(f"build   {venv}")
        files.remove(venv)
        venv.mkdir(mode=paths.READABLE_TO_THE_APP)
        os.chown(venv, work.user.uid, group)
        work.run(app.spec.python, "-m", "venv", "--without-pip", str(venv))
        if plan["steps"] and app.spec.installer == "uv":
            tools = make_uv(work, python, tools)
        for step in plan["steps"]:
            work.install(tools, venv, [*app.spec.pip_args, *step])
    files.set_ownership(venv, group, made_by=work.user.uid)
    venvs.seal(venv, python, group)
    return venv


def place(app: App, key: str, python: str) -> Path:
    """Return where a virtual environment is, or is to be built: never where the live release's own is damaged."""
    places = [app.venvs / key, app.venvs / f"{key}-2"]
    live = routing.slot_release(app, routing.live_slot(app))
    serving = (app.releases / live / "venv").resolve() if live else None
    whole = [path for path in places if venvs.is_whole(path, python)]
    return next(iter(whole or [path for path in places if path.resolve() != serving]))
