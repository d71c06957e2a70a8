"""The collections that Molecule's docker driver needs, without Galaxy.

PyPI's package ``ansible`` bundles them among a hundred others. What is wanted is unpacked beside
ansible-core, where Ansible finds it with ``.venv`` active and no further setting.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path

from tests.support.commands import SetupError, cache_directory, errors, run, say

ANSIBLE = "ansible==14.5.0"
# The Python that this release asks for; its collections also suit the ansible-core of older ones.
ANSIBLE_PYTHON = "3.13"
WANTED = ("community.docker", "community.library_inventory_filtering_v1", "ansible.posix")


def install(python: Path, site_packages: Path) -> None:
    """Copy the collections into a virtual environment. Raises SetupError when PyPI cannot be reached."""
    cached = cache_directory() / f"collections-of-{ANSIBLE}"
    if not cached.is_dir():
        _download(python, cached)
    target = site_packages / "ansible_collections"
    for collection in WANTED:
        place = Path(*collection.split("."))
        shutil.rmtree(target / place, ignore_errors=True)
        shutil.copytree(cached / place, target / place)


def _download(python: Path, cached: Path) -> None:
    say(f"unpacking {', '.join(WANTED)} from {ANSIBLE}")
    with tempfile.TemporaryDirectory(dir=cached.parent) as scratch:
        download = [str(python), "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps"]
        which = ["--only-binary=:all:", f"--python-version={ANSIBLE_PYTHON}", ANSIBLE]
        done = run([*download, f"--dest={scratch}", *which], check=False)
        if done.returncode != 0:
            raise SetupError(f"pip cannot download {ANSIBLE}: {errors(done)}")
        prefixes = tuple(f"ansible_collections/{collection.replace('.', '/')}/" for collection in WANTED)
        (wheel,) = Path(scratch).glob("ansible-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(scratch, [name for name in archive.namelist() if name.startswith(prefixes)])
        (Path(scratch) / "ansible_collections").rename(cached)
