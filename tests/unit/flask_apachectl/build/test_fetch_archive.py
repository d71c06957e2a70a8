"""Sources in archives, and what can be wrong with them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl.build import fetch
from flask_apachectl.build.fetch import archive as archives
from tests.unit.flask_apachectl.build.sources import checksum, content, tar_of, zip_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.flask_apachectl.build.sources import Get


@pytest.fixture
def use(get: Get, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that gets an archive of these bytes."""

    def used(archive: bytes, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of Wanted
        path = tmp_path / "app.archive"
        path.write_bytes(archive)
        return get("archive", path, **{"archive_checksum": checksum(archive), **more})

    return used


GOOD = (
    ("shop-1.0/app.py", "app = 1\n"),
    ("shop-1.0/latest", {"type": tarfile.SYMTYPE, "linkname": "app.py"}),
    ("shop-1.0/copy.py", {"type": tarfile.LNKTYPE, "linkname": "shop-1.0/app.py"}),
)


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_a_tar_archive(use: Get, mode: str) -> None:
    archive = tar_of(*GOOD, mode=mode)
    answer = use(archive)
    assert answer["id"] == hashlib.sha256(archive).hexdigest()[:12]
    assert content(answer) == {"app.py": "app = 1\n", "copy.py": "app = 1\n"}
    with tarfile.open(answer["archive"]) as tar:
        assert tar.getmember("latest").linkname == "app.py"
        assert tar.getmember("app.py").mtime == 1_000_000_000


def test_a_zip_archive(use: Get) -> None:
    answer = use(
        zip_of(
            ("shop/", "", 0o40755),
            ("shop/app.py", "app = 1\n", 0o100644),
            ("shop/run.sh", "#!/bin/sh\n", 0o100755),
            ("shop/plain", "", 0),  # made on a system without file modes
            ("shop/latest", "app.py", 0o120777),
        )
    )
    assert content(answer) == {"app.py": "app = 1\n", "run.sh": "#!/bin/sh\n", "plain": ""}
    with tarfile.open(answer["archive"]) as tar:
        assert {member.name: member.mode for member in tar} == {
            "app.py": 0o644,
            "run.sh": 0o755,
            "plain": 0o644,
            "latest": 0o777,
        }


def test_only_a_single_directory_at_the_top_is_stripped(use: Get) -> None:
    assert sorted(content(use(tar_of(("shop/app.py", ""), ("wsgi.py", ""))))) == ["shop/app.py", "wsgi.py"]
    assert sorted(content(use(tar_of(("./shop/app.py", ""))))) == ["app.py"]
    assert sorted(content(use(tar_of(("a/b/app.py", "")), source_directory="b"))) == ["app.py"]


BLOCK, LINK, FIFO, DIRECTORY = tarfile.BLKTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE
OUT = "which is a path outside of it"
HOSTILE = {
    "an absolute path": (tar_of(("/etc/cron.d/x", "x")), OUT),
    "a path that climbs": (tar_of(("a/../../x", "x")), OUT),
    "a path that climbs back in": (tar_of(("a/../x", "x")), OUT),
    "an absolute path in zip": (zip_of(("/etc/x", "x", 0)), OUT),
    "a path that climbs in zip": (zip_of(("../x", "x", 0)), OUT),
    "an absolute link": (tar_of(("x", {"type": LINK, "linkname": "/etc/passwd"})), "outside of the source"),
    "a link that climbs": (
        tar_of(("a/x", ""), ("a/y", {"type": LINK, "linkname": "../../z"})),
        "outside of the source",
    ),
    "a link that climbs in zip": (zip_of(("x", "../../y", 0o120777)), "outside of the source"),
    "a link to the archive's name": (
        tar_of(("a/x", {"type": LINK, "linkname": "../a/y"}), ("a/y", "")),
        "outside of the source",
    ),
    "a way through a link": (
        tar_of(("a", {"type": LINK, "linkname": "/tmp"}), ("a/x", "x")),
        "whose path goes through a link",
    ),
    "a way through a link in zip": (zip_of(("a", "/tmp", 0o120777), ("a/x", "x", 0)), "whose path goes through a link"),
    "a directory in place of a link": (
        tar_of(("a", {"type": LINK, "linkname": "/tmp"}), ("a", {"type": DIRECTORY})),
        "twice",
    ),
    "a file in place of a link": (tar_of(("a", {"type": LINK, "linkname": "/tmp/x"}), ("a", "x")), "twice"),
    "a file twice": (tar_of(("a", "x"), ("./a", "y")), "twice"),
    "a file in place of a directory": (tar_of(("a/b", "x"), ("a", "y")), "twice"),
    "a file below a file": (tar_of(("a", "x"), ("a/b", "y")), "twice"),
    "a second name of a file outside": (tar_of(("x", {"type": tarfile.LNKTYPE, "linkname": "/etc/shadow"})), OUT),
    "a second name of nothing": (
        tar_of(("x", {"type": tarfile.LNKTYPE, "linkname": "y"})),
        "a file that it does not contain",
    ),
    "a second name of a link": (
        tar_of(("y", {"type": LINK, "linkname": "/etc/shadow"}), ("x", {"type": tarfile.LNKTYPE, "linkname": "y"})),
        "a file that it does not contain",
    ),
    "a device": (tar_of(("sda", {"type": BLOCK, "devmajor": 8})), "not a file, directory or link"),
    "a pipe": (tar_of(("pipe", {"type": FIFO})), "not a file, directory or link"),
    "a device in zip": (zip_of(("sda", "", 0o060660)), "not a file, directory or link"),
    "a bomb in tar": (tar_of(("zeros", "\0" * 2**25)), "more than 200 times its size"),
    "a bomb in zip": (zip_of(("zeros", "\0" * 2**25, 0)), "more than 200 times its size"),
    "half an archive": (tar_of(("x", os.urandom(5000).hex()))[:2000], "is damaged"),
    "half a zip archive": (zip_of(("x", "x" * 100, 0))[:-30], "is damaged"),
    "no tar archive": (gzip.compress(b"hello" * 1000), "is damaged"),
    "no archive": (b"<html>", "must be a tar.gz, tar.xz, tar.bz2 or zip file"),
    "nothing": (b"", "must be a tar.gz, tar.xz, tar.bz2 or zip file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused(use: Get, tmp_path: Path, name: str) -> None:
    archive, says = HOSTILE[name]
    before = {path.name for path in tmp_path.iterdir()} | {"app.archive", "cache"}
    answer = use(archive)
    assert says in answer["msg"]
    assert str(tmp_path) not in answer["msg"]
    assert {path.name for path in tmp_path.iterdir()} == before
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["lock"]


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_ENTRIES", 3)
    (tmp_path / "archive").write_bytes(tar_of(*((f"{number}", "") for number in range(4))))
    with pytest.raises(fetch.SourceError, match="contains more than 3 entries"):
        archives.unpack(tmp_path / "archive", tmp_path / "tree")


def test_an_archive_with_another_checksum_is_refused(use: Get) -> None:
    archive, other = tar_of(*GOOD), f"sha256:{'0' * 64}"
    message = use(archive, archive_checksum=other)["msg"]
    assert message.endswith(
        f"has the checksum {checksum(archive)}, not flask_apache_archive_checksum: "
        "check that it is the right file, then correct the checksum"
    )


class Server(ThreadingHTTPServer):
    """A web server that serves one archive to clients with the password, and counts requests."""

    archive = tar_of(*GOOD)
    requests = 0


class Handler(BaseHTTPRequestHandler):
    """Answer one request."""

    server: Server

    def do_GET(self) -> None:
        """Answer with the archive, or 401."""
        self.server.requests += 1
        allowed = self.headers["Authorization"] == f"Basic {base64.b64encode(b'me:s/cret').decode()}"
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(self.server.archive if allowed else b"")

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield http
        http.shutdown()


def test_a_download(get: Get, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    place = f"127.0.0.1:{server.server_port}/shop.tar.gz"
    wanted = {"source": f"http://me:s%2Fcret@{place}", "archive_checksum": checksum(server.archive)}
    assert get("archive", **wanted, plan=True)["archive"] is None
    assert server.requests == 0
    answer = get("archive", **wanted)
    assert content(answer)["app.py"] == "app = 1\n"
    assert get("archive", **wanted) == answer
    assert get("archive", **wanted, have=[answer["id"]])["archive"] is None
    assert server.requests == 1
    Path(answer["archive"]).unlink()
    refused = get("archive", f"http://me:wrong@{place}", archive_checksum=checksum(server.archive))
    assert refused["msg"] == f"http://****@{place} cannot be downloaded: Unauthorized"
