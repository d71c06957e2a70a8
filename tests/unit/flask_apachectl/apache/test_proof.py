"""Where namespaces are not permitted, Apache's configtest judges a copy of the new configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flask_apachectl import paths
from flask_apachectl.apache import proof
from flask_apachectl.apache.hardening import Limits
from flask_apachectl.errors import RefusedError
from flask_apachectl.host.desired import Directory, File, Link, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Done = subprocess.CompletedProcess[str]


def without_namespaces(configtest: Callable[[Path], str]) -> Callable[..., Done]:
    """Return a ``subprocess.run`` that permits no namespaces; ``configtest`` returns what Apache says of a copy."""

    def run(command: Sequence[str], **_: object) -> Done:
        if command[0] == "unshare":
            return subprocess.CompletedProcess(command, 1, "", "Operation not permitted")
        said = configtest(Path(command[command.index("-d") + 1]))
        return subprocess.CompletedProcess(command, int(bool(said)), "", said)

    return run


@pytest.fixture
def wanted(apache: Path, as_root: None) -> list[Wanted]:  # noqa: ARG001
    """Return a new configuration of a host that has one."""
    vhost = paths.ETC / "vhosts/one"
    (apache / "apache2.conf").write_text(f"Include {apache}/sites-enabled\n")
    (apache / "sites-enabled/old.conf").write_text("old\n")
    return [
        Directory(vhost, "root", "root", 0o755),
        File(vhost / "shop.conf", b"# shop\n"),
        File(apache / "sites-available/one.conf", f"Include {vhost}/*.conf\n".encode()),
        Link(apache / "sites-enabled/one.conf", "../sites-available/one.conf"),
        Link(apache / "sites-enabled/old.conf"),
        File(paths.ETC / "app.json", b"not Apache's"),
    ]


def tree(top: Path) -> list[tuple[Path, str]]:
    """Return what is below a directory."""
    return [(path, path.read_text() if path.is_file() else "") for path in sorted(top.rglob("*"))]


@pytest.mark.parametrize("valid", [True, False])
def test_configtest_judges_a_copy(
    wanted: list[Wanted], apache: Path, monkeypatch: pytest.MonkeyPatch, *, valid: bool
) -> None:
    seen: list[Path] = []

    def configtest(copy: Path) -> str:
        top = str(copy).removesuffix(str(apache))
        vhosts = Path(f"{top}{paths.ETC}/vhosts")
        seen.append(copy)
        assert (copy / "apache2.conf").read_text() == f"Include {copy}/sites-enabled\n"
        assert (copy / "sites-enabled/one.conf").read_text() == f"Include {vhosts}/one/*.conf\n"
        assert not (copy / "sites-enabled/old.conf").exists()
        assert (vhosts / "one/shop.conf").read_text() == "# shop\n"
        assert not Path(f"{top}{paths.ETC}/app.json").exists()
        return "" if valid else f"Syntax error on line 1 of {vhosts}/one/shop.conf"

    before = tree(apache), tree(paths.ETC)
    monkeypatch.setattr(subprocess, "run", without_namespaces(configtest))
    if valid:
        proof.prove(wanted)
    else:
        message = f"is not valid:\n  Syntax error on line 1 of {paths.ETC}/vhosts/one/shop.conf"
        with pytest.raises(RefusedError, match=message):
            proof.prove(wanted)
    assert (tree(apache), tree(paths.ETC)) == before
    assert len(seen) == 1
    assert not seen[0].exists()


def test_a_mount_below_another_one_hinders_no_trial_start() -> None:
    asked = []

    def mount(*arguments: str) -> None:
        asked.append(arguments)
        if arguments[:2] == ("-o", "remount,bind,ro"):
            raise subprocess.CalledProcessError(32, "mount")

    command = proof.confined(Limits(["/nowhere"], [], ["chown"]), mount)
    assert ("-o", "remount,bind,ro", "/") in asked
    assert command[-2:] == ["--bounding-set=-all,+chown", "--"]
