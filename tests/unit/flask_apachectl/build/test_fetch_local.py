"""Sources that are packages and directories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.unit.flask_apachectl.build.sources import content

if TYPE_CHECKING:
    from tests.unit.flask_apachectl.build.sources import Get


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
