"""Sources that are fetched: from repositories and archives of this machine, with what may be wrong with them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.programs import FILES, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Get = Callable[..., dict[str, Any]]

fetch = load("fetch.py")

IDENTITY = {
    **{f"GIT_{who}_{what}": f"{what}@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    **{f"GIT_{who}_DATE": "2026-01-02T03:04:05Z" for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PATH": os.environ["PATH"],
}


def sh(command: str, cwd: Path, **environment: str) -> str:
    """Run a shell command and return what it printed, without the line's end."""
    argv = ["sh", "-c", command]
    done = subprocess.run(argv, cwd=cwd, env=IDENTITY | environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def get(tmp_path: Path) -> Get:
    """Return a function that gets a source, as the role does."""

    def got(kind: str, source: str | Path, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of Wanted
        wanted = {"type": kind, "source": str(source), "cache": str(tmp_path / "cache"), **more}
        program = [sys.executable, "-B", str(FILES / "fetch.py")]
        done = subprocess.run(program, input=json.dumps(wanted), capture_output=True, check=False, text=True)
        assert done.stderr == ""
        answer: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == int(answer.get("failed", False))
        assert list((tmp_path / "cache").glob("work-*")) == []
        return answer

    return got


def content(answer: dict[str, Any]) -> dict[str, str]:
    """Return the files of a packed source, with their text."""
    assert not answer.get("failed"), answer
    with tarfile.open(answer["archive"]) as tar:
        return {
            member.name: file.read().decode() for member in tar if member.isreg() and (file := tar.extractfile(member))
        }


# --- git -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with a branch, tags, and an app in a directory of its own."""
    path = tmp_path_factory.mktemp("git") / "repository"
    path.mkdir()
    (path / "app.py").write_text("app = 1\n")
    (path / "backend").mkdir()
    (path / "backend/api.py").write_text("api = 1\n")
    (path / "run.sh").write_text("#!/bin/sh\n")
    (path / "run.sh").chmod(0o755)
    sh("git init -q -b main && git add . && git commit -q -m one", path)
    sh("git tag light && git tag -a -m 'v1' v1 && git branch release/1", path)
    (path / "app.py").write_text("app = 2\n")
    sh("git commit -q -a -m two && git config uploadpack.allowAnySHA1InWant true", path)
    return path


@pytest.fixture
def repository(base: Path, tmp_path: Path) -> Path:
    """Return a copy of the repository that a test may change."""
    return Path(shutil.copytree(base, tmp_path / "repository", symlinks=True))


@pytest.mark.parametrize(
    ("version", "revision"),
    [
        ("HEAD", "main"),
        ("main", "main"),
        ("release/1", "main~1"),
        ("light", "main~1"),
        ("v1", "main~1"),
        ("refs/tags/v1", "main~1"),
        ("refs/heads/main", "main"),
    ],
)
def test_a_version_is_a_branch_or_a_tag(get: Get, repository: Path, version: str, revision: str) -> None:
    commit = sh(f"git rev-parse {revision}", repository)
    answer = get("git", repository, git_version=version)
    assert (answer["id"], answer["commit"]) == (commit[:12], commit)
    files = content(answer)
    assert sorted(files) == ["app.py", "backend/api.py", "run.sh"]
    assert files["app.py"] == ("app = 2\n" if revision == "main" else "app = 1\n")


@pytest.mark.parametrize("allowed", ["true", "false"])
def test_a_version_is_a_commit(get: Get, repository: Path, allowed: str) -> None:
    """Also one that no branch points to, and where the server hands out nothing else."""
    sh(f"git config uploadpack.allowAnySHA1InWant {allowed} && git config protocol.version 0", repository)
    commit = sh("git rev-parse main~1", repository)
    assert content(get("git", repository, git_version=commit))["app.py"] == "app = 1\n"


def test_the_archive_is_the_same_wherever_it_is_made(get: Get, repository: Path, tmp_path: Path) -> None:
    digests = set()
    for cache in ("one", "two"):
        answer = get("git", repository, cache=str(tmp_path / cache))
        digests.add(hashlib.sha256(Path(answer["archive"]).read_bytes()).hexdigest())
    assert len(digests) == 1
    with tarfile.open(answer["archive"]) as tar:
        members = {member.name: member for member in tar}
    assert {member.mtime for member in members.values()} == {1767323045}  # the commit's
    assert {name: member.mode for name, member in members.items() if member.isreg()} == {
        "app.py": 0o644,
        "backend/api.py": 0o644,
        "run.sh": 0o755,
    }


def test_what_is_at_hand_is_not_fetched_again(get: Get, repository: Path) -> None:
    commit = sh("git rev-parse main", repository)
    first = get("git", repository)
    shutil.rmtree(repository / ".git/objects")  # whoever fetches now fails
    (repository / ".git/objects").mkdir()
    assert get("git", repository, git_version=commit) == first
    Path(first["archive"]).unlink()
    known = get("git", repository, git_version=commit, have=[commit[:12]])
    assert known == {"id": commit[:12], "archive": None, "commit": commit}
    assert get("git", repository, git_version=commit)["failed"]


def test_a_plan_only_asks(get: Get, repository: Path, tmp_path: Path) -> None:
    answer = get("git", repository, plan=True)
    assert answer == {"id": sh("git rev-parse main", repository)[:12], "archive": None, "commit": answer["commit"]}
    assert not (tmp_path / "cache").exists()


def test_a_part_of_it_has_another_id(get: Get, repository: Path) -> None:
    whole = get("git", repository)
    part = get("git", repository, source_directory="backend")
    assert content(part) == {"api.py": "api = 1\n"}
    assert part["id"] != whole["id"]
    assert "has no directory nowhere" in get("git", repository, source_directory="nowhere")["msg"]


def test_submodules(get: Get, repository: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "lib.py").write_text("lib = 1\n")
    sh("git init -q && git add . && git commit -q -m lib", library)
    sh(f"git -c protocol.file.allow=always submodule add -q {library} lib && git commit -q -m sub", repository)
    assert content(get("git", repository))["lib/lib.py"] == "lib = 1\n"
    without = get("git", repository, git_submodules=False)
    assert "lib/lib.py" not in content(without)
    assert without["id"] != get("git", repository)["id"]


@pytest.mark.parametrize("url", ["ext::sh -c 'touch {ran}'", "http://localhost:9/x", "git://localhost:9/x"])
def test_a_submodule_by_another_protocol_is_refused(get: Get, repository: Path, tmp_path: Path, url: str) -> None:
    ran = tmp_path / "ran"
    commit = sh("git rev-parse main", repository)
    (repository / ".gitmodules").write_text(f'[submodule "x"]\npath = x\nurl = "{url.format(ran=ran)}"\n')
    sh(f"git add . && git update-index --add --cacheinfo 160000,{commit},x && git commit -q -m x", repository)
    assert "refers to a repository by a way that is not allowed" in get("git", repository)["msg"]
    assert not ran.exists()


def test_hooks_and_filters_of_nobody_run(
    get: Get, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a user's configuration, nor one that the repository brings, starts a program."""
    ran, hooks = tmp_path / "ran", tmp_path / "home/hooks"
    hooks.mkdir(parents=True)
    for path in (hooks / "post-checkout", repository / ".git/hooks/post-checkout"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {ran}\n")
        path.chmod(0o755)
    (tmp_path / "home/.gitconfig").write_text(
        f'[core]\nhooksPath = {hooks}\n[filter "evil"]\nsmudge = touch {ran}\n[init]\ntemplateDir = {repository}/.git\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (repository / ".gitattributes").write_text("*.py filter=evil\n")
    sh("git add . && git commit -q -m filter", repository)
    assert ".gitattributes" in content(get("git", repository))
    assert not ran.exists()


def test_a_file_in_git_lfs_is_refused(get: Get, repository: Path) -> None:
    (repository / "logo.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    sh("git add . && git commit -q -m lfs", repository)
    assert "keeps logo.png in Git LFS, which is not fetched" in get("git", repository)["msg"]


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("mian", "has no branch or tag mian (flask_apache_git_version): it has main"),
        ("v2", "has no branch or tag v2 (flask_apache_git_version): it has v1"),
        ("0123456789", "write a commit with all its 40 digits"),
        ("0" * 40, f"has no commit {'0' * 40} (flask_apache_git_version)"),
        ("both", "has a branch and a tag both: write refs/heads/both or refs/tags/both"),
    ],
)
def test_a_version_that_is_not_there(get: Get, repository: Path, version: str, says: str) -> None:
    sh("git branch both && git tag both", repository)
    assert says in get("git", repository, git_version=version)["msg"]


def test_a_repository_that_is_not_there(get: Get, tmp_path: Path) -> None:
    says = f"{tmp_path}/nowhere cannot be fetched: there is no such repository, or no right to read it"
    assert get("git", tmp_path / "nowhere")["msg"] == says


def test_a_fetch_ends(get: Get, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text("#!/bin/sh\nsleep 60\n")
    (tmp_path / "bin/ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    source = f"ssh://git@git.example.com{repository}"
    assert get("git", source, seconds=0.5)["msg"] == f"{mask(source)} is not fetched after 0 s"


def mask(url: str) -> str:
    return url.replace("git@", "****@")


SSH = """#!/bin/sh
printf '%s\\n' "$@" >{seen}/argv
while [ $# -gt 2 ]; do
    [ "$1" = -i ] && stat -c '%a' "$2" >{seen}/mode && cat "$2" >{seen}/key && dirname "$2" >{seen}/directory
    case $2 in UserKnownHostsFile=*) cat "${{2#*=}}" >{seen}/known_hosts ;; esac
    shift
done
exec sh -c "$2"
"""


def test_ssh_gets_the_given_key_and_known_hosts_only(
    get: Get, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH.format(seen=seen))
    (tmp_path / "bin/ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/somebody's/agent")
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\r\nsecret\r\n-----END OPENSSH PRIVATE KEY-----"
    known = ["git.example.com ssh-ed25519 AAAA", "other.example.com ssh-rsa BBBB"]
    answer = get("git", f"git@git.example.com:{repository}", git_key=key, git_known_hosts=known)
    assert content(answer)["app.py"] == "app = 2\n"
    assert (seen / "key").read_text() == key.replace("\r\n", "\n") + "\n"
    assert (seen / "mode").read_text() == "600\n"
    assert (seen / "known_hosts").read_text() == "\n".join([*known, ""])
    argv = (seen / "argv").read_text().splitlines()
    assert {"StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null", "BatchMode=yes", "IdentitiesOnly=yes"} < {
        *argv
    }
    assert "secret" not in " ".join(argv)
    assert not Path((seen / "directory").read_text().strip()).exists()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Host key verification failed.\nfatal: Could not read", "its host key is not in flask_apache_git_known_hosts"),
        ("git@h: Permission denied (publickey).\r\nfatal: x", "it does not accept flask_apache_git_key"),
        ("ssh: Could not resolve hostname nowhere: Name or service not known", "its name cannot be resolved"),
        ("ssh: connect to host x port 22: Connection refused", "it cannot be reached"),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", "it wants other credentials"),
        ("fatal: repository 'https://u:p@h/x/' not found", "there is no such repository"),
        ("remote: hello\nfatal: https://u:p@h/x: an odd error", "fatal: https://****@h/x: an odd error"),
        ("", "git says no reason"),
    ],
)
def test_a_failure_says_what_it_means(said: str, meant: str) -> None:
    assert fetch.meaning(said).startswith(meant)


def test_credentials_of_a_url_reach_the_server_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in no argument, which every user could see, and in no message."""
    wanted = fetch.Wanted("git", "https://me:t%40ken@git.example.com:8443/shop.git", str(tmp_path))
    git = fetch.Git(wanted, tmp_path, tmp_path / "tree")
    assert (git.url, git.shown) == (
        "https://git.example.com:8443/shop.git",
        "https://****@git.example.com:8443/shop.git",
    )
    monkeypatch.setattr(os, "environ", git.environment)
    question = "protocol=https\nhost=git.example.com:8443\n\n"
    assert "username=me\npassword=t@ken" in git.program(["git", "credential", "fill"], stdin=question)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.is_file()} == {0o600}


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with ssh keys of two people and an OpenPGP key."""
    path = tmp_path_factory.mktemp("signers")
    for name in ("ann", "eve"):
        sh(f"ssh-keygen -q -t ed25519 -N '' -C '' -f {name}", path)
    (path / "gnupg").mkdir(mode=0o700)
    gpg = {"GNUPGHOME": str(path / "gnupg")}
    sh("gpg -q --batch --passphrase '' --quick-gen-key ann@example.com ed25519 sign never", path, **gpg)
    sh("gpg --armor --export >ann.asc; gpgconf --kill all", path, **gpg)
    return path


SIGNED = {
    "commit": "git -c gpg.format=ssh -c user.signingkey={key} commit -q --allow-empty -S -m signed",
    "tag": (
        "git commit -q --allow-empty -m x && git -c gpg.format=ssh -c user.signingkey={key} tag -s -m s signed && "
        "git checkout -q -B main"
    ),
}


@pytest.mark.parametrize(("what", "version"), [("commit", "main"), ("tag", "signed")])
def test_only_what_a_signer_signed_is_used(get: Get, repository: Path, signers: Path, what: str, version: str) -> None:
    ann, eve = (f"{name}@example.com {(signers / f'{name}.pub').read_text().strip()}" for name in ("ann", "eve"))
    unsigned = get("git", repository, git_signers=[ann])
    assert "(HEAD) is not signed; it is not used" in unsigned["msg"]
    sh(SIGNED[what].format(key=signers / "ann"), repository)
    refused = get("git", repository, git_version=version, git_signers=[eve])
    assert "it is not used" in refused["msg"]
    answer = get("git", repository, git_version=version, git_signers=[eve, ann])
    assert content(answer)["app.py"] == "app = 2\n"
    # What the host has is verified, too, when the signers are others; but not twice.
    had = {"git_version": version, "have": [answer["id"]]}
    assert get("git", repository, **had, git_signers=[eve])["failed"]
    shutil.rmtree(repository / ".git/objects")
    (repository / ".git/objects").mkdir()
    assert get("git", repository, **had | {"git_version": answer["commit"]}, git_signers=[eve, ann])["archive"] is None


def test_openpgp_signatures(get: Get, repository: Path, signers: Path) -> None:
    gpg = {"GNUPGHOME": str(signers / "gnupg")}
    ann = (signers / "ann.asc").read_text()
    eve = f"eve@example.com {(signers / 'eve.pub').read_text().strip()}"
    sh(
        "git -c user.signingkey=ann@example.com commit -q --allow-empty -S -m signed; gpgconf --kill all",
        repository,
        **gpg,
    )
    assert "carries no valid signature" in get("git", repository, git_signers=[eve])["msg"]
    assert content(get("git", repository, git_signers=[eve, ann]))["app.py"] == "app = 2\n"


def test_a_signed_tag_by_another_name_is_refused(get: Get, repository: Path, signers: Path) -> None:
    ann = f"ann@example.com {(signers / 'ann.pub').read_text().strip()}"
    sh(SIGNED["tag"].format(key=signers / "ann"), repository)
    sh("git update-ref refs/tags/newest $(git rev-parse signed) && git tag -d signed", repository)
    assert "it is not used" in get("git", repository, git_version="newest", git_signers=[ann])["msg"]


# --- archive ---------------------------------------------------------------------------------------------------------


def tar_of(*members: tuple[str, Any], mode: str = "w:gz") -> bytes:
    """Return a tar archive: each member is a name, and its text or what to set of its TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, what in members:
            member = tarfile.TarInfo(name)
            member.mtime = 1_000_000_000
            if isinstance(what, dict):
                for key, value in what.items():
                    setattr(member, key, value)
                tar.addfile(member)
            else:
                member.size = len(what)
                tar.addfile(member, io.BytesIO(what.encode()))
    return out.getvalue()


def zip_of(*members: tuple[str, str, int]) -> bytes:
    """Return a zip archive: each member is a name, its text, and its Unix mode."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, text, mode in members:
            member = zipfile.ZipInfo(name, (2026, 1, 2, 3, 4, 6))
            member.external_attr = mode << 16
            zipped.writestr(member, text, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def checksum(archive: bytes) -> str:
    return f"sha256:{hashlib.sha256(archive).hexdigest()}"


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
            ("shop/plain", "", 0),  # from a system without modes
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
OUT = "which leads out of it"
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
        "which leads through a link",
    ),
    "a way through a link in zip": (zip_of(("a", "/tmp", 0o120777), ("a/x", "x", 0)), "which leads through a link"),
    "a directory in place of a link": (
        tar_of(("a", {"type": LINK, "linkname": "/tmp"}), ("a", {"type": DIRECTORY})),
        "twice",
    ),
    "a file in place of a link": (tar_of(("a", {"type": LINK, "linkname": "/tmp/x"}), ("a", "x")), "twice"),
    "a file twice": (tar_of(("a", "x"), ("./a", "y")), "twice"),
    "a file in place of a directory": (tar_of(("a/b", "x"), ("a", "y")), "twice"),
    "a file below a file": (tar_of(("a", "x"), ("a/b", "y")), "twice"),
    "a second name of a file outside": (tar_of(("x", {"type": tarfile.LNKTYPE, "linkname": "/etc/shadow"})), OUT),
    "a second name of nothing": (tar_of(("x", {"type": tarfile.LNKTYPE, "linkname": "y"})), "what it does not hold"),
    "a second name of a link": (
        tar_of(("y", {"type": LINK, "linkname": "/etc/shadow"}), ("x", {"type": tarfile.LNKTYPE, "linkname": "y"})),
        "what it does not hold",
    ),
    "a device": (tar_of(("sda", {"type": BLOCK, "devmajor": 8})), "no file, directory or link"),
    "a pipe": (tar_of(("pipe", {"type": FIFO})), "no file, directory or link"),
    "a device in zip": (zip_of(("sda", "", 0o060660)), "no file, directory or link"),
    "a bomb in tar": (tar_of(("zeros", "\0" * 2**25)), "more than 200 times its size"),
    "a bomb in zip": (zip_of(("zeros", "\0" * 2**25, 0)), "more than 200 times its size"),
    "half an archive": (tar_of(("x", os.urandom(5000).hex()))[:2000], "is damaged"),
    "half a zip archive": (zip_of(("x", "x" * 100, 0))[:-30], "is damaged"),
    "no tar archive": (gzip.compress(b"hello" * 1000), "is damaged"),
    "no archive": (b"<html>", "is neither tar.gz, tar.xz, tar.bz2 nor zip"),
    "nothing": (b"", "is neither tar.gz, tar.xz, tar.bz2 nor zip"),
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
    monkeypatch.setattr(fetch, "MOST_ENTRIES", 3)
    (tmp_path / "archive").write_bytes(tar_of(*((f"{number}", "") for number in range(4))))
    with pytest.raises(fetch.SourceError, match="holds more than 3 entries"):
        fetch.unpack(tmp_path / "archive", tmp_path / "tree")


def test_an_archive_with_another_checksum_is_refused(use: Get) -> None:
    archive, other = tar_of(*GOOD), f"sha256:{'0' * 64}"
    message = use(archive, archive_checksum=other)["msg"]
    assert message.endswith(
        f"has the checksum {checksum(archive)}, not flask_apache_archive_checksum: it is not the file that was meant"
    )


class Server(ThreadingHTTPServer):
    """A web server that hands out one archive, to who knows the password; counts requests."""

    archive = tar_of(*GOOD)
    requests = 0


class Handler(BaseHTTPRequestHandler):
    """Answers a request."""

    server: Server

    def do_GET(self) -> None:
        """Answer with the archive, or 401."""
        self.server.requests += 1
        allowed = self.headers["Authorization"] == f"Basic {base64.b64encode(b'me:s/cret').decode()}"
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(self.server.archive if allowed else b"")

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


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


# --- package, directory ----------------------------------------------------------------------------------------------


def test_a_package_of_an_index(get: Get, tmp_path: Path) -> None:
    answer = get("package", "shop[db]==1.2", package_requirements=["psycopg==3.2.3", "gevent"])
    assert content(answer) == {"requirements.txt": "shop[db]==1.2\npsycopg==3.2.3\ngevent\n"}
    again = get("package", "shop[db]==1.2", package_requirements=["psycopg==3.2.3", "gevent"], cache=f"{tmp_path}/2")
    assert again["id"] == answer["id"]
    assert Path(again["archive"]).read_bytes() == Path(answer["archive"]).read_bytes()
    assert get("package", "shop[db]==1.3")["id"] != answer["id"]


def test_a_wheel(get: Get, tmp_path: Path) -> None:
    wheel = tmp_path / "shop-1.2-py3-none-any.whl"
    wheel.write_text("one")
    answer = get("package", f"{wheel}[db]")
    assert content(answer) == {wheel.name: "one", "requirements.txt": f"./{wheel.name}[db]\n"}
    wheel.write_text("two")
    assert get("package", f"{wheel}[db]")["id"] != answer["id"]


def test_a_directory(get: Get, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "backend/built").mkdir(parents=True)
    for name in ("app.py", "backend/api.py", "backend/built/x.js", "backend/x.log"):
        (source / name).touch()
    (source / ".gitignore").write_text("built\n")
    assert sorted(content(get("directory", source))) == [".gitignore", "app.py", "backend/api.py", "backend/x.log"]
    part = get("directory", source, source_directory="backend", source_exclude=["*.log"])
    assert sorted(content(part)) == ["api.py"]
    every = get("directory", source, source_directory="backend", source_gitignore=False)
    assert sorted(content(every)) == ["api.py", "built/x.js", "x.log"]


def test_a_killed_run_leaves_no_key(repository: Path, tmp_path: Path) -> None:
    """A terminated one removes it; what a run killed at once left is removed by the next."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(f"#!/bin/sh\ntouch {tmp_path}/began\nexec sleep 60\n")
    (tmp_path / "bin/ssh").chmod(0o755)
    (tmp_path / "private").mkdir()
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "TMPDIR": str(tmp_path / "private")}
    wanted = {"type": "git", "source": f"git@h:{repository}", "cache": f"{tmp_path}/cache", "git_key": "key"}
    process = subprocess.Popen(
        [sys.executable, "-B", FILES / "fetch.py"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(wanted).encode())
    process.stdin.close()
    while not (tmp_path / "began").exists():
        assert process.poll() is None
    assert list((tmp_path / "private").glob("*/key"))
    process.terminate()
    process.wait(20)
    assert list((tmp_path / "private").iterdir()) == []
    assert list((tmp_path / "cache").glob("work-*")) == []
