"""What an app's source needs: which file counts, what a lock pins here, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.programs import FILES, load

if TYPE_CHECKING:
    from pathlib import Path

dependencies = load("dependencies.py")

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
PYTHON = "{}.{}".format(*sys.version_info)
OTHER_PYTHON = "3.99"


def plan(source: Path, **question: object) -> dict[str, Any]:
    """Return the plan for a source; by default nothing is said, and the app is app.py."""
    defaults: dict[str, Any] = {
        "requirements": None,
        "constraints": [],
        "extras": [],
        "wsgi": "app:app",
        "lines_file": "/lines",
    }
    (source / "app.py").touch()
    found: dict[str, Any] = dependencies.plan(source, **{**defaults, **question})
    return found


def refused(source: Path, **question: object) -> str:
    """Return why there is no plan for a source."""
    with pytest.raises(dependencies.DependencyError) as caught:
        plan(source, **question)
    return str(caught.value)


def names(lines: list[str]) -> list[str]:
    """Return lines without their hashes."""
    return [line.partition(" --hash")[0] for line in lines]


# --- Which file counts -----------------------------------------------------------------------------------------------

PROJECT = '[project]\nname = "shop"\nversion = "1"\ndependencies = ["flask>=3"]\n'


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], []),
        (["requirements.txt"], ["requirements.txt"]),
        (["requirements.txt", "pyproject.toml"], ["requirements.txt"]),
        (["pyproject.toml"], ["pyproject.toml"]),
        (["uv.lock", "pyproject.toml"], ["uv.lock"]),
        (["poetry.lock", "pyproject.toml"], ["poetry.lock"]),
        (["Pipfile.lock", "Pipfile"], ["Pipfile.lock"]),
        (["pylock.toml"], ["pylock.toml"]),
        (["pylock.prod.toml"], ["pylock.prod.toml"]),
    ],
    ids=str,
)
def test_the_one_file_that_says_it_is_found(tmp_path: Path, files: list[str], found: list[str]) -> None:
    for name in files:
        (tmp_path / name).write_text(PROJECT)
    assert dependencies.choose(tmp_path, None) == found


def test_a_pyproject_of_tools_only_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 99\n")
    assert dependencies.choose(tmp_path, None) == []
    assert plan(tmp_path)["steps"] == []


@pytest.mark.parametrize(
    "files",
    [["uv.lock", "requirements.txt"], ["poetry.lock", "uv.lock"], ["pylock.toml", "pylock.prod.toml"]],
    ids=str,
)
def test_a_lock_is_never_silently_ignored(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).touch()
    message = refused(tmp_path)
    assert message.endswith("which may differ; name the right one in flask_apache_requirements")
    assert all(name in message for name in files)
    assert dependencies.choose(tmp_path, [files[0]]) == [files[0]]


@pytest.mark.parametrize("named", [["uv.lock", "poetry.lock"], ["uv.lock", "requirements.txt"]], ids=str)
def test_a_lock_is_named_alone(tmp_path: Path, named: list[str]) -> None:
    assert "exclude each other: a lock is the whole truth" in refused(tmp_path, requirements=named)


# --- Requirements files ----------------------------------------------------------------------------------------------


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
    (tmp_path / "requirements/base.txt").write_text("-r more.txt\n")  # relative to the file that says it
    (tmp_path / "requirements/more.txt").write_text("flask==3.1\n")
    before = plan(tmp_path)["makings"]
    (tmp_path / "requirements/more.txt").write_text("flask==3.2\n")
    assert plan(tmp_path)["makings"] != before


def test_requirements_that_include_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r other.txt\n-r requirements.txt\nflask\n")
    (tmp_path / "other.txt").write_text("-r ./requirements.txt\nclick\n")
    lines = list(dependencies.requirement_lines(tmp_path, "requirements.txt", set()))
    assert [line for line in lines if not line.startswith("-r")] == ["click", "flask"]


def test_a_missing_included_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-r gone.txt\n")
    assert re.match(r"the requirements file gone\.txt cannot be read: .*No such file", refused(tmp_path))


def test_a_binary_requirements_file_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe")
    assert "requirements.txt cannot be read" in refused(tmp_path)


@pytest.mark.parametrize("line", ["-e .", "--editable=lib", "-e ./lib", "-e file:lib"])
def test_a_link_into_the_build_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"flask\n{line}\n")
    assert "would be a link into this one build: write " in refused(tmp_path)


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
        # A comment is no path: pip-compile writes such ones, and every deploy would build anew.
        pytest.param("    # via -r requirements/base.in", False),
        pytest.param("#    uv pip compile requirements/base.in -o requirements.txt", False),
        pytest.param("flask # see docs/flask.md", False),
        # What an included file says counts by itself; its place does not.
        pytest.param("-r requirements/base.txt", False),
        pytest.param("-c ../constraints.txt", False),
        pytest.param("lib-1.0-py3-none-any.whl", True),  # pip takes an existing file for itself
        pytest.param("lib @ file:///srv/wheels/lib.whl", True),  # as /srv/wheels/lib.whl is
    ],
)
def test_what_is_the_sources_own(line: str, *, local: bool) -> None:
    assert dependencies.is_local(line) is local


@pytest.mark.parametrize("line", ["./lib", "lib @ file:vendor/lib.whl", "--find-links=vendor", "/srv/wheels/a.whl"])
def test_a_local_path_ties_the_virtual_environment_to_the_source(tmp_path: Path, line: str) -> None:
    (tmp_path / "requirements.txt").write_text(f"flask\n{line}\n")
    assert plan(tmp_path)["tied"]


def test_an_included_address_is_pips_business(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("-c https://example.com/constraints.txt\nflask\n")
    assert plan(tmp_path)["steps"] == [["-r", "requirements.txt"]]


# --- pyproject.toml --------------------------------------------------------------------------------------------------

OPTIONAL = '[project.optional-dependencies]\npg = ["psycopg"]\nall = ["shop[pg]", "redis"]\n'
BACKEND = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'


def test_what_a_project_needs_is_installed_and_the_project_runs_from_its_source(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT + OPTIONAL + BACKEND)
    found = plan(tmp_path, extras=["all"])
    assert (found["lines"], found["steps"]) == (["flask>=3", "redis", "psycopg"], [["-r", "/lines"]])
    assert not found["tied"], "a change of code would build anew"


@pytest.mark.parametrize(
    "question", [{"requirements": ["pyproject.toml"]}, {"wsgi": "shop:app"}], ids=["named", "not beside it"]
)
def test_a_project_is_installed_itself_when_it_is_named_or_in_a_directory_of_its_own(
    tmp_path: Path, question: dict[str, Any]
) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT + OPTIONAL + BACKEND)
    found = plan(tmp_path, extras=["pg", "all"], **question)
    assert (found["lines"], found["steps"], found["tied"]) == ([], [[".[pg,all]"]], True)


def test_a_project_is_installed_itself_when_only_its_backend_knows_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\ndynamic = ["dependencies"]\n' + BACKEND)
    assert plan(tmp_path)["steps"] == [["."]]


def test_a_project_with_requirements_files_goes_with_them(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT + BACKEND)
    (tmp_path / "requirements.txt").write_text("click\n")
    question = {"requirements": ["requirements.txt", "pyproject.toml"]}
    assert plan(tmp_path, **question)["steps"] == [["-r", "requirements.txt", "."]]
    (tmp_path / "requirements.txt").write_text(f"click==8 --hash={ONE}\n")
    assert plan(tmp_path, **question)["steps"] == [["--require-hashes", "-r", "requirements.txt"], ["--no-deps", "."]]


def test_an_extra_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT + OPTIONAL)
    assert refused(tmp_path, extras=["mysql"]) == "pyproject.toml has no extra mysql; there is: all, pg"
    (tmp_path / "requirements.txt").touch()
    assert refused(tmp_path, extras=["pg"]).endswith("there is requirements.txt")


def test_a_poetry_project_without_a_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.poetry]\npackage-mode = false\n" + BACKEND)
    assert refused(tmp_path).startswith("pyproject.toml has no table [project] with dependencies")


@pytest.mark.parametrize("text", ["[project\n", "\xff"], ids=repr)
def test_a_damaged_pyproject_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_bytes(text.encode("latin-1"))
    assert "pyproject.toml is damaged" in refused(tmp_path, requirements=["pyproject.toml"])


# --- Locks -----------------------------------------------------------------------------------------------------------

INDEX = '{ registry = "https://pypi.example.com/simple" }'
UV = f"""
version = 1
revision = 3
requires-python = ">=3.8"

[[package]]
name = "shop"
version = "1"
source = {{ virtual = "." }}
dependencies = [
    {{ name = "flask", extra = ["async"] }},
    {{ name = "colorama", marker = "sys_platform == 'win32'" }},
    {{ name = "fork", version = "1", source = {INDEX}, marker = "python_version < '{PYTHON}'" }},
    {{ name = "fork", version = "2", source = {INDEX}, marker = "python_version >= '{PYTHON}'" }},
]

[package.optional-dependencies]
pg = [{{ name = "psycopg" }}]

[package.dev-dependencies]
dev = [{{ name = "pytest" }}]

[package.metadata]
requires-dist = [
    {{ name = "flask", extras = ["async"], specifier = ">=3,<4" }},
    {{ name = "colorama", marker = "sys_platform == 'win32'" }},
    {{ name = "fork" }},
    {{ name = "psycopg", marker = "extra == 'pg'" }},
]
""" + "".join(
    f"""
[[package]]
name = "{name}"
version = "{version}"
source = {INDEX}
dependencies = [{", ".join(f'{{ name = "{each}" }}' for each in needs)}]
sdist = {{ url = "https://example.com/a.tar.gz", hash = "{ONE}", size = 1 }}
wheels = [{{ url = "https://example.com/a.whl", hash = "{TWO}", size = 1 }}]
{"[package.optional-dependencies]" if extra else ""}
{f'async = [{{ name = "{extra}" }}]' if extra else ""}
"""
    for name, version, needs, extra in [
        ("flask", "3.1", ["click"], "asgiref"),
        ("click", "8.2", ["flask"], ""),
        ("asgiref", "3", [], ""),
        ("colorama", "0.4", [], ""),
        ("fork", "1", [], ""),
        ("fork", "2", [], ""),
        ("psycopg", "3.2", [], ""),
        ("pytest", "9", [], ""),
    ]
)
UV_PROJECT = """
[project]
name = "shop"
version = "1"
dependencies = ["Flask[async] <4, >=3", "colorama; sys_platform == 'win32'", "fork"]
[project.optional-dependencies]
pg = ["psycopg"]
"""


@pytest.fixture
def uv(tmp_path: Path) -> Path:
    (tmp_path / "uv.lock").write_text(UV)
    (tmp_path / "pyproject.toml").write_text(UV_PROJECT)
    return tmp_path


def test_uv_lock_is_followed_from_the_project(uv: Path) -> None:
    found = plan(uv)
    assert names(found["lines"]) == ["asgiref==3", "click==8.2", "flask==3.1", "fork==2"]
    assert found["lines"][0] == f"asgiref==3 --hash={ONE} --hash={TWO}"
    assert found["steps"] == [["--no-deps", "--require-hashes", "-r", "/lines"]]
    assert names(plan(uv, extras=["PG"])["lines"])[-1] == "psycopg==3.2"


def test_a_locked_project_of_a_directory_of_its_own_is_installed_beside(uv: Path) -> None:
    (uv / "pyproject.toml").write_text(UV_PROJECT + BACKEND)
    (uv / "uv.lock").write_text(UV.replace("virtual", "editable"))
    assert plan(uv, wsgi="shop:app")["steps"][1] == ["--no-deps", "."]


def test_only_what_is_installed_makes_the_environment(uv: Path) -> None:
    before = plan(uv)["makings"]
    (uv / "uv.lock").write_text(UV.replace('version = "9"', 'version = "10"'))
    assert plan(uv)["makings"] == before
    (uv / "uv.lock").write_text(UV.replace('version = "8.2"', 'version = "8.3"'))
    assert plan(uv)["makings"] != before


@pytest.mark.parametrize(
    ("project", "name"),
    [
        (UV_PROJECT.replace(">=3", ">=3.1"), "flask"),
        (UV_PROJECT.replace('"fork"', '"fork", "humanize"'), "humanize"),
        (UV_PROJECT.replace('"psycopg"', ""), "psycopg"),
    ],
    ids=["another version", "one more", "one less"],
)
def test_a_stale_uv_lock_is_refused(uv: Path, project: str, name: str) -> None:
    (uv / "pyproject.toml").write_text(project)
    assert refused(uv) == f"uv.lock does not fit pyproject.toml ({name}): run `uv lock`"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("version = 1\n", "version = 2\n", "uv.lock has the version 2, known is 1"),
        (">=3.8", f">={OTHER_PYTHON}", f"uv.lock is for Python >={OTHER_PYTHON}, this host has {PYTHON}"),
        ('virtual = "."', 'virtual = "apps/shop"', "uv.lock has no project of this directory"),
        (TWO, "md5:1", "uv.lock has no hash of"),
        ('{ name = "click" }', '{ name = "gone" }', "uv.lock does not tell which gone is meant"),
    ],
)
def test_a_uv_lock_that_cannot_be_carried_is_refused(uv: Path, old: str, new: str, reason: str) -> None:
    (uv / "uv.lock").write_text(UV.replace(old, new).replace(ONE, "md5:1" if new == "md5:1" else ONE))
    assert reason in refused(uv)


@pytest.mark.parametrize("kind", ["git", "directory", "editable", "path"])
def test_a_package_of_uv_lock_from_elsewhere_is_refused(uv: Path, kind: str) -> None:
    place = f'name = "click"\nversion = "8.2"\nsource = {{ {kind} = "lib" }}'
    text = UV.replace(f'name = "click"\nversion = "8.2"\nsource = {INDEX}', place)
    (uv / "uv.lock").write_text(text)
    assert refused(uv).startswith(f"uv.lock takes click from {kind} lib, which cannot be checked by a hash")


POETRY = f"""
[[package]]
name = "flask"
version = "3.1"
optional = false
groups = ["main", "dev"]
files = [{{file = "a.whl", hash = "{ONE}"}}]

[[package]]
name = "Colorama"
version = "0.4"
optional = false
groups = ["main"]
markers = "sys_platform == \\"win32\\""
files = [{{file = "a.whl", hash = "{ONE}"}}]

[[package]]
name = "psycopg"
version = "3.2"
optional = true
groups = ["main"]
markers = "extra == \\"pg\\" and python_version >= \\"3.8\\""
files = [{{file = "a.whl", hash = "{ONE}"}}]

[[package]]
name = "pytest"
version = "9"
optional = false
groups = ["dev"]
files = [{{file = "a.whl", hash = "{ONE}"}}]

[[package]]
name = "split"
version = "1"
optional = false
groups = ["main", "dev"]
files = [{{file = "a.whl", hash = "{TWO}"}}]
markers = {{main = "sys_platform == \\"win32\\"", dev = "python_version >= \\"3\\""}}

[extras]
pg = ["psycopg"]

[metadata]
lock-version = "2.1"
python-versions = "^3.8"
"""
POETRY_PROJECT = """
[project]
name = "shop"
version = "1"
requires-python = ">=3.10,<4"
dependencies = ["flask>=3"]
[project.optional-dependencies]
pg = ["psycopg"]
[tool.poetry.group.dev.dependencies]
pytest = "*"
"""
# What Poetry 2.5 wrote for this project, and for the older form.
POETRY_HASH = "c954a120cb2638dd51b876885510f86f838397b1d0ef0f3da37602a824fc2489"
LEGACY_PROJECT = '[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\npython = "^3.10"\nflask = "^3.0"\n'
LEGACY_HASH = "a6d5b243d2062291b16de6de3e79c8a297138d7dd4436a122527c90aebc30660"


def test_poetry_lock_gives_its_main_group(tmp_path: Path) -> None:
    (tmp_path / "poetry.lock").write_text(POETRY)
    assert names(plan(tmp_path)["lines"]) == ["flask==3.1"]
    assert names(plan(tmp_path, extras=["pg"])["lines"]) == ["flask==3.1", "psycopg==3.2"]
    assert plan(tmp_path)["steps"] == [["--no-deps", "--require-hashes", "-r", "/lines"]]


@pytest.mark.parametrize(
    ("project", "digest"), [(POETRY_PROJECT, POETRY_HASH), (LEGACY_PROJECT, LEGACY_HASH)], ids=["project", "legacy"]
)
def test_a_stale_poetry_lock_is_refused(tmp_path: Path, project: str, digest: str) -> None:
    (tmp_path / "poetry.lock").write_text(POETRY + f'content-hash = "{digest}"\n')
    (tmp_path / "pyproject.toml").write_text(project)
    assert names(plan(tmp_path)["lines"]) == ["flask==3.1"]
    (tmp_path / "pyproject.toml").write_text(project.replace("flask", "quart"))
    assert refused(tmp_path) == "poetry.lock does not fit pyproject.toml: run `poetry lock`"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"2.1"', '"2.0"', "poetry.lock has the version 2.0, which names no groups and markers: run `poetry lock`"),
        ("^3.8", f">={OTHER_PYTHON}", f"poetry.lock is for Python >={OTHER_PYTHON}"),
        ("^3.8", "^2.7", "poetry.lock is for Python ^2.7"),
        ("[extras]", '[package.source]\ntype = "git"\nurl = "https://x"\n[extras]', ""),
        (ONE, "md5:1", "poetry.lock has no hash of flask"),
    ],
)
def test_a_poetry_lock_that_cannot_be_carried_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    (tmp_path / "poetry.lock").write_text(POETRY.replace(old, new))
    if reason:
        assert reason in refused(tmp_path)
    else:  # of a package that is not for this host
        assert names(plan(tmp_path)["lines"]) == ["flask==3.1"]


def test_a_package_of_poetry_lock_from_elsewhere_is_refused(tmp_path: Path) -> None:
    source = '\n[package.source]\ntype = "git"\nurl = "https://example.com/flask.git"\n\n[[package]]\nname = "Colorama"'
    (tmp_path / "poetry.lock").write_text(POETRY.replace('\n[[package]]\nname = "Colorama"', source))
    assert refused(tmp_path).startswith("poetry.lock takes flask from git https://example.com/flask.git, which")


PYLOCK = f"""
lock-version = "1.0"
created-by = "somebody"
requires-python = ">=3.8"
environments = ["sys_platform == 'linux'", "sys_platform == 'darwin'"]
extras = ["pg"]
dependency-groups = ["web", "dev"]
default-groups = ["web"]

[[packages]]
name = "flask"
version = "3.1"
marker = "'web' in dependency_groups"
wheels = [{{ url = "https://example.com/a.whl", hashes = {{ sha256 = "{"1" * 64}", md5 = "1" }} }}]
sdist = {{ url = "https://example.com/a.tar.gz", hashes = {{ sha256 = "{"2" * 64}" }} }}

[[packages]]
name = "pytest"
version = "9"
marker = "'dev' in dependency_groups"
wheels = [{{ url = "https://example.com/a.whl", hashes = {{ sha256 = "{"1" * 64}" }} }}]

[[packages]]
name = "psycopg"
version = "3.2"
marker = "python_version >= '3.8' and 'pg' in extras"
wheels = [{{ url = "https://example.com/a.whl", hashes = {{ sha256 = "{"1" * 64}" }} }}]

[[packages]]
name = "aside"
marker = "sys_platform != 'win32' and 'pg' not in extras"
archive = {{ url = "https://example.com/aside.zip", hashes = {{ sha256 = "{"1" * 64}" }} }}
"""


def test_pylock_gives_its_default_groups(tmp_path: Path) -> None:
    (tmp_path / "pylock.toml").write_text(PYLOCK)
    lines = plan(tmp_path)["lines"]
    assert lines == [f"aside @ https://example.com/aside.zip --hash={ONE}", f"flask==3.1 --hash={ONE} --hash={TWO}"]
    assert names(plan(tmp_path, extras=["pg"])["lines"]) == ["flask==3.1", "psycopg==3.2"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"1.0"', '"2.0"', "pylock.toml has the version 2.0, known is 1"),
        ("'linux'", "'cygwin'", "pylock.toml is for sys_platform == 'cygwin' or"),
        (">=3.8", f">={OTHER_PYTHON}", f"pylock.toml is for Python >={OTHER_PYTHON}"),
        ("archive = { url", "directory = { path", "takes aside from https://example.com/aside.zip, which cannot be"),
        ("archive", "vcs", "pylock.toml takes aside from https://example.com/aside.zip, which cannot be checked"),
        ('"aside"', '"flask"', "pylock.toml has two versions of flask for this host"),
        ("'web' in", "'web' iin", "cannot be evaluated"),
        ('version = "3.1"', "", "pylock.toml has no exact version of flask"),
    ],
)
def test_a_pylock_that_cannot_be_carried_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    (tmp_path / "pylock.toml").write_text(PYLOCK.replace(old, new))
    assert reason in refused(tmp_path)


PIPFILE = """\
[[source]]
url = "https://pypi.example.com/simple"
verify_ssl = true
name = "pypi"
[packages]
flask = ">=3"
"""
PIPFILE_HASH = "8a2f4a8d4f3dbe14bd52223d470be61f5a4a8b7361206ba60277e46be6e995c8"  # by plette, pipenv's reader


def pipfile_lock(**changes: object) -> str:
    """Return a Pipfile.lock; ``changes`` are of its one package."""
    package: dict[str, Any] = {
        "hashes": [ONE, TWO],
        "index": "pypi",
        "markers": "python_version >= '3.8'",
        "version": "==3.1",
    }
    package = {key: value for key, value in (package | changes).items() if value is not None}
    other = {"hashes": [ONE], "markers": "sys_platform == 'win32'", "version": "==0.4"}
    meta = {
        "hash": {"sha256": PIPFILE_HASH},
        "pipfile-spec": 6,
        "requires": {"python_version": PYTHON},
        "sources": [{"name": "pypi", "url": "https://pypi.example.com/simple", "verify_ssl": True}],
    }
    return json.dumps({"_meta": meta, "default": {"Flask": package, "colorama": other}, "develop": {"pytest": {}}})


def test_pipfile_lock_gives_its_default_group(tmp_path: Path) -> None:
    (tmp_path / "Pipfile.lock").write_text(pipfile_lock())
    assert plan(tmp_path)["lines"] == [f"flask==3.1 --hash={ONE} --hash={TWO}"]


def test_a_stale_pipfile_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pipfile.lock").write_text(pipfile_lock())
    (tmp_path / "Pipfile").write_text(PIPFILE)
    assert names(plan(tmp_path)["lines"]) == ["flask==3.1"]
    (tmp_path / "Pipfile").write_text("".join(PIPFILE.partition("[packages]")[1:]))
    assert names(plan(tmp_path)["lines"]) == ["flask==3.1"]
    (tmp_path / "Pipfile").write_text(PIPFILE.replace(">=3", ">=3.1"))
    assert refused(tmp_path) == "Pipfile.lock does not fit Pipfile: run `pipenv lock`"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": "*"}, "Pipfile.lock has no exact version of flask"),
        ({"version": None, "git": "https://example.com/flask.git"}, "takes Flask from https://example.com/flask.git"),
        ({"hashes": []}, "Pipfile.lock has no hash of flask"),
    ],
)
def test_a_pipfile_lock_that_cannot_be_carried_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    (tmp_path / "Pipfile.lock").write_text(pipfile_lock(**changes))
    assert reason in refused(tmp_path)


def test_a_pipfile_lock_for_another_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pipfile.lock").write_text(pipfile_lock().replace(f'"{PYTHON}"', '"2.7"'))
    assert f"Pipfile.lock is for Python ==2.7.*, this host has {PYTHON}" in refused(tmp_path)


def test_constraints_beside_a_lock_are_refused(uv: Path) -> None:
    (uv / "limits.txt").touch()
    assert "can do nothing to uv.lock, which is exact" in refused(uv, constraints=["limits.txt"])


@pytest.mark.parametrize("name", dependencies.LOCKS)
def test_a_damaged_lock_is_no_traceback(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{[")
    question: dict[str, Any] = {"requirements": None, "constraints": [], "extras": [], "wsgi": "a:b", "lines_file": "x"}
    command = [sys.executable, str(FILES / "dependencies.py"), json.dumps(question)]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.match(rf"{re.escape(name)} (is damaged|cannot be read): .+\n$", done.stderr)
