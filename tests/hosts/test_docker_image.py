"""The template's workflow: `docker build`, `docker run`, and the container as a citizen of Docker's world."""

from __future__ import annotations

import contextlib
import http.client
import math
import os
import subprocess
import time
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface

from tests.support import archives, hosts
from tests.support.parallel import each
from tests.support.releases import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DISTRIBUTIONS = ("debian-12", "debian-13")
SERVING_SECONDS = 20
CANARY = "do-not-ship-me-5d1c"
NOT_FOR_THE_IMAGE = (".git/config", ".venv/bin/secret", "sample_app/.env", "sample_app/.venv/x", "tests/secret")
NOISY = """

@bp.get("/noise")
def noise() -> str:
    print("a line that the app prints")
    raise RuntimeError("a mistake of the app")
"""
LEFT_OVER = """
find / -xdev \\( -name 'ansible*' -o -name secret_key -o -path /deploy -o -path /opt/ansible \\) -print
find /var/lib/apt/lists /var/cache/apt /var/cache/flask-apache /root/.cache /tmp /var/tmp -type f -size +0
grep -l SECRET_KEY /srv/flask-apache/*/releases/*/env /etc/flask-apache/*/env
true
"""


def docker(*arguments: str) -> str:
    """Run the docker command, and return both of its outputs."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"docker {arguments[0]} ended with {done.returncode}\n{(done.stdout + done.stderr)[-6000:]}"
    )
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Container:
    """A container of the image, published on a free port of this machine."""

    name: str

    @property
    def port(self) -> int:
        """The port of this machine; another one after each start."""
        return int(docker("port", self.name, "80/tcp").strip().rpartition(":")[2])

    def get(self, path: str) -> hosts.Response:
        """Ask as a browser on this machine does."""
        port = self.port
        return hosts.Host(self.name, "", "127.0.0.1").http(path, f"localhost:{port}", port=port)

    def wait(self) -> None:
        """Wait until the app answers."""
        end = time.monotonic() + SERVING_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/flask-apache/healthz").status == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(f"nothing answers after {SERVING_SECONDS} s\n{docker('logs', self.name)}")

    def logs(self) -> subprocess.CompletedProcess[str]:
        """Return what the container wrote to standard output and standard error."""
        return subprocess.run(["docker", "logs", self.name], capture_output=True, text=True, check=True)

    def stop(self) -> float:
        """Stop it as `docker stop` does, and return the seconds that took."""
        began = time.monotonic()
        docker("stop", self.name)
        return time.monotonic() - began

    def run(self, command: str) -> str:
        """Run a shell command in it."""
        return docker("exec", self.name, "sh", "-c", command)


@pytest.fixture(scope="module")
def built(image: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Return the image's tag for every distribution, built from a clone with a noisy app and private files."""
    clone = tmp_path_factory.mktemp("clone")
    archives.copy_tree(clone)
    with (clone / "sample_app/flask_apache_sample/pages.py").open("a") as pages:
        pages.write(NOISY)
    for name in NOT_FOR_THE_IMAGE:
        path = clone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CANARY)
    tags = [f"flask-apache-test-app:{distribution}-{os.getpid()}" for distribution in DISTRIBUTIONS]

    def build(tag: str) -> None:
        base = image(next(name for name in DISTRIBUTIONS if name in tag))
        docker("build", "--pull=false", "--force-rm", f"--build-arg=BASE={base}", f"--tag={tag}", str(clone))

    each(tags, build)
    yield tags
    docker("image", "rm", "--force", *tags)


@pytest.fixture
def start() -> Iterator[Callable[..., Container]]:
    """Return a function that does `docker run -d -p 127.0.0.1:PORT:80`."""
    started: list[str] = []

    def run(tag: str, *flags: str) -> Container:
        owner = f"--label={hosts.OWNER_LABEL}={os.getpid()}"
        started.append(docker("run", "--detach", "--publish=127.0.0.1::80", owner, *flags, tag).strip()[:12])
        container = Container(started[-1])
        container.wait()
        return container

    yield run
    docker("rm", "--force", "--volumes", *started)


def test_the_app_is_served_and_its_logs_are_dockers(built: list[str], start: Callable[..., Container]) -> None:
    def serve(tag: str) -> None:
        container = start(tag)
        front_page = container.get("/flask-apache/")
        assert front_page.status == 200
        assert front_page.headers.get_content_type() == "text/html"
        assert container.get("/flask-apache/noise").status == 500
        assert wait_until(lambda: "/noise" in container.logs().stdout, 20)
        logs = container.logs()
        for line in ('GET /flask-apache/ HTTP/1.1" 200', 'GET /flask-apache/noise HTTP/1.1" 500'):
            assert line in logs.stdout
        for line in (
            "a line that the app prints",
            "Traceback",
            "RuntimeError: a mistake of the app",
            "resuming normal",
        ):
            assert line in logs.stderr
        assert "Traceback" not in logs.stdout
        status = container.run("flask-apachectl status")
        assert "flask-apache serves" in status
        assert "blue   live" in status

    each(built, serve)


def test_it_stops_within_a_second_and_starts_again(built: list[str], start: Callable[..., Container]) -> None:
    # One after the other: the seconds are measured.
    for tag in built:
        container = start(tag)
        seconds = [math.inf]
        for _ in range(5):  # the quickest one counts: this machine may be busy
            if min(seconds) < 1:
                break
            seconds.append(container.stop())
            assert docker("inspect", "--format={{.State.ExitCode}}", container.name).strip() == "0"
            docker("start", container.name)
            container.wait()
        assert min(seconds) < 1
        docker("kill", container.name)
        docker("start", container.name)
        container.wait()


def session_key_is(container: Container, key: str) -> bool:
    """Say whether the app signs its sessions with a key."""
    cookie = SimpleCookie(container.get("/flask-apache/guestbook").headers["Set-Cookie"])["session"].value
    app = Flask(__name__)
    app.secret_key = key
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    return serializer.loads_unsafe(cookie)[0]


def test_every_container_has_a_secret_key_of_its_own(built: list[str], start: Callable[..., Container]) -> None:
    def keys(tag: str) -> None:
        first, second = start(tag), start(tag)
        given = start(tag, "--env=SECRET_KEY=given by hand: $1 'and' \"2\"")
        file = "/etc/flask-apache/flask-apache/secret_key"
        key, other = (container.run(f"cat {file}") for container in (first, second))
        assert len(key) >= 64
        assert key != other
        assert session_key_is(first, key)
        assert not session_key_is(second, key)
        assert session_key_is(given, "given by hand: $1 'and' \"2\"")
        assert first.run(f"stat -c '%a %U' {file}").strip() == "600 root"
        first.stop()
        docker("start", first.name)
        first.wait()
        assert session_key_is(first, key)

    each(built, keys)


def test_the_image_holds_what_serves_and_no_more(built: list[str]) -> None:
    def look(tag: str) -> None:
        assert docker("run", "--rm", tag, "sh", "-c", f"({LEFT_OVER}) 2>/dev/null") == ""
        layers = subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE)
        assert layers.stdout is not None
        with layers.stdout as stream:
            before = b""
            while block := stream.read(1 << 20):
                assert CANARY.encode() not in before + block
                before = block[-len(CANARY) :]
        assert layers.wait() == 0

    each(built, look)
