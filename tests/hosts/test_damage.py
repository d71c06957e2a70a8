"""Each file and link of an app's state, damaged in each way: visitors lose nothing, doctor names it, one run heals."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import steps
from tests.support.load import Client, visitors
from tests.support.packages import write_wheel
from tests.support.parallel import each
from tests.support.playbooks import apply_role
from tests.support.releases import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.hosts import FileState, Host
    from tests.support.load import Visitors

APP = "damage"
NAME = "damage.example.com"
CONF, HOME = f"/etc/flask-apache/{APP}", f"/srv/flask-apache/{APP}"
CHANGING = (f"{CONF}/app.json", f"{CONF}/live.map")  # a salt, and the slot
FILES = ("missing", "empty", "half", "byte", "bit", "type")
LINKS = ("missing", "dangling", "elsewhere", "file")
ELSEWHERE = (
    (f"{CONF}/entry.wsgi", "missing"),  # Apache answers 404 then: see test_a_missing_entry_script
    ("/etc/logrotate.d/apache2", "type"),  # another text than the package's or the role's: an administrator's own
)
SOURCE = """
import json
import tiny

def app(environ, start_response):
    body = json.dumps({{"marker": "{marker}"}}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
"""
# Lists what there is to damage, as {group: {path: target of a link, or None}}. All of one group is damaged at once.
FIND = """
import json, os, sys
from pathlib import Path

app = sys.argv[1]
conf, home = Path("/etc/flask-apache", app), Path("/srv/flask-apache", app)
declaration = json.loads((conf / "app.json").read_text())
installed = [each["path"] for each in declaration["installed"] if "sha256" in each or each.get("target")]
live = next(line.split()[1] for line in (conf / "live.map").read_text().splitlines() if line.startswith("base"))
idle = {"blue": "green", "green": "blue"}[live]
release = (home / live).resolve()
previous = next((path for path in (home / "releases").iterdir() if path != release), Path("/none"))
venv = (release / "venv").resolve()

def first(top, pattern):
    return min(path for path in top.rglob(pattern) if path.is_symlink() or path.stat().st_size > 2)

own = [path for path in conf.rglob("*") if not path.is_dir()]
beside = [path for path in home.iterdir() if not path.is_dir() or path.is_symlink()]
units = [path for path in Path("/etc/systemd/system").rglob(f"flask-apache-{app}*") if not path.is_dir()]
groups = {
    "declaration": [conf / "app.json", *Path("/etc/flask-apache").glob("*.json")],
    "installed": [*map(Path, installed), home / live, conf / "live.map"],
    "release": [
        *(release / name for name in ("entry.json", "env", "locked.txt", "app/instance")),
        first(release / "app", "*.py"), first(release / "app", "*.pyc"), first(release / "public", "*.css"),
        *(venv / name for name in ("pyvenv.cfg", "bin/python")),
        first(venv / "lib", "*.py"), first(venv / "lib", "*.pyc"), first(venv / "lib", "RECORD"),
        home / f"{live}.since",
    ],
    "manifests": [
        release / "release.json", venv / "complete.json", previous / "release.json",
        *(home / "wheelhouses").glob("*/.files.json"),
    ],
    "state": [
        *own, *beside, *units,
        *(path for path in (home / "wheelhouses").rglob("*") if path.is_file()),
        home / "empty/blue/venv/pyvenv.cfg", home / "empty/green/venv/complete.json",
        *(previous / name for name in ("env", "app/app.py")),
    ],
}
seen, found = {str(home / "lock")}, {}
for name, members in groups.items():
    found[name] = {}
    for path in map(str, members):
        if path not in seen and os.path.lexists(path):
            seen.add(path)
            found[name][path] = os.readlink(path) if os.path.islink(path) else None
# What stands in for another file is not lost together with it, nor a manifest with the files that it lists.
for path in map(str, (conf / "live.map.copy", home / "current", home / f"{idle}.since")):
    found["manifests"][path] = found["state"].pop(path)
found["state"][str(release / "venv")] = os.readlink(release / "venv")
json.dump(found, sys.stdout)
"""
DAMAGE = """
import json, os, sys
from pathlib import Path

for name, kind, text in json.load(sys.stdin):
    path = Path(name)
    if kind in ("missing", "dangling", "elsewhere", "file"):
        path.unlink()
        if kind == "file":
            path.write_text(text)
        elif kind != "missing":
            path.symlink_to(text)
        continue
    content = path.read_bytes()
    middle = len(content) // 2
    byte = content[:middle] + b"\\xff" + content[middle:]
    bit = bytearray(content)
    bit[middle] ^= 0x80
    new = {"empty": b"", "half": content[:middle], "byte": byte, "bit": bit, "type": b"[]"}
    with path.open("wb") as file:
        file.write(new[kind])
"""


def write_source(directory: Path, marker: str) -> None:
    """Write the app's source, and the one package that it needs: an environment is built often."""
    (directory / "static").mkdir(parents=True, exist_ok=True)
    (directory / "requirements.txt").write_text("tiny\n")
    wheels(directory).mkdir(exist_ok=True)
    write_wheel(str(wheels(directory)), "tiny", "1", {"tiny.py": "VERSION = 1\n"})
    (directory / "app.py").write_text(SOURCE.format(marker=marker))
    (directory / "static/app.css").write_text("p { color: black }\n")


def wheels(source: Path) -> Path:
    """Return the directory of the packages beside a source."""
    return source.with_name(f"{source.name}-wheels")


def declared(source: Path) -> dict[str, Any]:
    """Return the role's variables, without their prefix, for an app that has something of each kind."""
    return {
        "app": APP,
        "user": APP,
        "source": str(source),
        "wheelhouse": str(wheels(source)),
        "server_name": NAME,
        "environment": {"GREETING": "hello"},
        "static": [{"url": "/static", "path": "static"}],
        "data_directories": [{"name": "files", "link": "instance"}],
        "workers": [{"name": "queue", "command": "sleep 99999"}],
        "timers": [{"name": "yearly", "command": "true", "calendar": "yearly"}],
        "hooks": [{"at": "after_switch", "run": "true"}],
    }


def variables(source: Path) -> dict[str, Any]:
    """Return the role's variables by their full names."""
    return {f"flask_apache_{name}": value for name, value in declared(source).items()}


def state_of(found: FileState) -> tuple[str, ...]:
    """Return what is to be the same again."""
    return (found.mode, found.owner, found.group, found.content)


class Damaged:
    """A host whose app gets damaged."""

    def __init__(self, host: Host, scratch: Path) -> None:
        """Remember the host, and what runs the role for it, with a source of its own."""
        self.host, self.source = host, scratch / "source"

    def __repr__(self) -> str:
        """Return the host's name, for messages."""
        return self.host.name

    def run(self) -> list[str]:
        """Make a run of the role. Returns the names of the steps that changed something."""
        return steps.deploy(self.host, declared(self.source))

    def find(self) -> dict[str, dict[str, str | None]]:
        """Return what can be damaged: {group: {path: target, or None}}."""
        found: dict[str, dict[str, str | None]] = json.loads(self.host.run(["python3", "-", APP], stdin=FIND).stdout)
        return found

    def other_releases(self) -> list[str]:
        """Return the paths of the kept releases that are not live, and one of none."""
        kept = self.host.run(f"ls -d {HOME}/releases/* | grep -v $(readlink -f {HOME}/current)", check=False)
        return [*kept.stdout.split(), "/tmp"]

    def deploy(self, marker: str) -> None:
        """Deploy new code, so that there is a release before the live one."""
        write_source(self.source, marker)
        changed = self.run()
        assert changed[-1:] == ["activate"], changed
        assert self.host.http("/", NAME).json() == {"marker": marker}

    def damage(self, damages: list[tuple[str, str, str]]) -> None:
        """Damage files and links: path, kind, and the new target of a link."""
        self.host.run(["python3", "-c", DAMAGE], stdin=json.dumps(damages))

    def ctl(self, *arguments: str) -> dict[str, Any]:
        """Run the engine's command, by the role's own copy, and return its answer."""
        return steps.run_engine(self.host, ["--app", APP, *arguments], b"{}", steps.role_engine())

    def expect_named(self, paths: list[str]) -> None:
        """See doctor name each path."""
        answer = self.ctl("doctor", "--thorough")
        assert answer.get("failed"), answer
        said = "\n".join([answer["msg"], *answer.get("damaged", [])])
        silent = [path for path in paths if path not in said]
        assert silent == [], f"doctor does not name {silent}: {said}"

    def expect_healed(self, case: str, before: dict[str, FileState] | None = None) -> None:
        """Make a run, which heals and says so, and another one, which changes nothing; doctor is content.

        ``before`` is what was there: what has not changed by healing is as it was.
        """
        began = time.monotonic()
        changed = self.run()
        healed = time.monotonic()
        assert changed, f"{case}: the run that heals says changed=0"
        again = self.run()
        assert again == [], f"{case}: the next run changed something in {again}"
        answers: list[dict[str, Any]] = []

        def content() -> bool:  # processes of the idle pool may be still about to end
            answers.append(self.ctl("doctor", "--thorough"))
            return not answers[-1].get("failed")

        assert wait_until(content, 5), f"{case}: {answers[-1]['msg']}"
        assert answers[-1]["damaged"] == [], f"{case}: {answers[-1]['damaged']}"
        after = self.host.snapshot(list(before or ()))
        kept = [path for path in before or () if path.startswith("/etc") and not path.startswith(CHANGING)]
        assert {path: state_of(after[path]) for path in kept} == {
            path: state_of((before or {})[path]) for path in kept
        }, case
        print(f"{self.host.name} {case}: {', '.join(changed)} in {healed - began:.1f} s")


@pytest.fixture(scope="module")
def source() -> Iterator[Path]:
    """Return the directory of the app's source."""
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch, "source")


@pytest.fixture(scope="module")
def damaged(start_host: Callable[[str], Host], source: Path) -> list[Damaged]:
    """Return two hosts with two releases of the app."""
    hosts = [start_host("debian-12-hot"), start_host("debian-13-hot")]
    write_source(source, "first")
    apply_role(hosts, variables(source))
    return [Damaged(host, source.with_name(host.name)) for host in hosts]


def ask(one: Damaged) -> Any:  # noqa: ANN401 - a context manager of `Visitors`
    """Ask the host all the time."""
    return visitors(one.host.ip, NAME, [Client("visitor", 1, 0.05)])


def expect_answers(one: Damaged, crowd: Visitors, rounds: list[tuple[float, str]]) -> None:
    """See that every visitor got the page; say in which round one did not."""
    lost = [
        (next((name for began, name in reversed(rounds) if began <= answer.began), "before"), answer)
        for answer in crowd.failed_beside_a_reload(one.host)
    ]
    assert not lost, lost[:5]
    assert len(crowd.answers) > 10


def damages_of(group: dict[str, str | None], number: int, release: str) -> list[tuple[str, str, str]]:
    """Return the damages of a round: each file and each link in the way whose turn it is."""
    found = []
    for path, target in group.items():
        if (path, FILES[number]) in ELSEWHERE:
            continue
        kind = FILES[number] if target is None else LINKS[number % len(LINKS)]
        there = release if path.endswith(("/blue", "/green")) else "/tmp"
        found.append((path, kind, {"dangling": f"{path}.gone", "elsewhere": there, "file": f"{target}"}.get(kind, "")))
    return found


@pytest.mark.parametrize("kind", FILES)
def test_every_damage_is_named_and_healed(damaged: list[Damaged], kind: str) -> None:
    """A generated matrix: each file in six ways, each link in four; the hosts take turns at the groups."""
    each([0, 1], lambda turn: damage_groups(damaged[turn], FILES.index(kind), turn))


def damage_groups(one: Damaged, number: int, turn: int) -> None:
    """Damage every other group in the way of a round, heal, and go on, with visitors who notice nothing."""
    rounds: list[tuple[float, str]] = []
    with ask(one) as crowd:
        one.deploy(f"before {FILES[number]}")
        for name in list(one.find())[(number + turn) % 2 :: 2]:
            damages = damages_of(one.find()[name], number, one.other_releases()[0])
            rounds.append((time.monotonic(), f"{FILES[number]} {name}"))
            before = one.host.snapshot([path for path, _, _ in damages])
            one.damage(damages)
            one.expect_named([path for path, _, _ in damages])
            one.expect_healed(f"{FILES[number]} {name} ({len(damages)})", before)
    expect_answers(one, crowd, rounds)


def restart_apache(one: Damaged) -> None:
    """Start Apache anew, as after a reboot."""
    one.host.run(["systemctl", "restart", "apache2"])


def test_apache_starts_without_the_map(damaged: list[Damaged]) -> None:
    """It serves by the map's copy; without both, this app alone answers 503. A run heals both."""
    each(damaged, start_without_the_map)


def start_without_the_map(one: Damaged) -> None:
    """Damage the map and its copy while Apache is started."""
    live_map, copy = f"{CONF}/live.map", f"{CONF}/live.map.copy"
    for kinds, status in (
        ([(live_map, "missing", "")], 200),
        ([(live_map, "half", ""), (copy, "missing", "")], 503),
        ([(live_map, "byte", "")], 200),
        ([(live_map, "missing", ""), (copy, "missing", "")], 503),
    ):
        one.damage(kinds)
        restart_apache(one)
        assert one.host.http("/", NAME).status == status, kinds
        assert one.host.http("/").status == 200, "the distribution's page, of another site"
        one.expect_named([path for path, _, _ in kinds])
        one.expect_healed(f"start with {kinds}")
        assert one.host.http("/", NAME).status == 200


def test_a_missing_entry_script(damaged: list[Damaged]) -> None:
    """Apache itself answers 404 without it, so no visitors ask here; a run heals it."""

    def lose(one: Damaged) -> None:
        path = f"{CONF}/entry.wsgi"
        one.damage([(path, "missing", "")])
        one.expect_named([path])
        one.expect_healed("missing entry.wsgi")

    each(damaged, lose)


def test_hooks_that_wait(damaged: list[Damaged]) -> None:
    """The file that names the release whose hooks have not run: whatever it says, they run, once."""

    def wait(one: Damaged) -> None:
        path = f"{HOME}/after_switch"
        for content in ("", "[]", "\\377"):
            one.host.run(f"printf '{content}' > {path}")
            one.expect_named([path])
            one.expect_healed(f"after_switch with {content!r}")
            assert not one.host.exists(path)

    each(damaged, wait)


def test_a_damaged_release_that_is_not_live(damaged: list[Damaged]) -> None:
    """A rollback to it is refused by its name; a deploy goes on, and removes it."""
    each(damaged, damage_the_release_before)


def damage_the_release_before(one: Damaged) -> None:
    """Damage the release that was live before, and go on."""
    with ask(one) as crowd:
        other = one.host.run(["readlink", "-f", f"{HOME}/current"]).stdout.strip()
        one.deploy("third")
        one.damage([(f"{other}/app/app.py", "half", "")])
        one.expect_named([f"{other}/app/app.py"])
        for words in ([], [Path(other).name]):
            refused = one.ctl("rollback", *words)
            assert refused.get("failed"), refused
            assert f"{Path(other).name} is not whole ({other}/app/app.py)" in refused["msg"]
        one.deploy("fourth")
        assert not one.host.exists(other)
        assert not one.ctl("doctor").get("failed")
    expect_answers(one, crowd, [])


def test_the_role_heals(damaged: list[Damaged], source: Path) -> None:
    """A play does as its steps do: it ships the source again when the live release is damaged."""
    write_source(source, "fourth")
    for one in damaged:
        release = one.host.run(["readlink", "-f", f"{HOME}/current"]).stdout.strip()
        lost = [(f"{CONF}/app.json", "type", ""), (f"{CONF}/live.map", "missing", "")]
        lost += [(f"{HOME}/history.jsonl", "half", ""), (f"{release}/app/app.py", "empty", "")]
        one.damage(lost)
        one.host.run(f"rm -rf {release}/app/static")
    played = apply_role([one.host for one in damaged], variables(source))
    assert {host.changed > 0 for host in played.recap.values()} == {True}, played.output
    assert apply_role([one.host for one in damaged], variables(source)).changed == 0
    for one in damaged:
        assert one.host.http("/", NAME).json() == {"marker": "fourth"}
        assert not one.ctl("doctor", "--thorough").get("failed")
