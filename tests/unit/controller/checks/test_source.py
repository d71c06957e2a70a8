"""The source, by its types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controller.checks import source as checks
from controller.checks import values
from tests.unit.controller.given import SECRET, errors, refused, variables

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "own",
    [
        {"wsgi": "package:factory()"},
        {"wsgi": "package:holder.factory('production', 5, {'a': [1, None]}, debug=True)"},
        {"requirements": []},
        {"mod_wsgi_source": "pip", "mod_wsgi_version": "4.9"},
    ],
    ids=repr,
)
def test_what_works_is_accepted(source: Path, own: dict[str, Any]) -> None:
    assert errors(variables(source, **own)) == []


REFUSED = [
    *refused(
        "wsgi",
        "be module:factory() with literal arguments",
        "app:create(config)",
        "app:create(open('/etc/passwd'))",
        "app:create()()",
        "app:create().app.run(1)",
        "app:create({[]: 1})",
        "app:create(*[1])",
    ),
    *refused(
        "wsgi",
        "be module:factory() with literal arguments",
        f"app:create({'-' * 5000}1)",
        got=f"'app:create({'-' * 85}...",
    ),
    *refused(
        "ca_certificates[0]",
        "be the absolute path of a PEM certificate on the control node",
        ["/nowhere"],
        got="'/nowhere'",
    ),
    *refused("ca_certificates[0]", "be the absolute path of a PEM certificate on the control node", ["/"], got="'/'"),
]


@pytest.mark.parametrize(("own", "line"), REFUSED)
def test_a_source_that_is_not_there_is_refused(source: Path, own: dict[str, Any], line: str) -> None:
    assert errors(variables(source, **own)) == [line]


NOT_HERE = "must be the absolute path of a directory on the control node, got"
CERTIFICATE = "flask_apache_ca_certificates[1] must be the absolute path of a PEM certificate on the control node, got"


def test_what_is_not_on_the_control_node_is_refused(source: Path) -> None:
    gone = f"{source}-gone"
    assert errors(variables(source, source=gone)) == [f"flask_apache_source {NOT_HERE} {values.shown(gone)}"]
    assert errors(variables(source, source="app")) == [f"flask_apache_source {NOT_HERE} 'app'"]
    assert errors(variables(source, source="/" + "a" * 5000)) == [f"flask_apache_source {NOT_HERE} '/{'a' * 95}..."]
    assert errors(variables(source, source=None)) == ["flask_apache_source must be a string, got null"]
    (source / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    (source / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    own = variables(source, ca_certificates=[str(source / "ca.pem"), str(source / "key.pem")])
    assert errors(own) == [f"{CERTIFICATE} {values.shown(str(source / 'key.pem'))}"]


HOST_KEY = "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJ0"
KEY = f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END OPENSSH PRIVATE KEY-----\n"
DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    "own",
    [
        {"source_type": "git", "source": "https://git.example.com/shop.git"},
        {"source_type": "git", "source": "https://me:token@git.example.com:8443/shop", "git_version": "release/1.0"},
        {"source_type": "git", "source": "git@git.example.com:me/shop.git", "git_known_hosts": [HOST_KEY]},
        {
            "source_type": "git",
            "source": "ssh://git.example.com:2222/shop",
            "git_known_hosts": [f"@revoked {HOST_KEY}"],
        },
        {"source_type": "git", "source": "https://h/x", "git_key": KEY, "git_depth": "0", "git_submodules": "no"},
        {"source_type": "git", "source": "https://h/x", "git_key": "{source}/key"},
        {"source_type": "git", "source": "https://h/x", "git_key": "{source}/vaulted"},
        {"source_type": "git", "source": "{source}", "source_directory": "not/here yet"},
        {"source_type": "git", "source": "/on/the/host", "git_on": "host", "requirements": ["not-here.txt"]},
        {"source_type": "git", "source": "https://h/x", "git_signers": [f"me@h {HOST_KEY.partition(' ')[2]} me@home"]},
        {"source_type": "git", "source": "https://h/x", "git_signers": [f"{checks.PGP}\n\nmQENB\n"]},
        {"source_type": "archive", "source": "http://h/shop.zip", "archive_checksum": DIGEST},
        {"source_type": "archive", "source": "{source}/shop.tar.gz", "archive_checksum": DIGEST},
        {"source_type": "package", "source": "shop==1.0", "requirements": []},
        {"source_type": "package", "source": "My.Shop[db,cache]==1!2.0rc1+local"},
        {"source_type": "package", "source": "{source}/s.whl", "package_requirements": ["x==1; python_version<'3.12'"]},
        {"source_type": "package", "source": "{source}/s.whl[db]"},
        {"source_directory": "backend"},
    ],
    ids=repr,
)
def test_a_source_that_works(source: Path, own: dict[str, Any]) -> None:
    (source / "backend").mkdir()
    for name, text in {
        "backend/requirements.txt": "",
        "key": KEY,
        "vaulted": "$ANSIBLE_VAULT;1.1;AES256\n",
        "shop.tar.gz": "",
        "s.whl": "",
    }.items():
        (source / name).write_text(text)
    filled = {
        key: value.format(source=source) if key != "git_signers" and isinstance(value, str) else value
        for key, value in own.items()
    }
    assert errors(variables(source, **filled)) == []


REPOSITORY = "must be a repository: https://..., ssh://..., git@host:path or an absolute path, got"
GIT = {"source_type": "git", "source": "https://h/x"}
PRIVATE_KEY = "must be a private key, or the absolute path of a file on the control node that contains one, got a value"
ARCHIVE = "must be an archive: https://..., or the absolute path of a file on the control node, got"
CHECKSUM = "must be sha256: followed by the 64 digits that `sha256sum` prints, got"
PACKAGE = "must be a package: name==version, or the absolute path of a wheel, got"
VERSION = "must be a branch, a tag, or all 40 digits of a commit, got"


@pytest.mark.parametrize(
    ("own", "line"),
    [
        (
            GIT | {"source_directory": "../x"},
            "source_directory must be the relative path of a directory in the source, such as backend, got '../x'",
        ),
        (GIT | {"source": "http://me:pass@h/x"}, f"source {REPOSITORY} 'http://****@h/x'"),
        (GIT | {"source": "git://h/x"}, f"source {REPOSITORY} 'git://h/x'"),
        (GIT | {"source": "ext::sh -c id"}, f"source {REPOSITORY} 'ext::sh -c id'"),
        (GIT | {"source": "ssh://-oProxyCommand=id/x"}, f"source {REPOSITORY} 'ssh://-oProxyCommand=id/x'"),
        (GIT | {"source": "--upload-pack=id"}, f"source {REPOSITORY} '--upload-pack=id'"),
        (
            GIT | {"source": "/nowhere"},
            "source must be the absolute path of a repository on the control node, got '/nowhere'",
        ),
        (
            GIT | {"source": "git@h:x"},
            (
                "git_known_hosts must contain a host key of h, got []; add the output of `ssh-keyscan h` after "
                "comparing its fingerprints with those that the server's operator publishes"
            ),
        ),
        (
            GIT | {"git_known_hosts": ["h"]},
            (
                "git_known_hosts[0] must be a line of a known_hosts file, such as git.example.com ssh-ed25519 "
                "AAAA..., got 'h'"
            ),
        ),
        (GIT | {"git_version": "-x"}, f"git_version {VERSION} '-x'"),
        (GIT | {"git_version": "a..b"}, f"git_version {VERSION} 'a..b'"),
        (GIT | {"git_depth": -1}, "git_depth must be a number of commits from 0 to 2147483647 (0 for all), got -1"),
        (
            GIT | {"git_signers": ["me"]},
            "git_signers[0] must be a line of an allowed_signers file or an armored OpenPGP public key, got 'me'",
        ),
        (GIT | {"git_key": SECRET}, f"git_key {PRIVATE_KEY} that is not shown"),
        (GIT | {"git_key": "/nowhere"}, f"git_key {PRIVATE_KEY} that is not shown"),
        (
            {"source_type": "archive", "source": "ftp://h/x", "archive_checksum": DIGEST},
            f"source {ARCHIVE} 'ftp://h/x'",
        ),
        ({"source_type": "archive", "source": "https://h/x"}, f"archive_checksum {CHECKSUM} ''"),
        (
            {"source_type": "archive", "source": "https://h/x", "archive_checksum": "sha1:0"},
            f"archive_checksum {CHECKSUM} 'sha1:0'",
        ),
        ({"source_type": "package", "source": "shop"}, f"source {PACKAGE} 'shop'"),
        ({"source_type": "package", "source": "shop>=1"}, f"source {PACKAGE} 'shop>=1'"),
        ({"source_type": "package", "source": "--pre shop==1"}, f"source {PACKAGE} '--pre shop==1'"),
        (
            {"source_type": "package", "source": "/nowhere.whl"},
            "source must be the absolute path of a wheel on the control node, got '/nowhere.whl'",
        ),
        (
            {"source_type": "package", "source": "shop==1", "source_directory": "a"},
            "source_directory must be empty for a package, got 'a'",
        ),
        (
            {"source_type": "package", "source": "shop==1", "requirements": ["dev.txt"]},
            ("requirements must be [] or null for a package, got ['dev.txt']; use flask_apache_package_requirements"),
        ),
    ],
    ids=repr,
)
def test_a_source_that_does_not_work(source: Path, own: dict[str, Any], line: str) -> None:
    assert errors(variables(source, **own)) == [f"flask_apache_{line}"]


def test_a_directory_that_the_source_does_not_have(source: Path) -> None:
    assert errors(variables(source, source_directory="nowhere")) == [
        f"flask_apache_source_directory must be a directory in {values.shown(str(source))}, got 'nowhere'"
    ]
