"""What Galaxy and Ansible's own tools say of the built collection: its importer, its sanity tests, its changelog."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.support import archives, changelog, tools, venv
from tests.support.commands import ROOT, SetupError, cache_directory, run

if TYPE_CHECKING:
    from pathlib import Path

PLACEHOLDER = "https://example.com/flask_apache"
REPOSITORY = "https://git.example.org/people/flask-apache"
# They take most of the time: ruff has the rules of pylint, and the plays of the other tests import everything.
SKIPPED = ("pylint", "import")
# ansible-test makes virtual environments without pip, for which it downloads a script. Python has pip.
GET_PIP = "import ensurepip\nensurepip.bootstrap()\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the collection's archive, with the placeholder."""
    return archives.build_collection(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of the unpacked collection, where ansible-test wants it."""
    directory = tmp_path_factory.mktemp("tree") / "ansible_collections/flask_apache/deploy"
    directory.mkdir(parents=True)
    with tarfile.open(built) as archive:
        archive.extractall(directory, filter="data")
    return directory


def manifest(archive: Path) -> dict[str, object]:
    """Return what an archive says of the collection."""
    with tarfile.open(archive) as content:
        file = content.extractfile("MANIFEST.json")
        assert file
        found: dict[str, object] = json.load(file)["collection_info"]
        return found


def run_importer(archive: Path, directory: Path) -> tuple[str, dict[str, object]]:
    """Let Galaxy's importer read an archive; return what it logs, and its result."""
    programs = tools.ensure("galaxy")
    env = tools.environment(programs, HOME=str(directory), ANSIBLE_HOME=str(directory / "ansible"))
    copy = directory / archive.name
    shutil.copy2(archive, copy)
    done = run([programs / "python", "-m", "galaxy_importer.main", copy.name], cwd=directory, env=env, check=False)
    text = done.stdout + done.stderr
    result = directory / "importer_result.json"
    return text, json.loads(result.read_text()) if result.exists() else {}


def test_galaxys_importer_has_no_complaint(built: Path, tmp_path: Path) -> None:
    text, result = run_importer(built, tmp_path)
    assert "Importer processing completed successfully" in text, text
    assert not re.findall(r"(?m)^(?:WARNING|ERROR).*|.*\[\w[\w-]*\].*:\d+.*", text), text
    found = {each["name"] for each in result["contents"]}  # type: ignore[attr-defined]
    assert found >= {"flask_apache", "flask_apache_engine", "flask_apache_steps", "site.yml"}


def test_galaxys_importer_refuses_a_collection_without_an_address(built: Path, tmp_path: Path) -> None:
    """So the test above can fail."""
    broken = tmp_path / "broken"
    with tarfile.open(built) as archive:
        archive.extractall(broken, filter="data")
    told = json.loads((broken / "MANIFEST.json").read_text())
    told["collection_info"]["repository"] = None
    (broken / "MANIFEST.json").write_text(json.dumps(told))
    with tarfile.open(tmp_path / built.name, "w:gz") as archive:
        for path in sorted(broken.iterdir()):
            archive.add(path, path.name)
    (tmp_path / "home").mkdir()
    text, _ = run_importer(tmp_path / built.name, tmp_path / "home")
    assert "'repository' is required" in text, text


def test_a_release_has_the_address_of_its_repository(built: Path, tmp_path: Path) -> None:
    assert manifest(built)["repository"] == PLACEHOLDER
    assert yaml.safe_load((ROOT / "galaxy.yml").read_text())["repository"] == PLACEHOLDER
    assert manifest(archives.build_collection(tmp_path, REPOSITORY))["repository"] == REPOSITORY
    with pytest.raises(SetupError, match="must be an address such as https://"):
        archives.build_collection(tmp_path, "git@example.com:it\nname: evil")


def test_ansibles_sanity_tests_pass(unpacked: Path) -> None:
    """All of those that need no host, and nothing but PyPI."""
    home = cache_directory() / "ansible-test"
    (source,) = venv.PYTHON.parents[1].glob("lib/*/site-packages/ansible_test/_internal/python_requirements.py")
    for version in re.findall(r"\bpip=['\"]([\d.]+)['\"]", source.read_text()):
        script = home / f".ansible/test/cache/get_pip_{version.replace('.', '_')}.py"
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(GET_PIP)
    run(["git", "init", "--quiet"], cwd=unpacked)  # it looks at the files that git knows
    run(["git", "add", "--all"], cwd=unpacked)
    skipped = [f"--skip-test={name}" for name in SKIPPED]
    minor = run([venv.PYTHON, "-c", "import sys; print(f'3.{sys.version_info.minor}')"]).stdout.strip()
    done = subprocess.run(
        [venv.PYTHON.with_name("ansible-test"), "sanity", f"--python={minor}", "--color=no", *skipped],
        cwd=unpacked,
        env=venv.environment(HOME=str(home), LC_ALL="C.UTF-8"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = "\n".join(line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("WARNING:"))
    assert done.returncode == 0, said
    ran = set(re.findall(r'Running sanity test "([\w-]+)"', said))
    assert ran >= {"ansible-doc", "changelog", "compile", "shebang", "symlinks", "validate-modules", "yamllint"}


def test_links_lead_to_files_in_the_collection_too(unpacked: Path) -> None:
    documents = sorted(unpacked.rglob("*.md"))
    assert len(documents) > len(list(ROOT.glob("docs/*.md")))
    for document in documents:
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.relative_to(unpacked)}: {target}"


def test_the_changelog_is_made_of_its_fragments(unpacked: Path) -> None:
    assert (ROOT / changelog.DOCUMENT).read_text() == changelog.made(), "run python3 -m tests.support.changelog"
    assert (unpacked / changelog.DOCUMENT).read_text() == (ROOT / changelog.DOCUMENT).read_text()
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    assert version in yaml.safe_load((unpacked / "changelogs/changelog.yaml").read_text())["releases"]
    assert not (unpacked / "changelogs/fragments").exists()


def test_a_fragment_with_a_mistake_is_refused(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "changelogs", tmp_path / "changelogs")
    shutil.copy2(ROOT / "galaxy.yml", tmp_path)
    (tmp_path / "changelogs/fragments/wrong.yml").write_text("---\nno_such_section: [A change.]\n")
    with pytest.raises(SetupError, match="no_such_section"):
        changelog.release(tmp_path)
