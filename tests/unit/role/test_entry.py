"""The entry script, run as it is on a host: as the import check, and as mod_wsgi runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.programs import FILES

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = FILES / "entry.wsgi"
# Runs the script as mod_wsgi does. The file is not called __main__ there.
POOL = """
import importlib.machinery, importlib.util, sys, types
sys.modules["mod_wsgi"] = types.SimpleNamespace(process_group="shop-blue")
loader = importlib.machinery.SourceFileLoader("entry", sys.argv[1])
entry = importlib.util.module_from_spec(importlib.util.spec_from_loader("entry", loader))
loader.exec_module(entry)
"""
ASK = """
got = []
environ = {environ!r}
body = entry.application(environ, lambda status, headers, *rest: got.extend([status, headers]))
sys.__stdout__.flush()
import os
os.write({descriptor}, repr((got[0], dict(got[1]), b"".join(body))).encode())
"""


@pytest.fixture(scope="module")
def virtualenv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment without packages."""
    directory: Path = tmp_path_factory.mktemp("virtualenv") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    version = "{}.{}".format(*sys.version_info)
    (directory / "complete.json").write_text(json.dumps({"python": version}))
    return directory


@pytest.fixture
def release(tmp_path: Path, virtualenv: Path) -> Path:
    """Return the directory of a release whose app has no code yet."""
    directory = tmp_path / "release"
    (directory / "app").mkdir(parents=True)
    (directory / "venv").symlink_to(virtualenv)
    declare(directory)
    return directory


def declare(release: Path, code: str = "", **environment: str) -> None:
    """Write an app's code and environment."""
    (release / "app/app.py").write_text(f"{code}\ndef app(environ, start_response): ...\n")
    entry = {"id": "1-2", "app": "shop", "wsgi": "app:app", "data": str(release)}
    (release / "entry.json").write_text(json.dumps(entry))
    (release / "env").write_text(json.dumps(environment))


def run(release: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with the release's Python, in its directory, and with what a host's environment has."""
    return subprocess.run(
        [release / "venv/bin/python", *command],
        cwd=release / "app",
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environment},
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=60,
        check=False,
    )


def in_pool(release: Path, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Load the app as mod_wsgi does, then run some code."""
    return run(release, "-c", POOL + code, str(ENTRY), **environment)


# --- The import check


@pytest.mark.parametrize(
    "code",
    [
        "import threading, time; threading.Thread(target=time.sleep, args=[600]).start()",
        "import subprocess; subprocess.Popen(['sleep', '5'])",
        "import atexit, time; atexit.register(time.sleep, 600)",
        "import concurrent.futures as f, time; f.ThreadPoolExecutor().submit(time.sleep, 600)",
    ],
)
def test_the_check_ends_when_the_import_has_ended(release: Path, code: str) -> None:
    declare(release, f"{code}\nprint('imported', end='')")
    began = time.monotonic()
    process = subprocess.Popen(
        [release / "venv/bin/python", ENTRY], cwd=release / "app", stdout=subprocess.DEVNULL, start_new_session=True
    )
    assert process.wait(timeout=30) == 0
    assert time.monotonic() - began < 20
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ValueError('the colour is wrong')", "ValueError: the colour is wrong"),
        ("import sys; sys.exit('no settings')", "SystemExit: no settings"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        (
            "import threading, time; threading.Thread(target=time.sleep, args=[600]).start(); import missing",
            "ModuleNotFoundError: No module named 'missing'",
        ),
    ],
)
def test_an_import_that_fails_is_told(release: Path, code: str, said: str) -> None:
    declare(release, f"print('before', end='')\n{code}")
    done = run(release, str(ENTRY))
    assert (done.returncode, done.stdout) == (1, "before"), done.stderr
    assert done.stderr.rstrip().splitlines()[-1] == said


# --- The standard streams


def test_what_is_printed_goes_to_the_log_in_whole_lines(release: Path) -> None:
    declare(
        release,
        """
import io, logging, os, subprocess, sys
print("one", "line")
print("two", end=" ")
print("parts")
sys.stdout.buffer.write(b"bytes \\xff\\n")
sys.stdout.buffer.write(memoryview(b"a view\\n"))
sys.stderr.buffer.raw.write(b"raw\\n")
print("half a surrogate: \\ud800", file=sys.stderr)
logging.warning("a warning")
sys.stdout.write("no end"); sys.stdout.flush()
subprocess.run(["echo", "of a child"], check=True)
subprocess.run(["echo", "of a stream"], check=True, stdout=sys.stdout)
os.write(sys.stderr.fileno(), b"by its descriptor\\n")
sys.stdout.reconfigure(encoding="latin-1", errors="replace", line_buffering=True)
print("ü")
sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", line_buffering=True)
print("wrapped", flush=True)
sys.stderr.close()
print("not closed", file=sys.stderr)
""",
    )
    done = in_pool(release)
    assert (done.returncode, done.stdout) == (0, "")
    lines = [line.rpartition("[shop-blue] ")[2] for line in done.stderr.splitlines()]
    assert lines == [
        *("one line", "two parts", "bytes \\xff", "a view", "raw", "half a surrogate: \\ud800"),
        *("WARNING:root:a warning", "no end", "of a child", "of a stream", "by its descriptor", "\\xfc"),
        *("wrapped", "not closed"),
    ]


def test_each_thread_writes_its_own_lines(release: Path) -> None:
    declare(
        release,
        """
import threading, time
def speak(name):
    for _ in range(200):
        print(name, end=""); print(name, end=""); print()
threads = [threading.Thread(target=speak, args=[name * 50]) for name in "abcd"]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
""",
    )
    lines = [line.rpartition(" ")[2] for line in in_pool(release).stderr.splitlines()]
    assert sorted(lines) == [name * 100 for name in "abcd" for _ in range(200)]


def test_the_streams_are_a_process_s_own(release: Path) -> None:
    """Also the first ones, which published code reaches for."""
    declare(
        release,
        """
import io, json, sys
found = [
    [isinstance(stream, io.TextIOWrapper), stream.encoding, stream.name, stream.mode, stream.fileno(),
     stream.isatty(), stream.writable(), stream.readable(), stream.closed, stream is first]
    for stream, first in ((sys.stdout, sys.__stdout__), (sys.stderr, sys.__stderr__))
]
open("found", "w").write(json.dumps(found))
""",
    )
    assert in_pool(release).returncode == 0
    assert json.loads((release / "app/found").read_text()) == [
        [True, "utf-8", "<stdout>", "w", 1, False, True, False, False, True],
        [True, "utf-8", "<stderr>", "w", 2, False, True, False, False, True],
    ]


# --- The environment

APPLIED = {
    "TZ": ("Asia/Tokyo", "time.tzname[0]", "JST"),
    "PYTHONPATH": ("/one:/two/../two:", "[p for p in sys.path if p in ('/one', '/two')]", "['/one', '/two']"),
    "PYTHONWARNINGS": ("error::UserWarning,default", "warnings.filters[1][0]", "error"),
    "PYTHONFAULTHANDLER": ("1", "faulthandler.is_enabled()", "True"),
    "PYTHONTRACEMALLOC": ("3", "tracemalloc.get_traceback_limit()", "3"),
    "PYTHONDONTWRITEBYTECODE": ("1", "sys.dont_write_bytecode", "True"),
    "PYTHONPYCACHEPREFIX": ("/cache", "sys.pycache_prefix", "/cache"),
    "PYTHONINTMAXSTRDIGITS": ("1000", "sys.get_int_max_str_digits()", "1000"),
    "PYTHONIOENCODING": ("iso8859-1:replace", "(sys.stdout.encoding, sys.stdout.errors)", "('iso8859-1', 'replace')"),
    "LC_ALL": ("C.UTF-8", "locale.setlocale(locale.LC_CTYPE)", "C.UTF-8"),
}


@pytest.mark.parametrize("name", APPLIED)
def test_a_variable_means_the_same_in_every_process(release: Path, name: str) -> None:
    """Whether it is known when Python starts, as in a hook, or only afterwards, as in a daemon process."""
    value, expression, expected = APPLIED[name]
    modules = "faulthandler, locale, sys, time, tracemalloc, warnings"
    said = f"import {modules}; print({expression}, file=open('found', 'a'))"
    declare(release, said, **{name: value})
    for done in (run(release, str(ENTRY)), in_pool(release), run(release, str(ENTRY), "python", "-c", said)):
        assert done.returncode == 0, done.stderr
    assert (release / "app/found").read_text().splitlines() == [expected] * 3


def test_the_number_of_malloc_s_arenas_is_limited_later(release: Path) -> None:
    declare(
        release,
        """
import ctypes, re, threading, time
def allocate():
    ctypes.CDLL(None).malloc(100)
    time.sleep(0.5)
threads = [threading.Thread(target=allocate) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(b"info", b"w")
libc.malloc_info(0, ctypes.c_void_p(file)); libc.fclose(ctypes.c_void_p(file))
""",
        MALLOC_ARENA_MAX="1",
    )
    assert in_pool(release).returncode == 0
    assert (release / "app/info").read_text().count("<heap nr=") == 1


def test_nothing_of_a_start_is_inherited(release: Path) -> None:
    """Every process has the same environment, but for what is declared of it."""
    said = "import os, json; print(json.dumps(dict(os.environ)), file=open('found', 'a'))"
    declare(release, said, COLOUR="red")
    inherited = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "LANGUAGE": "de", "PYTHONWARNINGS": "error", "USER": "root"}
    runs = (
        run(release, str(ENTRY)),
        in_pool(release, **inherited, PYTHONUTF8="1"),
        run(release, str(ENTRY), "python", "-c", said),
    )
    assert [done.returncode for done in runs] == [0] * 3
    check, pool, command = [json.loads(line) for line in (release / "app/found").read_text().splitlines()]
    assert pool == check | {"FLASK_APACHE_POOL": "shop-blue"}
    assert command == check
    assert check["PATH"].split(":")[0] == str(release / "venv/bin")
    assert (check["COLOUR"], check["FLASK_APP"], "TZ" in check) == ("red", "app:app", False)


def test_the_interpreter_is_the_releases(release: Path) -> None:
    declare(release, "import sys, subprocess; subprocess.run([sys.executable, '-c', 'print(1)'], check=True)")
    assert in_pool(release).returncode == 0


# --- Requests


def ask(release: Path, environ: dict[str, Any]) -> tuple[str, dict[str, str], bytes]:
    """Return the answer to a request."""
    done = in_pool(release, ASK.format(environ=environ, descriptor=2))
    answer: tuple[str, dict[str, str], bytes] = eval(done.stderr)  # noqa: S307 - the test's own
    return answer


def test_the_app_gets_the_path_as_it_was_asked_for(release: Path) -> None:
    (release / "app/app.py").write_text(
        """
def app(environ, start_response):
    start_response("200 OK", [])
    return [repr([environ["SCRIPT_NAME"], environ["PATH_INFO"], "FLASK_APACHE_PATH" in environ]).encode()]
"""
    )
    asked = {"FLASK_APACHE_MOUNT": "/shop", "FLASK_APACHE_PATH": "/a//b", "SCRIPT_NAME": "/shop/a/b", "PATH_INFO": ""}
    assert ask(release, asked)[2] == b"['/shop', '/a//b', False]"
    assert ask(release, {"SCRIPT_NAME": "/x", "PATH_INFO": "/y"})[2] == b"['/x', '/y', False]"


def test_a_log_in_json_is_told_the_release_and_the_time(release: Path) -> None:
    (release / "app/app.py").write_text(
        """
import time
def app(environ, start_response):
    time.sleep(0.05)
    start_response("200 OK", [("X-Own", "1")])
    return [b""]
"""
    )
    _, headers, _ = ask(release, {"FLASK_APACHE_LOG": "json"})
    assert (headers["X-Flask-Apache-Served"], headers["X-Own"]) == ("1-2", "1")
    assert 50_000 <= int(headers["X-Flask-Apache-Took"]) < 5_000_000  # microseconds
    assert ask(release, {})[1] == {"X-Own": "1"}


def test_what_is_printed_names_the_request(release: Path) -> None:
    (release / "app/app.py").write_text(
        """
import threading
def app(environ, start_response):
    print("by the app")
    environ["wsgi.errors"].write("by its errors\\n")
    other = threading.Thread(target=print, args=["by another thread"])
    other.start()
    other.join()
    start_response("200 OK", [])
    return [b""]
"""
    )
    code = (
        "environ = {'FLASK_APACHE_REQUEST_ID': 'abc'}\n"
        "list(entry.application(environ, lambda *_: None))\n"
        "list(entry.application({}, lambda *_: None))\n"
    )
    done = in_pool(release, code)
    lines = [line.rpartition("[shop-blue] ")[2] for line in done.stderr.splitlines()]
    assert lines == [
        *("[request abc] by the app", "[request abc] by its errors", "by another thread"),
        *("by the app", "by its errors", "by another thread"),
    ]


def test_a_pool_without_a_release_shows_a_page(release: Path, tmp_path: Path) -> None:
    """The engine's own probe reads what is the matter instead."""
    (release / "entry.json").unlink()
    status, headers, body = ask(release, {})
    assert (status, body) == ("503 Service Unavailable", b"No release is live in this pool.\n")
    conf = tmp_path / "conf"
    (conf / "pages").mkdir(parents=True)
    (conf / "pages/503.html").write_text("<h1>Back soon</h1>")
    (conf / "entry.wsgi").write_bytes(ENTRY.read_bytes())
    for environ, kind, text in (
        ({}, "text/html; charset=utf-8", b"<h1>Back soon</h1>"),
        ({"FLASK_APACHE_PROBE": "1"}, "text/plain", b"No release is live in this pool.\n"),
    ):
        done = run(release, "-c", POOL + ASK.format(environ=environ, descriptor=2), str(conf / "entry.wsgi"))
        status, headers, body = eval(done.stderr)  # noqa: S307 - the test's own
        assert (status, headers["Content-Type"], body) == ("503 Service Unavailable", kind, text)


@pytest.mark.parametrize("answer", ["return answer(start_response)", "yield from answer(start_response)"])
def test_the_readiness_address_tells_its_status_only(release: Path, answer: str) -> None:
    (release / "app/app.py").write_text(
        f"""
class Body(list):
    def close(self):
        open("closed", "w")
def answer(start_response):
    start_response("203 Maybe", [("Content-Type", "text/html"), ("Set-Cookie", "secret=1")])
    return Body([b"the secret"])
def app(environ, start_response):
    {answer}
"""
    )
    found = ask(release, {"FLASK_APACHE_PATH": "/", "FLASK_APACHE_STATUS_ONLY": "1"})
    assert found == ("203 Maybe", {"Content-Type": "text/plain", "Content-Length": "0"}, b"")
    assert (release / "app/closed").exists() == answer.startswith("return")
    (release / "app/app.py").write_text((release / "app/app.py").read_text().replace("yield from", "return"))
    whole = ask(release, {"FLASK_APACHE_PATH": "/"})
    assert whole == ("203 Maybe", {"Content-Type": "text/html", "Set-Cookie": "secret=1"}, b"the secret")
