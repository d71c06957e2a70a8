"""Requirements files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.build.locks import DependencyError, requirements
from tests.unit.flask_apachectl.build.plans import (
    ONE,
    plan,
    refused,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_requirements_files_are_handed_on(tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt", "limits.txt"):
        (tmp_path / name).write_text("flask\n")
    found = plan(tmp_path, requirements=["one.txt", "two.txt"], constraints=["limits.txt"])
    assert found["steps"] == [["-r", "one.txt", "-r", "two.txt", "-c", "limits.txt"]]
    assert not found["tied"]


@pytest.mark.parametrize("text", [f"flask==3.1 --hash={ONE}\n", f"-r base.txt\nflask==3.1 \\\n    --hash={ONE}\n"])
def test_hashes_are_required_as_soon_as_there_are_some(tmp_path: Path, text: str) -> None:
    (tmp_path / "base.txt").write_text("")
    (tmp_path / "requirements.txt").write_text(text)
    assert plan(tmp_path)["steps"] == [["--require-hashes", "-r", "requirements.txt"]]


@pytest.mark.parametrize(
    "line",
    ["-r {}", "-r{}", "-c {}", "--requirement {}", "--requirement={}", "--constraint={}", "  -r {}  # why", "-c\t{}"],
)
def test_an_included_file_counts(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements.txt").write_text(line.format("requirements/base.txt") + "\n")
    (tmp_path / "requirements/base.txt").write_text("-r more.txt\n")  # relative to the file that includes it
    (tmp_path / "requirements/more.txt").write_text("flask==3.1\n")
    before = plan(tmp_path)["inputs"]
    (tmp_path / "requirements/more.txt").write_text("flask==3.2\n")
    assert plan(tmp_path)["inputs"] != before


def test_requirements_that_include_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r other.txt\n-r requirements.txt\nflask\n")
    (tmp_path / "other.txt").write_text("-r ./requirements.txt\nclick\n")
    lines = list(requirements.requirement_lines(tmp_path, "requirements.txt", set()))
    assert [line for line in lines if not line.startswith("-r")] == ["click", "flask"]


def test_a_missing_included_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r gone.txt\n")
    assert re.match(r"the requirements file gone\.txt cannot be read: .*No such file", refused(tmp_path))


def test_a_binary_requirements_file_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe")
    assert "requirements.txt must be UTF-8" in refused(tmp_path)


@pytest.mark.parametrize("line", ["-e .", "--editable=lib", "-e ./lib", "-e file:lib"])
def test_a_link_into_the_build_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"flask\n{line}\n")
    assert "must not be editable, which would link to this one build: write " in refused(tmp_path)


@pytest.mark.parametrize(
    ("line", "local"),
    [
        ("flask==3.1", False),
        ("flask[async]>=3 ; python_version < '3.12' # why", False),
        ("flask @ https://example.com/flask-3.1.whl", False),
        ("flask @ git+https://example.com/a/flask@main#egg=flask", False),
        ("https://example.com/a/flask.whl", False),
        ("--index-url https://user:secret@pypi.example.com/simple", False),
        ("--hash=sha256:0123456789abcdef", False),
        ("-r base.txt", False),
        ("--no-binary :all:", False),
        ("", False),
        (".", True),
        ("  ./lib", True),
        (".[dev]", True),
        ("..", True),
        ("-e .", True),
        ("-e.", True),
        ("--editable lib", True),
        ("lib/", True),
        ("lib @ file:vendor/lib.whl", True),
        ("--find-links vendor", True),
        ("-f vendor", True),
        # A comment is not a path. pip-compile writes such comments; each deploy would build a virtual environment.
        pytest.param("    # via -r requirements/base.in", False),
        pytest.param("#    uv pip compile requirements/base.in -o requirements.txt", False),
        pytest.param("flask # see docs/flask.md", False),
        # The content of an included file matters, its path does not.
        pytest.param("-r requirements/base.txt", False),
        pytest.param("-c ../constraints.txt", False),
        pytest.param("lib-1.0-py3-none-any.whl", True),  # pip installs an existing file
        pytest.param("lib @ file:///srv/wheels/lib.whl", True),  # the same file as /srv/wheels/lib.whl
    ],
)
def test_what_is_the_sources_own(line: str, *, local: bool) -> None:
    assert requirements.is_local(line) is local


@pytest.mark.parametrize("line", ["./lib", "lib @ file:vendor/lib.whl", "--find-links=vendor", "/srv/wheels/a.whl"])
def test_a_local_path_ties_the_virtual_environment_to_the_source(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"flask\n{line}\n")
    assert plan(tmp_path)["tied"]


def test_an_included_address_is_pips_business(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-c https://example.com/constraints.txt\nflask\n")
    assert plan(tmp_path)["steps"] == [["-r", "requirements.txt"]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("flask==3.1.0\r\n".encode("utf-16"), "must be UTF-8, got UTF-16"),
        ("flask==3.1.0\r\n".encode("utf-16-le"), "must be UTF-8, got UTF-16"),
        (b"flask\n# caf\xe9\n", r"must be UTF-8, got another encoding \(byte 0xe9 in line 2\)"),
    ],
    ids=["with a byte order mark", "without", "latin-1"],
)
def test_another_encoding_is_named_with_the_way_to_convert_it(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "requirements.txt").write_bytes(content)
    with pytest.raises(DependencyError, match=f"the requirements file requirements.txt {expected}.*iconv -f"):
        list(requirements.requirement_lines(tmp_path, "requirements.txt", set()))


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes("flask\n".encode("utf-8-sig"))
    assert list(requirements.requirement_lines(tmp_path, "requirements.txt", set())) == ["flask"]
