"""Only commits and tags that are signed by a signer are used."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.unit.flask_apachectl.build.sources import content, sh

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.flask_apachectl.build.sources import Get


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
    assert "(HEAD) is not signed, so it is refused" in unsigned["msg"]
    sh(SIGNED[what].format(key=signers / "ann"), repository)
    refused = get("git", repository, git_version=version, git_signers=[eve])
    assert "so it is refused" in refused["msg"]
    answer = get("git", repository, git_version=version, git_signers=[eve, ann])
    assert content(answer)["app.py"] == "app = 2\n"
    # What the host has is verified again if the signers have changed, but not otherwise.
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
    assert "so it is refused" in get("git", repository, git_version="newest", git_signers=[ann])["msg"]
