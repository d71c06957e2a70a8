"""What an app depends on: locks, hashes, a private index, a wheelhouse; by pip and by uv."""

from __future__ import annotations

import json
import re
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flask_apachectl.build.fetch import pack
from tests.support.commands import ROOT, run
from tests.support.packages import BACKEND, SLOW, Index, project, sha256, write_sdist, write_wheel
from tests.support.parallel import each
from tests.support.playbooks import Play, apply_role
from tests.support.releases import wait_until
from tests.support.venv import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.hosts import Host

NAME = "tiny.example.com"
USER, PASSWORD = "deployer", "s3cr3t/p@ss%w0rd"
# Says what is installed, as the app itself sees it.
APP = """
import json
from importlib.metadata import distributions
import tinyweb

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    found = sorted(f"{each.metadata['Name']}=={each.version}" for each in distributions())
    return [json.dumps(found).encode()]
"""
EVERYTHING = ["tinyhelp==2", "tinysource==1", "tinyweb==1"]
MODULES = {"tinyweb": "import tinyhelp\n", "tinyhelp": "", "tinyslow": "", "tinyextra": "", "tinybackend": BACKEND}


@dataclass(frozen=True)
class Shop:
    """The app on one host, and the index there."""

    host: Host
    index: Index

    def prepare(
        self, source: Path, *, credentials: bool = True, check: bool = True, **declared: object
    ) -> dict[str, Any]:
        """Ship a source and let the engine prepare it, as the role does, with another declaration for this once."""
        path = "/etc/flask-apache/tiny/app.json"
        kept = json.loads(before := self.host.read(path))
        packed = pack.pack(source, source.parent / "cache")
        archive = f"/srv/flask-apache/tiny/incoming/{packed['id']}.tar.gz"
        self.host.put(Path(packed["archive"]), archive)
        self.host.write(path, json.dumps({**kept, "spec": {**kept["spec"], **declared}}), mode=0o640)
        command = ["flask-apachectl", "--json", "--app", "tiny", "prepare", packed["id"], "--index-urls"]
        urls = json.dumps([self.index.url] if credentials else [])
        try:
            answer: dict[str, Any] = json.loads(self.host.run(command, stdin=urls, check=False).stdout)
        finally:
            self.host.write(path, before, mode=0o640)
        assert not (check and answer.get("failed")), answer["msg"]
        return answer

    def installed(self, release: str) -> list[str]:
        """Return what a release's virtual environment holds, as name==version."""
        listed = self.host.run(
            f"ls -d /srv/flask-apache/tiny/releases/{release}/venv/lib/python*/site-packages/*.dist-info"
        )
        names = [Path(line).name.removesuffix(".dist-info") for line in listed.stdout.split()]
        return sorted(name.replace("-", "==") for name in names)

    def files(self, release: str) -> dict[str, str]:
        """Return digests of a release's virtual environment, but for its own name and the installer's own notes."""
        venv = self.host.run(f"readlink -f /srv/flask-apache/tiny/releases/{release}/venv").stdout.strip()
        notes = "INSTALLER|RECORD|REQUESTED|direct_url.json|uv_.*|complete.json|.lock"
        hashing = f'sed \'s,{Path(venv).name},VENV,g\' "$1" | sha256sum | sed "s,-$,$1,"'
        listed = f"cd {venv} && find . -type f | sort | grep -vE '/({notes})$'"
        found = self.host.run(f"{listed} | xargs -n 1 sh -c {shlex.quote(hashing)} sh").stdout
        pairs = (line.split(maxsplit=1) for line in found.splitlines())  # byte code has the time of its source
        return {name: "" if name.endswith(".pyc") else digest for digest, name in pairs}


def write_source(directory: Path, files: Mapping[str, str]) -> Path:
    """Write an app's source."""
    for name, text in {"app.py": APP, **files}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the packages that the index hands out."""
    directory = tmp_path_factory.mktemp("packages")
    for name, text in MODULES.items():
        needs = ["Requires-Dist: tinyhelp>=2"] if name == "tinyweb" else []
        write_wheel(str(directory), name, "2" if name == "tinyhelp" else "1", {f"{name}.py": text}, needs)
    write_sdist(directory, "tinysource", "1", {"src/tinysource.py": ""})
    return directory


@pytest.fixture(scope="module")
def hashes(packages: Path) -> dict[str, str]:
    """Return the packages' digests by their names."""
    return {path.name.partition("-")[0]: sha256(path) for path in packages.iterdir()}


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory, hashes: dict[str, str]) -> dict[str, Any]:
    """Return the variables of an app whose requirements have hashes, one of them to be built from its source."""
    pinned = [f"{spec} --hash=sha256:{hashes[spec.partition('==')[0]]}\n" for spec in EVERYTHING]
    source = write_source(tmp_path_factory.mktemp("tiny"), {"requirements.txt": "".join(pinned)})
    return {
        "flask_apache_app": "tiny",
        "flask_apache_source": str(source),
        "flask_apache_server_name": NAME,
        "flask_apache_daemon_processes": 1,
    }


@pytest.fixture(scope="module")
def shops(start_host: Callable[[str], Host], packages: Path) -> list[Shop]:
    """Return a host of each distribution with an index that wants a password."""

    def make(distribution: str) -> Shop:
        host = start_host(distribution)
        index = Index(host, USER, PASSWORD)
        index.start(packages)
        return Shop(host, index)

    return each(("debian-12-hot", "debian-13-hot"), make)


@pytest.fixture(scope="module")
def private(shops: list[Shop], variables: dict[str, Any]) -> tuple[Play, Play]:
    """Return what Ansible said while it deployed the app from the private index, and then again."""
    own = {
        **variables,
        "flask_apache_index_url": shops[0].index.url,
        "flask_apache_pip_args": ["--trusted-host=127.0.0.1"],  # or pip would keep nothing that came without TLS
        "flask_apache_system_packages": ["hello"],
    }
    hosts = [shop.host for shop in shops]
    return apply_role(hosts, own, "--diff", "-vvv"), apply_role(hosts, own)


def test_packages_come_from_a_private_index(shops: list[Shop], private: tuple[Play, Play]) -> None:
    for shop in shops:
        assert shop.host.http("/", NAME).json() == EVERYTHING
        assert any("/simple/tinybackend/" in each["path"] for each in shop.index.requests()), "built from its source"
        assert shop.host.run("hello").stdout == "Hello, world!\n"
    assert private[1].changed == 0


def test_credentials_leave_no_trace(shops: list[Shop], private: tuple[Play, Play]) -> None:
    for shop in shops:
        for secret in shop.index.secrets:
            assert secret not in "".join(play.output for play in private)
            assert secret not in json.dumps(shop.index.requests()), "in the command line of a process"
            places = "/etc /home /opt /root /run /srv /tmp /usr/local /var"
            found = shop.host.run(["sh", "-c", f'grep -rlF -- "$1" {places} 2>/dev/null; true', "sh", secret]).stdout
            assert found == ""
            assert secret not in shop.host.run("journalctl --no-pager; ps axeww").stdout
        assert not shop.host.exists("/run/flask-apache/build-tiny")


def test_who_has_no_credentials_can_deploy_as_long_as_nothing_is_to_be_installed(
    shops: list[Shop], private: tuple[Play, Play]
) -> None:
    del private

    def operate(shop: Shop) -> None:
        shop.host.run("flask-apachectl deploy")
        venv = shop.host.run("readlink -f /srv/flask-apache/tiny/blue/venv").stdout.strip()
        shop.host.run(["ln", "-sfn", "/usr/bin/python2.7", f"{venv}/bin/python3"])  # after an upgrade of the host
        done = shop.host.run("flask-apachectl deploy", check=False)
        assert done.returncode == 1
        assert "from a private index, whose credentials only the role has: run the role\nStill serving" in done.stderr
        assert shop.host.http("/", NAME).json() == EVERYTHING

    each(shops, operate)


def test_a_virtual_environment_that_lost_its_python_is_built_anew(
    shops: list[Shop], variables: dict[str, Any], private: tuple[Play, Play]
) -> None:
    del private

    def mend(shop: Shop) -> None:
        assert shop.prepare(Path(variables["flask_apache_source"]))["changed"]
        shop.host.run("flask-apachectl deploy")
        assert wait_until(lambda: shop.host.run("flask-apachectl doctor", check=False).returncode == 0, 20)
        assert shop.host.http("/", NAME).json() == EVERYTHING

    each(shops, mend)


def test_a_wrong_hash_and_a_wrong_password_are_refused(
    shops: list[Shop], private: tuple[Play, Play], hashes: dict[str, str], tmp_path: Path
) -> None:
    del private
    wrong = write_source(tmp_path / "wrong", {"requirements.txt": f"tinyhelp==2 --hash=sha256:{hashes['tinyweb']}\n"})
    half = write_source(
        tmp_path / "half", {"requirements.txt": f"tinyweb==1 --hash=sha256:{hashes['tinyweb']}\ntinyhelp==2\n"}
    )
    plain = write_source(tmp_path / "plain", {"requirements.txt": "tinyweb\ntinynone\n"})

    def refuse(shop: Shop) -> None:
        message = shop.prepare(wrong, check=False)["msg"]
        assert "THESE PACKAGES DO NOT MATCH THE HASHES" in message
        assert "Still serving" in message
        assert "Hashes are required" in shop.prepare(half, check=False)["msg"]
        stranger = Shop(shop.host, Index(shop.host, USER, "wrong-password"))
        message = stranger.prepare(plain, check=False)["msg"]
        said = "http://127.0.0.1:8765/simple answers 401: see the user and password in flask_apache_index_url"
        assert said in message
        assert "wrong-password" not in message

    each(shops, refuse)


def locks(hashes: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return sources' files for every kind of lock: tinyweb and what it needs, for Linux."""
    pairs = [("tinyweb", "1", hashes["tinyweb"]), ("tinyhelp", "2", hashes["tinyhelp"])]
    never = ("tinynone", "9", "0" * 64)
    project_toml = (
        '[project]\nname = "tiny"\nversion = "1"\ndependencies = ["tinyweb", "tinynone; sys_platform == \'win32\'"]\n'
    )
    uv = """version = 1
requires-python = ">=3.10"
[[package]]
name = "tiny"
version = "1"
source = { virtual = "." }
dependencies = [{ name = "tinyweb" }, { name = "tinynone", marker = "sys_platform == 'win32'" }]
[package.metadata]
requires-dist = [{ name = "tinyweb" }, { name = "tinynone", marker = "sys_platform == 'win32'" }]
""" + "".join(
        f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = {{ registry = "https://example.com/simple" }}\n'
        f'dependencies = [{{ name = "tinyhelp" }}]\nwheels = [{{ url = "x", hash = "sha256:{digest}" }}]\n'
        for name, version, digest in [*pairs, never]
    )
    poetry = "".join(
        f'[[package]]\nname = "{name}"\nversion = "{version}"\noptional = false\ngroups = ["main"]\n{marker}\n'
        f'files = [{{file = "x.whl", hash = "sha256:{digest}"}}]\n'
        for (name, version, digest), marker in [
            *((pair, "") for pair in pairs),
            (never, "markers = \"sys_platform == 'win32'\""),
        ]
    )
    poetry += '[metadata]\nlock-version = "2.1"\npython-versions = ">=3.10"\n'
    pylock = 'lock-version = "1.0"\ncreated-by = "test"\n' + "".join(
        f'[[packages]]\nname = "{name}"\nversion = "{version}"\n{marker}\n'
        f'wheels = [{{name = "x.whl", url = "x", hashes = {{sha256 = "{digest}"}}}}]\n'
        for (name, version, digest), marker in [
            *((pair, "") for pair in pairs),
            (never, "marker = \"sys_platform == 'win32'\""),
        ]
    )
    default = {name: {"hashes": [f"sha256:{digest}"], "version": f"=={version}"} for name, version, digest in pairs}
    pipfile = {"_meta": {"pipfile-spec": 6, "requires": {}}, "default": default, "develop": {}}
    return {
        "uv.lock": {"uv.lock": uv, "pyproject.toml": project_toml},
        "poetry.lock": {"poetry.lock": poetry},
        "pylock.toml": {"pylock.toml": pylock},
        "Pipfile.lock": {"Pipfile.lock": json.dumps(pipfile)},
    }


def test_every_lock_is_honoured_exactly(
    shops: list[Shop], private: tuple[Play, Play], hashes: dict[str, str], tmp_path: Path
) -> None:
    del private
    sources = {kind: write_source(tmp_path / kind, files) for kind, files in locks(hashes).items()}
    for source in sources.values():  # changed since
        write_source(
            source.with_name(f"bad-{source.name}"),
            {path.name: path.read_text().replace(hashes["tinyhelp"], hashes["tinyweb"]) for path in source.iterdir()},
        )

    def honour(shop: Shop) -> None:
        for kind, source in sources.items():
            release = shop.prepare(source)["release"]
            assert shop.installed(release) == ["tinyhelp==2", "tinyweb==1"], kind
            assert "DO NOT MATCH THE HASHES" in shop.prepare(source.with_name(f"bad-{kind}"), check=False)["msg"]
        venvs = shop.host.run("readlink -f /srv/flask-apache/tiny/releases/*/venv").stdout.split()
        assert len(venvs) - len(set(venvs)) == len(sources) - 1, "they need the same, so they share it"

    each(shops, honour)


def test_two_truths_are_refused_on_the_host_too(
    shops: list[Shop], private: tuple[Play, Play], hashes: dict[str, str], tmp_path: Path
) -> None:
    del private
    source = write_source(tmp_path / "two", {**locks(hashes)["pylock.toml"], "requirements.txt": "tinyweb\n"})

    def refuse(shop: Shop) -> None:
        message = shop.prepare(source, check=False)["msg"]
        assert "the source has pylock.toml and requirements.txt, which may differ; name the right one" in message
        release = shop.prepare(source, requirements=["requirements.txt"])["release"]
        assert shop.installed(release) == ["tinyhelp==2", "tinyweb==1"]

    each(shops, refuse)


def test_a_project_in_a_directory_of_its_own_is_installed_with_its_extras(
    shops: list[Shop], private: tuple[Play, Play], tmp_path: Path
) -> None:
    del private
    more = 'dependencies = ["tinyweb"]\n[project.optional-dependencies]\nmore = ["tinyextra"]\n'
    files = {"pyproject.toml": project("tinyshop", "3", more), "src/tinyshop.py": APP}
    source = write_source(tmp_path / "src-layout", files)
    (source / "app.py").unlink()

    def install(shop: Shop) -> None:
        release = shop.prepare(source, wsgi="tinyshop:app", extras=["more"])["release"]
        assert shop.installed(release) == ["tinyextra==1", "tinyhelp==2", "tinyshop==3", "tinyweb==1"]

    each(shops, install)


def test_a_killed_build_goes_on_where_it_was(shops: list[Shop], private: tuple[Play, Play], tmp_path: Path) -> None:
    del private
    source = write_source(tmp_path / "killed", {"requirements.txt": "tinyweb\ntinyslow\n"})

    def kill(shop: Shop) -> None:
        shop.host.run(f"rm -rf /var/cache/flask-apache/tiny/pip; touch {SLOW}")
        before = shop.index.downloads("tinyweb")
        with ThreadPoolExecutor() as executor:
            killed = executor.submit(shop.prepare, source, check=False)
            assert wait_until(lambda: shop.index.downloads("tinyslow"), 60)
            shop.host.run(["kill", "-KILL", re.findall(r"pid (\d+)", shop.host.read("/srv/flask-apache/tiny/lock"))[0]])
            with pytest.raises(ValueError, match="Expecting value"):
                killed.result()
        assert wait_until(lambda: not shop.host.run("pgrep -u build_tiny", check=False).stdout, 10)
        shop.host.run(f"rm {SLOW}")
        assert shop.installed(shop.prepare(source)["release"]) == ["tinyhelp==2", "tinyslow==1", "tinyweb==1"]
        assert shop.index.downloads("tinyweb") - before == 1
        assert not shop.host.exists("/run/flask-apache/build-tiny")

    each(shops, kill)


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory, packages: Path) -> Path:
    """Return a directory with the wheels, and uv's."""
    directory = tmp_path_factory.mktemp("wheelhouse")
    for wheel in packages.glob("*.whl"):
        (directory / wheel.name).write_bytes(wheel.read_bytes())
    write_wheel(str(directory), "tinysource", "1", {"tinysource.py": ""})
    specs = (ROOT / "roles/flask_apache/defaults/main.yml").read_text()
    version = re.search(r"(?m)^flask_apache_uv_version: ([\d.]+)", specs)
    assert version
    run([PYTHON, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", directory, f"uv=={version[1]}"])
    return directory


def test_uv_without_a_network_makes_what_pip_makes(
    shops: list[Shop], private: tuple[Play, Play], variables: dict[str, Any], wheelhouse: Path, tmp_path: Path
) -> None:
    del private
    source = write_source(tmp_path / "offline", {"requirements.txt": "".join(f"{each}\n" for each in EVERYTHING)})
    own = {
        **variables,
        "flask_apache_source": str(source),
        "flask_apache_wheelhouse": str(wheelhouse),
        "flask_apache_installer": "uv",
    }
    each(shops, lambda shop: shop.index.stop())
    apply_role([shop.host for shop in shops], own)

    def compare(shop: Shop) -> None:
        assert shop.host.http("/", NAME).json() == EVERYTHING
        by_uv = shop.prepare(source)["release"]
        files = shop.files(by_uv)
        assert any(name.endswith("tinyweb.py") for name in files)
        venv = shop.host.run(f"readlink -f /srv/flask-apache/tiny/releases/{by_uv}/venv").stdout.strip()
        assert shop.host.run(f"cat {venv}/lib/python*/site-packages/tinyweb-1.dist-info/INSTALLER").stdout == "uv"
        shop.host.run(["rm", f"{venv}/complete.json"])
        began = time.monotonic()
        again = shop.prepare(source, installer="pip")  # the live release is damaged, so it is made under its other id
        assert again["changed"]
        assert again["release"] != by_uv
        assert time.monotonic() - began < 60
        venv = shop.host.run(f"readlink -f /srv/flask-apache/tiny/releases/{again['release']}/venv").stdout.strip()
        assert shop.host.run(f"cat {venv}/lib/python*/site-packages/tinyweb-1.dist-info/INSTALLER").stdout == "pip\n"
        assert shop.files(again["release"]) == files

    each(shops, compare)
