"""What the app depends on: files, indexes, arguments, a wheelhouse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.checks import values
from tests.unit.controller.given import errors, variables

PRIVATE = "https://user:correct%20horse@pypi.example.com/simple"


@pytest.mark.parametrize(
    "own",
    [
        {"requirements": None},
        {"requirements": ["requirements.txt"], "constraints": ["requirements.txt"]},
        {"extras": ["pg", "my.extra_2"]},
        {"index_url": "https://pypi.example.com/simple", "extra_index_urls": ["http://127.0.0.1:8080/"]},
        {
            "index_url": "https://user:p%40ss@pypi.example.com/a",
            "extra_index_urls": ["https://user:p%40ss@pypi.example.com/b"],
        },
        {"installer": "uv", "uv_version": "0.13"},
        {"system_packages": ["libpq5", "g++", "libstdc++-12-dev"]},
        {"pip_args": ["--find-links=git+ssh://git@example.com/x"]},
        {"pip_args": ["--proxy", "user:password@proxy.example.com:3128"]},
        {"pip_args": ["--proxy=http://user:password@proxy.example.com:3128"]},
    ],
    ids=repr,
)
def test_dependencies_that_work_are_accepted(source: Path, own: dict[str, Any]) -> None:
    assert errors(variables(source, **own)) == []


ADDRESS = (
    "must be an address such as https://host/path or https://user:password@host/path, got a value that is not shown; "
    "percent-encode special characters in the user and password"
)
BOTH = "must contain a user and a password, or neither of them, got a value that is not shown"


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ({"index_url": "pypi.example.com"}, f"index_url {ADDRESS}"),
        ({"index_url": "https://u:a/b@example.com"}, f"index_url {ADDRESS}"),
        ({"index_url": "https://a b@example.com"}, f"index_url {ADDRESS}"),
        ({"index_url": "https://[/"}, f"index_url {ADDRESS}"),
        ({"index_url": "https://token@example.com"}, f"index_url {BOTH}"),
        ({"index_url": "https://:b@example.com"}, f"index_url {BOTH}"),
        (
            {"extra_index_urls": [PRIVATE]},
            (
                "extra_index_urls[0] must have a user and a password without spaces, quotes and backslashes, got a "
                "value that is not shown"
            ),
        ),
        (
            {"index_url": "https://a:b@example.com/1", "extra_index_urls": ["https://a:c@example.com/2"]},
            (
                "extra_index_urls[0] must have the same user and password as the other addresses on example.com, got a "
                "value that is not shown"
            ),
        ),
        (
            {"pip_args": ["--extra-index-url", "https://a:b@example.com"]},
            (
                "pip_args[1] must not contain credentials, got 'https://****@example.com'; every user of the host "
                "could see them: use flask_apache_index_url or flask_apache_extra_index_urls"
            ),
        ),
        (
            {"pip_args": ["--proxy", "a:b@proxy", "--index-url", "a:b@example.com:1"]},
            (
                "pip_args[3] must not contain credentials, got '****@example.com:1'; every user of the host could see "
                "them: use flask_apache_index_url or flask_apache_extra_index_urls"
            ),
        ),
        ({"extras": ["a,b"]}, "extras[0] must be the name of an extra, such as postgresql, got 'a,b'"),
        (
            {"system_packages": ["libpq5 nginx"]},
            "system_packages[0] must be the name of a package of the distribution, such as libpq5, got 'libpq5 nginx'",
        ),
        (
            {"constraints": ["/etc/limits.txt"]},
            (
                "constraints[0] must be the relative path of a file in the source, such as constraints.txt, got "
                "'/etc/limits.txt'"
            ),
        ),
        ({"uv_version": "latest"}, "uv_version must be a version of uv, such as 0.13.9, got 'latest'"),
        (
            {"wheelhouse": "wheels"},
            (
                "wheelhouse must be the absolute path of a directory on the control node that contains wheels, got "
                "'wheels'"
            ),
        ),
        ({"wheelhouse": "/\0"}, "wheelhouse must not contain control characters, got '/\\x00'"),
        ({"requirements": "requirements.txt"}, "requirements must be a list such as [a, b], got 'requirements.txt'"),
    ],
    ids=repr,
)
def test_dependencies_that_cannot_work_are_refused(source: Path, own: dict[str, Any], line: str) -> None:
    assert f"flask_apache_{line}" in errors(variables(source, **own))


@pytest.mark.parametrize("value", [PRIVATE, f"{PRIVATE}\n", f"x{PRIVATE}", [PRIVATE], {PRIVATE: PRIVATE}], ids=type)
@pytest.mark.parametrize("name", ["index_url", "extra_index_urls", "pip_args", "wheelhouse", "source"])
def test_no_error_shows_credentials(source: Path, name: str, value: object) -> None:
    assert "horse" not in str(errors(variables(source, **{name: value})))


def test_a_missing_file_is_refused(source: Path) -> None:
    assert errors(variables(source, requirements=["dev.txt"])) == [
        f"flask_apache_requirements[0] must be a file in {values.shown(str(source))}, got 'dev.txt'"
    ]
    assert errors(variables(source, constraints=["limits.txt"])) == [
        f"flask_apache_constraints[0] must be a file in {values.shown(str(source))}, got 'limits.txt'"
    ]


def test_two_truths_in_a_source_are_refused(source: Path) -> None:
    (source / "uv.lock").touch()
    (found,) = errors(variables(source))
    assert found.startswith("flask_apache_requirements must say what is to be installed: ")
    assert "uv.lock and requirements.txt" in found


def test_a_wheelhouse_has_wheels_and_no_index_beside_it(source: Path) -> None:
    (source / "a-1-py3-none-any.whl").touch()
    assert errors(variables(source, wheelhouse=str(source))) == []
    (found,) = errors(variables(source, wheelhouse=str(source), index_url="https://example.com"))
    assert found.startswith("flask_apache_wheelhouse must be empty with an index_url or extra_index_urls, got ")
    assert found.endswith("; the wheelhouse is used instead of an index: remove one of them")


def test_a_source_that_cannot_be_read_is_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "glob", fail)
    (found,) = errors(variables(source))
    assert found.startswith("flask_apache_source must be readable by the user that runs Ansible, got ")
    assert found.endswith("; Permission denied")
