"""Entry script of every pool: loads the release that this process was started in, or says loudly why it cannot.

mod_wsgi runs it in each daemon process; ``python entry.wsgi``, as the app's user in a release's ``app`` directory,
is the same load as a check (``flask-apachectl prepare`` does that before a pool is started), and
``python entry.wsgi COMMAND`` runs a command in the app's environment (``flask-apachectl run``, workers, timers);
``-c 'COMMAND'`` splits it into words as a shell does.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import io
import json
import os
import pwd
import shlex
import sys
import threading
import time
import traceback
import zoneinfo
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed import ReadableBuffer
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Numbers of the C library's mallopt, which does later what these variables do when a process starts.
MALLOC = {
    "MALLOC_ARENA_MAX": -8,
    "MALLOC_ARENA_TEST": -7,
    "MALLOC_MMAP_MAX_": -4,
    "MALLOC_MMAP_THRESHOLD_": -3,
    "MALLOC_TOP_PAD_": -2,
    "MALLOC_TRIM_THRESHOLD_": -1,
}


def host_zone() -> dt.tzinfo:
    """Return the host's time zone, in which Apache writes its logs: that of the app may be another one."""
    with contextlib.suppress(OSError, ValueError), open("/etc/localtime", "rb") as file:
        return zoneinfo.ZoneInfo.from_file(file)
    return dt.timezone.utc


ZONE = host_zone()
REQUEST = threading.local()  # the id of the request that a thread answers
HOME = os.path.realpath(os.getcwd())  # releases/<id>/app: the slot's link is followed once, here
RELEASE_DIR = os.path.dirname(HOME)


def read(name: str) -> dict[str, Any]:
    """Return the mapping that a file of the release holds."""
    with open(os.path.join(RELEASE_DIR, name), encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


def pin_paths() -> None:
    """Replace the slot's link by the release's own paths, so that a later import cannot reach another release."""
    virtualenv = os.path.realpath(os.path.join(RELEASE_DIR, "venv"))
    if os.path.realpath(sys.prefix) != virtualenv:
        raise RuntimeError(f"this process runs in {sys.prefix} instead of the release's {virtualenv}")
    sys.prefix = sys.exec_prefix = virtualenv
    sys.executable = os.path.join(virtualenv, "bin/python")
    sys.path[:] = [HOME, *(os.path.realpath(path) for path in sys.path if path and os.path.realpath(path) != HOME)]


def check_interpreter() -> None:
    """Refuse another minor version of Python than the virtual environment was built with."""
    running, built = "{}.{}".format(*sys.version_info), read("venv/complete.json")["python"]
    if running != built:
        raise RuntimeError(f"mod_wsgi runs Python {running}, the virtual environment is of Python {built}")


def set_environment(release: dict[str, Any]) -> None:
    """Give the app its declared environment, and the facts of this pool under FLASK_APACHE_*.

    It is the same wherever the app's code runs: what else works at the start of a process is not inherited.
    """
    declared = read("env")
    for name in list(os.environ):
        if name == "TZ" or name.startswith(("LC_", "LANGUAGE", "PYTHON")):
            del os.environ[name]
    user = pwd.getpwuid(os.getuid()).pw_name
    os.environ.update({"USER": user, "LOGNAME": user, **declared})
    os.environ.update(
        FLASK_APACHE_APP=release["app"],
        FLASK_APACHE_RELEASE=release["id"],
        FLASK_APACHE_DATA=release["data"],
        HOME=release["data"],
        FLASK_APACHE_POOL=getattr(sys.modules.get("mod_wsgi"), "process_group", ""),
        PATH=os.pathsep.join((os.path.join(RELEASE_DIR, "venv/bin"), declared.get("PATH") or PATH)),
    )
    os.environ.setdefault("VIRTUAL_ENV", os.path.join(RELEASE_DIR, "venv"))
    os.environ.setdefault("FLASK_APP", release["wsgi"])


def apply_environment() -> None:
    """Do now what variables of the environment do when a process starts, which was before they were known.

    Those that cannot be applied later are refused before a deploy: see the role's checks of flask_apache_environment.
    """
    given = {name: value for name, value in os.environ.items() if value}
    time.tzset()
    if any(name == "LANG" or name.startswith("LC_") for name in given):
        import locale  # noqa: PLC0415 - only where it is needed

        with contextlib.suppress(locale.Error):  # as Python does when it starts
            locale.setlocale(locale.LC_CTYPE, "")
    if limits := given.keys() & MALLOC.keys():
        import ctypes  # noqa: PLC0415

        for name in limits:
            if (limit := number(given, name)) is not None:
                ctypes.CDLL(None).mallopt(MALLOC[name], limit)
    apply_to_python(given)


def number(given: dict[str, str], name: str) -> int | None:
    """Return the number that a variable is; None for none."""
    value = given.get(name, "")
    return int(value) if value.isdecimal() else None


def apply_to_python(given: dict[str, str]) -> None:
    """Apply the variables that Python itself reads when it starts."""
    if "PYTHONPATH" in given:
        paths = [os.path.realpath(path) for path in given["PYTHONPATH"].split(os.pathsep) if path]
        sys.path[1:1] = [path for path in dict.fromkeys(paths) if path not in sys.path]
    if "PYTHONWARNINGS" in given:
        import warnings  # noqa: PLC0415

        options = given["PYTHONWARNINGS"].split(",")
        sys.warnoptions[:0] = options
        warnings._processoptions(options)  # type: ignore[attr-defined] # noqa: SLF001
    if "PYTHONIOENCODING" in given:
        encoding, _, errors = given["PYTHONIOENCODING"].partition(":")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding=encoding or None, errors=errors or None)
    apply_to_runtime(given)


def apply_to_runtime(given: dict[str, str]) -> None:
    """Apply those that are switches of the interpreter."""
    if "PYTHONFAULTHANDLER" in given:
        import faulthandler  # noqa: PLC0415

        faulthandler.enable(file=2)
    if frames := number(given, "PYTHONTRACEMALLOC"):
        import tracemalloc  # noqa: PLC0415

        tracemalloc.start(frames)
    digits = number(given, "PYTHONINTMAXSTRDIGITS")
    if digits is not None and hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(digits)
    if given.get("PYTHONDONTWRITEBYTECODE", "0") != "0":
        sys.dont_write_bytecode = True
    if "PYTHONPYCACHEPREFIX" in given:
        sys.pycache_prefix = given["PYTHONPYCACHEPREFIX"]


def load(target: str) -> WSGIApplication:
    """Import ``module:attribute`` or call ``module:factory(literals)``."""
    module, _, expression = target.partition(":")
    name, _, arguments = expression.partition("(")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if arguments:
        # The role's own declaration, checked there: a call with literal arguments.
        found = eval("_factory(" + arguments, {"__builtins__": {}}, {"_factory": found})  # noqa: S307
    if not callable(found):
        raise TypeError(f"{target} is {found!r}, which is not a WSGI callable")
    app: WSGIApplication = found
    return app


def nothing_deployed(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer for a pool without a release: with the page that visitors get while the app is closed."""
    kind, body = "text/plain", b"No release is live in this pool.\n"
    path = os.path.join(os.path.dirname(__file__), "pages/503.html")
    if not environ.get("FLASK_APACHE_PROBE"):
        with contextlib.suppress(OSError), open(path, "rb") as page:
            kind, body = "text/html; charset=utf-8", page.read()
    start_response("503 Service Unavailable", [("Content-Type", kind), ("Retry-After", "5")])
    return [body]


def below_the_mount(app: WSGIApplication) -> WSGIApplication:
    """Give the app the path that Apache was asked for, which Apache passes on unchanged beside the script's."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "FLASK_APACHE_PATH" in environ:
            environ["PATH_INFO"] = environ.pop("FLASK_APACHE_PATH")
            environ["SCRIPT_NAME"] = environ.pop("FLASK_APACHE_MOUNT", "")
        if environ.pop("FLASK_APACHE_STATUS_ONLY", None):
            return status_only(app, environ, start_response)
        return app(environ, start_response)

    return application


def status_only(app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the status alone: who asks may not see the rest."""
    told: list[str] = []
    body = app(environ, lambda status, *_: told.append(status))  # type: ignore[arg-type]
    try:
        next(iter(body), None)  # a generator begins to answer only then
    finally:
        getattr(body, "close", bool)()
    start_response(told[-1], [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []


def identified(app: WSGIApplication, release: dict[str, Any]) -> WSGIApplication:
    """Let the app's answers name the release: to flask-apachectl's own probes, with the process; and to a log in JSON.

    Apache removes what is for the log: also how many microseconds the app took to give the status and the headers.
    """

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        is_probe, is_logged = environ.pop("FLASK_APACHE_PROBE", None), environ.get("FLASK_APACHE_LOG")
        if not is_probe and not is_logged:
            return app(environ, start_response)
        began = time.perf_counter()

        def start_identified(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:  # noqa: ANN401
            own = []
            if is_logged:
                took = max(1, round((time.perf_counter() - began) * 1e6))
                own += [("X-Flask-Apache-Took", str(took)), ("X-Flask-Apache-Served", release["id"])]
            if is_probe:
                own += [("X-Flask-Apache-App", release["app"]), ("X-Flask-Apache-Release", release["id"])]
                own += [("X-Flask-Apache-Pid", str(os.getpid()))]
            return start_response(status, [*own, *headers], *exc_info)  # Apache takes the first of a name

        return app(environ, start_identified)

    return application


class Log(io.RawIOBase):
    """What the standard streams of a pool's process write to: the app's own log, in whole lines.

    mod_wsgi writes to the log of the virtual host that a visitor asked, which several apps may share. It has tied
    standard error to the app's own.
    """

    mode = "wb"

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        self.begun = threading.local()  # each thread's line that has no end yet
        self.pool = sys.modules["mod_wsgi"].process_group

    @property
    def raw(self) -> Log:
        """Return itself, as there is no buffer."""
        return self

    def write(self, data: ReadableBuffer) -> int:
        """Write whole lines; keep the beginning of one."""
        content = bytes(data)
        *lines, self.begun.line = (getattr(self.begun, "line", b"") + content).split(b"\n")
        for line in lines:
            moment = dt.datetime.now(ZONE).strftime("%a %b %d %H:%M:%S.%f %Y")  # as Apache does
            prefix = f"[{moment}] [wsgi:error] [pid {os.getpid()}] [{self.pool}] "
            prefix += f"[request {REQUEST.id}] " if getattr(REQUEST, "id", "") else ""
            with contextlib.suppress(OSError):  # a log that cannot be written must not make an answer fail
                os.write(2, prefix.encode() + line + b"\n")
        return len(content)

    def flush(self) -> None:
        """Write a line's beginning as a line, for it may be the last one."""
        if getattr(self.begun, "line", b""):
            self.write(b"\n")

    def close(self) -> None:
        """Stay open: published code wraps a standard stream in another one, and drops the first one."""
        self.flush()

    def fileno(self) -> int:
        """Return the descriptor, whose output goes to the log without a prefix."""
        return self.descriptor

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True


def open_streams() -> None:
    """Let what the app prints, and what its child processes print, go to its own log."""
    os.dup2(2, 1)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream: Any = io.TextIOWrapper(
            Log(f"<{name}>", descriptor),
            encoding="utf-8",
            errors="backslashreplace",
            write_through=True,
        )
        stream.mode = "w"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


class Logged:
    """The body of an answer, which may fail while it is made."""

    def __init__(self, body: Iterable[bytes]) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces, and log what stops them."""
        try:
            yield from self.body
        except Exception:
            traceback.print_exc()
            raise

    def close(self) -> None:
        """Close the app's own."""
        if hasattr(self.body, "close"):
            self.body.close()


def logged(app: WSGIApplication) -> WSGIApplication:
    """Let what the app says of errors, and the exceptions that it does not catch, go to its own log."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.errors"] = sys.stderr
        REQUEST.id = environ.get("FLASK_APACHE_REQUEST_ID")
        try:
            body = app(environ, start_response)
        except Exception:
            traceback.print_exc()
            raise
        file = environ.get("wsgi.file_wrapper")
        whole = isinstance(body, (list, tuple)) or (isinstance(file, type) and isinstance(body, file))
        return body if whole else Logged(body)

    return application


def build() -> WSGIApplication:
    """Return the WSGI application of the release in the current directory."""
    try:
        release = read("entry.json")
    except FileNotFoundError:
        return nothing_deployed
    check_interpreter()
    pin_paths()
    set_environment(release)
    apply_environment()
    return below_the_mount(identified(load(release["wsgi"]), release))


def explain(error: BaseException) -> None:
    """Print an error as the app's author wants it: without the frames of the import machinery and of this file."""
    own = (__file__, importlib.__file__)
    trace = traceback.TracebackException.from_exception(error)
    frames = [frame for frame in trace.stack if frame.filename not in own and "<frozen" not in frame.filename]
    print("".join([*traceback.format_list(frames), *trace.format_exception_only()]), file=sys.stderr)


def run(command: list[str]) -> None:
    """Replace this process by a command with the release's environment."""
    set_environment(read("entry.json"))
    os.execvp(command[0], command)  # noqa: S606 - the operator's own command


def end(code: int) -> None:
    """End this process now: whatever threads the app's import has started, they are none of the check's."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    try:
        if sys.argv[1:]:
            run(shlex.split(sys.argv[2]) if sys.argv[1] == "-c" else sys.argv[1:])
        build()
    except BaseException as error:  # noqa: BLE001 - whatever the app raises; it may also call sys.exit
        explain(error)
        end(1)
    end(0)
else:
    if not sys.modules["mod_wsgi"].process_group:
        raise RuntimeError("this process is Apache's own: an app runs in the daemon processes of its pools only")
    open_streams()
    application = logged(build())
