"""pylock.toml."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.flask_apachectl.build.plans import (
    ONE,
    OTHER_PYTHON,
    TWO,
    names,
    plan,
    refused,
)

if TYPE_CHECKING:
    from pathlib import Path


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
        ('"1.0"', '"2.0"', "pylock.toml must have lock-version 1.x, got 2.0"),
        ("'linux'", "'cygwin'", "pylock.toml is for sys_platform == 'cygwin' or"),
        (">=3.8", f">={OTHER_PYTHON}", f"pylock.toml is for Python >={OTHER_PYTHON}"),
        ("archive = { url", "directory = { path", "takes aside from https://example.com/aside.zip, which cannot be"),
        ("archive", "vcs", "pylock.toml takes aside from https://example.com/aside.zip, which cannot be verified"),
        ('"aside"', '"flask"', "pylock.toml has two versions of flask for this host"),
        ("'web' in", "'web' iin", "cannot be evaluated"),
        ('version = "3.1"', "", "pylock.toml has no exact version of flask"),
    ],
)
def test_a_pylock_that_cannot_be_carried_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    (tmp_path / "pylock.toml").write_text(PYLOCK.replace(old, new))
    assert reason in refused(tmp_path)
