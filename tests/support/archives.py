"""What a release publishes: the collection's archive and the role's own, made from the working copies of this tree.

``python3 -m tests.support.archives DIRECTORY [REPOSITORY]`` makes both there. REPOSITORY is the address where the
project is published; Galaxy shows it. Without it the collection has the placeholder of galaxy.yml.
"""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.support import changelog, venv
from tests.support.commands import ROOT, SetupError, run

ROLE = Path("roles/flask_apache")


def working_tree() -> list[Path]:
    """List the files that belong to the repository, committed or not, by their paths below its root.

    Raises SetupError where git is missing, or this is no clone.
    """
    # The tree may be another user's: reading its index is harmless.
    list_files = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = run(list_files, cwd=ROOT).stdout
    names = sorted(set(filter(None, listed.split("\0"))))
    return [Path(name) for name in names if (ROOT / name).is_file() or (ROOT / name).is_symlink()]


def copy_tree(destination: Path) -> None:
    """Copy the repository, as a clone would be, into a directory of its own."""
    for path in working_tree():
        target = destination / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target, follow_symlinks=False)


def pack_tree(archive: Path) -> None:
    """Write the repository's files into a tar archive."""
    with tarfile.open(archive, "w") as tar:
        for path in working_tree():
            tar.add(ROOT / path, str(path))


def build_collection(directory: Path, repository: str = "") -> Path:
    """Make the collection's archive, and return its path.

    Raises SetupError when the repository's address is none, or a tool fails.
    """
    if repository and not re.fullmatch(r"https://[\w.-]+/[\w./~-]+", repository):
        raise SetupError(f"the repository must be an address such as https://example.com/me/it, got {repository!r}")
    with tempfile.TemporaryDirectory(prefix="flask-apache-tree-") as scratch:
        copy_tree(Path(scratch))
        for link in (path for path in (Path(scratch) / "plugins").rglob("*") if path.is_symlink()):
            shutil.copy2(link.resolve(), link.with_suffix(".new"))
            link.with_suffix(".new").replace(link)  # a file, for whatever unpacks archives without links
        if repository:
            metadata = Path(scratch) / "galaxy.yml"
            text, found = re.subn(r"(?m)^repository:.*$", f"repository: {repository}", metadata.read_text())
            assert found == 1
            metadata.write_text(text)
        changelog.release(Path(scratch))
        galaxy = str(venv.PYTHON.with_name("ansible-galaxy"))
        build = [galaxy, "collection", "build", "--force", "--output-path", str(directory.resolve())]
        run(build, cwd=Path(scratch), env=venv.environment())
    (archive,) = directory.glob("flask_apache-deploy-*.tar.gz")
    return archive


def build_role(directory: Path) -> Path:
    """Make the archive of the role alone, as Galaxy wants it: meta/main.yml at its root. Return its path."""

    def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    archive = directory / "flask_apache.tar.gz"
    files = [path for path in working_tree() if path.is_relative_to(ROLE)]
    if not files:
        raise SetupError(f"{ROLE} holds no file that git knows")
    with tarfile.open(archive, "w:gz") as tar:
        for path in files:
            tar.add(ROOT / path, str(path.relative_to(ROLE)), filter=owned_by_root)
    return archive


def main(arguments: list[str]) -> int:
    """Make both archives."""
    if len(arguments) not in (1, 2):
        print("usage: python3 -m tests.support.archives DIRECTORY [REPOSITORY]", file=sys.stderr)
        return 2
    directory = Path(arguments[0])
    directory.mkdir(parents=True, exist_ok=True)
    print(build_collection(directory, *arguments[1:]), build_role(directory), sep="\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as error:
        sys.exit(f"error: {error}")
