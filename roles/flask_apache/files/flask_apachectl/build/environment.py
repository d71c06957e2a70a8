"""The virtual environment that a source needs, built as an unprivileged user."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import tarfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flask_apachectl import interpreter, paths, routing
from flask_apachectl.build import credentials, staging
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import files, programs, report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flask_apachectl.app import App


def index_arguments(config: dict[str, Any], wheelhouse: Path | None) -> list[str]:
    """Return the installer's arguments for where packages come from."""
    if wheelhouse:
        return ["--no-index", "--find-links", str(wheelhouse)]
    first = ["--index-url", config["index_url"]] if config["index_url"] else []
    return first + [word for url in config["extra_index_urls"] for word in ("--extra-index-url", url)]


def venv_key(plan: dict[str, Any], source: Path, source_id: str, config: dict[str, Any], python: str) -> str:
    """Return the name of the virtual environment that a source needs: a digest of what goes into it."""
    tied = plan["tied"] or any((source / argument).exists() for argument in config["pip_args"])
    origin = [config["index_url"], config["extra_index_urls"], config["wheelhouse"], source_id if tied else None]
    return files.short_hash([config["python"], python, config["pip_args"], plan["makings"], origin], 12)


def is_complete(venv: Path) -> bool:
    """Tell whether a virtual environment was built to its end and its interpreter still runs it."""
    try:
        python = json.loads((venv / "complete.json").read_text(encoding="utf-8"))["python"]
    except (OSError, ValueError):
        return False
    return (venv / "bin/python").exists() and (venv / f"lib/python{python}/site-packages").is_dir()


@dataclass(frozen=True)
class Workshop:
    """Where the commands of one build run: as the build user, in the source, until the build's time is over."""

    app: App
    group: int
    source: Path
    deadline: float
    environment: dict[str, str] = field(repr=False)

    def run(self, *command: str) -> str:
        """Run a command and return its output. Raises RefusedError that tells the cause, without credentials."""
        home, left = paths.CACHE / self.app.name, self.deadline - time.monotonic()
        try:
            return programs.run(
                command,
                paths.BUILD_USER,
                self.group,
                home=home,
                cwd=self.source,
                seconds=left,
                environment=self.environment,
            )
        except RefusedError as failure:
            forms = [
                form
                for _, *pair in credentials.of_addresses(self.app.index_urls)
                for form in credentials.secret_forms(*pair)
            ]
            cause = report.redact(f"{' '.join(command)}\n{failure}", forms)
            raise RefusedError(
                f"the virtual environment cannot be built: {cause}\n{routing.consequence(self.app)}"
            ) from None

    def install(self, tools: Path, venv: Path, arguments: Sequence[str]) -> None:
        """Install into a virtual environment."""
        if self.app.config["installer"] == "uv":
            command = [f"{tools}/bin/uv", "pip", "install", "--quiet", "--python", f"{venv}/bin/python"]
        else:
            command = [f"{venv}/bin/python", f"{tools}/only/pip", "install", "--quiet"]
        origin = index_arguments(self.app.config, wheelhouse(self.app, self.group))
        try:
            self.run(*command, *origin, *arguments)
        except RefusedError as failure:
            raise RefusedError(
                "\n".join([*map(credentials.access_trouble, self.app.index_urls), str(failure)]).lstrip()
            ) from None


@contextlib.contextmanager
def workshop(app: App, source: Path, group: int) -> Iterator[Workshop]:
    """Open a place for a build. Credentials are in memory, in a file of the build user's, for as long as it is open."""
    cache, private = paths.CACHE / app.name, paths.RUN / f"build-{app.name}"
    environment = {
        **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        "PIP_CERT": paths.CA_BUNDLE,
        "PIP_CACHE_DIR": str(cache / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "SSL_CERT_FILE": paths.CA_BUNDLE,
        "UV_CACHE_DIR": str(cache / "uv"),
        "UV_COMPILE_BYTECODE": "1",
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # pip's
        "UV_LINK_MODE": "copy",  # a link would make the cache root's
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "NETRC": str(private / "netrc"),
    }
    work = Workshop(app, group, source, time.monotonic() + app.config["build_timeout"], environment)
    known = credentials.of_addresses(app.index_urls)
    if not known:
        yield work
        return
    files.remove(private)
    paths.RUN.mkdir(exist_ok=True)
    paths.RUN.chmod(0o755)
    private.mkdir(mode=0o700)
    netrc = "".join(f"machine {host} login {user} password {password}\n" for host, user, password in known)
    forms = "".join(f"{form}\n" for _, *pair in known for form in credentials.secret_forms(*pair))
    try:
        for name, text in (("netrc", netrc), ("forms", forms)):
            files.write(private / name, text, mode=0o600)
            os.chown(private / name, pwd.getpwnam(paths.BUILD_USER).pw_uid, -1)
        os.chown(private, pwd.getpwnam(paths.BUILD_USER).pw_uid, -1)
        try:
            yield work
        finally:  # pip keeps the headers of a request that its answer varies by
            clean = 'grep -rlZF -f "$0" "$1" | xargs -0 -r rm -f'
            command = ["sh", "-c", clean, str(private / "forms"), str(cache)]
            programs.run(command, paths.BUILD_USER, group, home=cache, cwd=cache, seconds=app.config["build_timeout"])
    finally:
        files.remove(private)
        with contextlib.suppress(OSError):  # another app's
            paths.RUN.rmdir()


def wheelhouse(app: App, group: int) -> Path | None:
    """Return the directory of the wheels that the role shipped, if that is where packages come from."""
    if not app.config["wheelhouse"]:
        return None
    directory: Path = app.home / "wheelhouses" / app.config["wheelhouse"]
    archive = directory.with_name(f"{directory.name}.tar.gz")
    if not directory.exists():
        if not archive.exists():
            raise RefusedError("the wheelhouse is not on this host: run the role, which ships it")
        partial = directory.with_name(f".{directory.name}")
        with tarfile.open(archive) as tar:
            staging.extract(tar, partial)
        files.set_ownership(partial, group)
        partial.rename(directory)
    for another in set(directory.parent.iterdir()) - {directory}:
        files.remove(another)
    return directory


def make_tools(work: Workshop, python: str) -> Path:
    """Return a virtual environment with the installer, for all apps of a host with the same interpreter."""
    config = work.app.config
    uv = "uv==" + config["uv_version"] if config["installer"] == "uv" else ""
    tools: Path = paths.CACHE / "tools" / files.short_hash([config["python"], python, uv], 12)
    tools.parent.mkdir(exist_ok=True)
    tools.parent.chmod(0o755)
    with (paths.CACHE / "tools.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another app's run may be making them
        if is_complete(tools):
            return tools
        report.say(f"tools   {tools}")
        for debris in tools.parent.glob(".*"):
            files.remove(debris)
        partial = tools.with_name(f".{tools.name}")
        partial.mkdir()
        try:
            os.chown(partial, pwd.getpwnam(paths.BUILD_USER).pw_uid, work.group)
            work.run(config["python"], "-m", "venv", str(partial))
            if uv:
                expect_access(work)
                origin = index_arguments(config, wheelhouse(work.app, work.group))
                work.run(f"{partial}/bin/python", "-m", "pip", "install", "--quiet", *origin, uv)
            # pip alone, to run in a virtual environment that has none.
            (partial / "only").mkdir()
            (partial / "only/pip").symlink_to(f"../lib/python{python}/site-packages/pip")
            files.set_ownership(partial, 0, others=0o005)
            files.write(partial / "complete.json", json.dumps({"python": python, "built": report.timestamp()}))
            files.remove(tools)
            partial.rename(tools)
        finally:
            files.remove(partial)
    return tools


def expect_access(work: Workshop) -> None:
    """Refuse to ask a private index without its credentials."""
    if work.app.config["index_private"] and not work.app.index_urls:
        raise RefusedError(
            "something has to be installed from a private index, whose credentials only the role has: run the role\n"
            + routing.consequence(work.app)
        )


def read_plan(work: Workshop, tools: Path, lines_file: Path) -> dict[str, Any]:
    """Return how to install what the source needs, as its files say."""
    config = work.app.config
    question = {
        "requirements": config["requirements"],
        "constraints": config["constraints"],
        "extras": config["extras"],
        "wsgi": config["wsgi"],
        "lines_file": str(lines_file),
    }
    try:
        output = programs.run(
            [f"{tools}/bin/python", *programs.itself()[1:], "dependencies", json.dumps(question)],
            paths.BUILD_USER,
            work.group,
            home=paths.CACHE / work.app.name,
            cwd=work.source,
            seconds=work.deadline - time.monotonic(),
        )
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
    with workshop(app, release / "app", group) as work:
        tools = make_tools(work, python)
        lines_file = release / "locked.txt"
        plan = read_plan(work, tools, lines_file)
        if plan["lines"]:
            files.write(lines_file, "\n".join([*plan["lines"], ""]), mode=0o640, group=group)
        venv = app.venvs / venv_key(plan, work.source, source, app.config, python)
        if is_complete(venv):
            return venv
        if plan["steps"]:
            expect_access(work)
        report.say(f"build   {venv}")
        files.remove(venv)
        venv.mkdir(mode=paths.READABLE_TO_THE_APP)
        os.chown(venv, pwd.getpwnam(paths.BUILD_USER).pw_uid, group)
        work.run(app.config["python"], "-m", "venv", "--without-pip", str(venv))
        for step in plan["steps"]:
            work.install(tools, venv, [*app.config["pip_args"], *step])
    files.set_ownership(venv, group)
    files.write(
        venv / "complete.json", json.dumps({"python": python, "built": report.timestamp()}), mode=0o640, group=group
    )
    return venv
