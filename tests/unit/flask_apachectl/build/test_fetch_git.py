"""Sources in git repositories on this machine, and what can be wrong with them."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.build import fetch
from flask_apachectl.build.fetch import git as git_sources
from tests.unit.flask_apachectl.build.sources import content, sh

if TYPE_CHECKING:
    from tests.unit.flask_apachectl.build.sources import Get


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
    """Also a commit that no branch points to, and from a server that only sends branches and tags."""
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
    shutil.rmtree(repository / ".git/objects")  # fetching fails now
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
    assert "refers to a repository with a protocol that is not allowed" in get("git", repository)["msg"]
    assert not ran.exists()


def test_hooks_and_filters_of_nobody_run(
    get: Get, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the user's configuration nor the repository's starts a program."""
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
    assert "keeps logo.png in Git LFS, which is not supported" in get("git", repository)["msg"]


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("mian", "has no branch or tag mian (flask_apache_git_version): it has main"),
        ("v2", "has no branch or tag v2 (flask_apache_git_version): it has v1"),
        ("0123456789", "write all 40 digits of the commit"),
        ("0" * 40, f"has no commit {'0' * 40} (flask_apache_git_version)"),
        ("both", "has both a branch and a tag both: write refs/heads/both or refs/tags/both"),
    ],
)
def test_a_version_that_is_not_there(get: Get, repository: Path, version: str, says: str) -> None:
    sh("git branch both && git tag both", repository)
    assert says in get("git", repository, git_version=version)["msg"]


def test_a_repository_that_is_not_there(get: Get, tmp_path: Path) -> None:
    says = "the repository does not exist, or the credentials do not allow reading it"
    assert get("git", tmp_path / "nowhere")["msg"] == f"{tmp_path}/nowhere cannot be fetched: {says}"


def test_a_fetch_ends(get: Get, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text("#!/bin/sh\nsleep 60\n")
    (tmp_path / "bin/ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    source = f"ssh://git@git.example.com{repository}"
    assert get("git", source, seconds=0.5)["msg"] == f"{mask(source)} was not fetched within 0.5 s"


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
        ("ssh: Could not resolve hostname nowhere: Name or service not known", "its host name cannot be resolved"),
        ("ssh: connect to host x port 22: Connection refused", "it cannot be reached"),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", "it rejects the credentials"),
        ("fatal: repository 'https://u:p@h/x/' not found", "the repository does not exist"),
        ("remote: hello\nfatal: https://u:p@h/x: an odd error", "fatal: https://****@h/x: an odd error"),
        ("", "git gave no reason"),
    ],
)
def test_a_failure_says_what_it_means(said: str, meant: str) -> None:
    assert git_sources.meaning(said).startswith(meant)


def test_credentials_of_a_url_reach_the_server_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They appear neither in arguments, which every user can see, nor in messages."""
    wanted = fetch.Wanted("git", "https://me:t%40ken@git.example.com:8443/shop.git", str(tmp_path))
    git = git_sources.Git(wanted, tmp_path, tmp_path / "tree")
    assert (git.url, git.shown) == (
        "https://git.example.com:8443/shop.git",
        "https://****@git.example.com:8443/shop.git",
    )
    monkeypatch.setattr(os, "environ", git.environment)
    question = "protocol=https\nhost=git.example.com:8443\n\n"
    assert "username=me\npassword=t@ken" in git.program(["git", "credential", "fill"], stdin=question)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.is_file()} == {0o600}
