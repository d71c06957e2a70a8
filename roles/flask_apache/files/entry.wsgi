"""Entry script of every pool: loads the release that this process was started in, or says loudly why it cannot.

mod_wsgi runs it in each daemon process; ``python entry.wsgi``, as the app's user in a release's ``app`` directory,
is the same load as a check (``flask-apachectl prepare`` does that before a pool is started), and
``python entry.wsgi COMMAND`` runs a command in the app's environment (``flask-apachectl run``, workers, timers);
``-c 'COMMAND'`` splits it into words as a shell does.
"""

from __future__ import annotations

import datetime as dt
import importlib
import io
import json
import os
import shlex
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

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
    sys.path[:] = [HOME, *(os.path.realpath(path) for path in sys.path if path and os.path.realpath(path) != HOME)]


def check_interpreter() -> None:
    """Refuse another minor version of Python than the virtual environment was built with."""
    running, built = "{}.{}".format(*sys.version_info), read("venv/complete.json")["python"]
    if running != built:
        raise RuntimeError(f"mod_wsgi runs Python {running}, the virtual environment is of Python {built}")


def set_environment(release: dict[str, Any]) -> None:
    """Give the app its declared environment, and the facts of this pool under FLASK_APACHE_*."""
    os.environ.update(read("env"))
    os.environ.update(
        FLASK_APACHE_APP=release["app"],
        FLASK_APACHE_RELEASE=release["id"],
        FLASK_APACHE_DATA=release["data"],
        HOME=release["data"],
        FLASK_APACHE_POOL=getattr(sys.modules.get("mod_wsgi"), "process_group", ""),
    )
    os.environ.setdefault("VIRTUAL_ENV", os.path.join(RELEASE_DIR, "venv"))


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


def nothing_deployed(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer for a pool without a release."""
    start_response("503 Service Unavailable", [("Content-Type", "text/plain"), ("Retry-After", "5")])
    return [b"No release is live in this pool.\n"]


def for_probes(app: WSGIApplication, release: dict[str, Any]) -> WSGIApplication:
    """Let the app's answers to flask-apachectl's own probes name the release and the process."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not environ.pop("FLASK_APACHE_PROBE", None):
            return app(environ, start_response)

        def start_probed(
            status: str,
            headers: list[tuple[str, str]],
            *rest: Any,  # noqa: ANN401 - exc_info, if any
        ) -> Callable[[bytes], object]:
            own = [("X-Flask-Apache-App", release["app"]), ("X-Flask-Apache-Release", release["id"])]
            own += [("X-Flask-Apache-Pid", str(os.getpid()))]
            return start_response(status, [*headers, *own], *rest)

        return app(environ, start_probed)

    return application


class ErrorLog(io.TextIOBase):
    """The error log of the pool's virtual host: the app's own.

    mod_wsgi writes to that of the virtual host that a visitor asked, which several apps may share.
    """

    def __init__(self) -> None:
        self.begun = threading.local()  # each thread's line that has no end yet
        self.pool = sys.modules["mod_wsgi"].process_group

    def write(self, text: str) -> int:
        """Write whole lines; keep the beginning of one."""
        *lines, self.begun.line = (getattr(self.begun, "line", "") + text).split("\n")
        for line in lines:
            moment = dt.datetime.now().strftime("%a %b %d %H:%M:%S.%f %Y")  # noqa: DTZ005 - as Apache does
            full = f"[{moment}] [wsgi:error] [pid {os.getpid()}] [{self.pool}] {line}\n"
            os.write(self.fileno(), full.encode(errors="backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Write a line's beginning as a line, for it may be the last one."""
        if getattr(self.begun, "line", ""):
            self.write("\n")

    def fileno(self) -> int:
        """Return standard error: mod_wsgi has tied it to that log."""
        return 2

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True


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
    return for_probes(load(release["wsgi"]), release)


def explain(error: Exception) -> None:
    """Print an error as the app's author wants it: without the frames of the import machinery and of this file."""
    own = (__file__, importlib.__file__)
    trace = traceback.TracebackException.from_exception(error)
    frames = [frame for frame in trace.stack if frame.filename not in own and "<frozen" not in frame.filename]
    print("".join([*traceback.format_list(frames), *trace.format_exception_only()]), file=sys.stderr)


def run(command: list[str]) -> None:
    """Replace this process by a command with the release's environment."""
    release = read("entry.json")
    set_environment(release)
    os.environ.setdefault("FLASK_APP", release["wsgi"])
    os.environ["PATH"] = os.pathsep.join((os.path.join(RELEASE_DIR, "venv/bin"), os.environ["PATH"]))
    os.execvp(command[0], command)  # noqa: S606 - the operator's own command


if __name__ == "__main__":
    try:
        if sys.argv[1:]:
            run(shlex.split(sys.argv[2]) if sys.argv[1] == "-c" else sys.argv[1:])
        build()
    except Exception as error:  # noqa: BLE001 - whatever the app raises
        explain(error)
        sys.exit(1)
else:
    if not sys.modules["mod_wsgi"].process_group:
        raise RuntimeError("this process is Apache's own: an app runs in the daemon processes of its pools only")
    sys.stdout = sys.stderr = ErrorLog()
    application = logged(build())
