"""No secret is told: in no output, journal, process list or file but its own, whatever fails."""

from __future__ import annotations

import fnmatch
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tests.security import leaks
from tests.security.leaks import ACME_NAME, CERTIFICATE, NAME, OWN_ENVIRONMENTS, OWN_PLACES, SECRETS, SLEEP
from tests.support import small_app
from tests.support.certificates import issue
from tests.support.parallel import each
from tests.support.playbooks import GROUP, Play, play
from tests.support.releases import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.security.shared import Place

VERBOSE = ("-vvv", "--diff")
# It stays for a second, so that whoever samples processes sees it.
TELL = 'import os, sys, time; print(*os.environ.items(), flush=True); time.sleep(1); sys.exit(int(os.environ["CODE"]))'
TELLS = f"python -c '{TELL}'"
GOOD: dict[str, Any] = {
    "app": "leaks",
    "server_name": NAME,
    "port": 8190,
    "https_port": 8490,
    "wsgi": "app:app",
    "requirements": [],
    "tls": "files",
    "tls_certificate": CERTIFICATE.pem,
    "tls_key": SECRETS["tls_key"].value,
    "index_url": SECRETS["index_url"].value,
    "extra_index_urls": SECRETS["extra_index_urls"].value,
    "basic_auth": SECRETS["basic_auth"].value,
    "environment": {"CODE": "0", **SECRETS["environment"].value},
    "hooks": [{"at": "before_start", "run": TELLS}],
}
OVER_ACME = {
    "app": "leaks-acme",
    "server_name": ACME_NAME,
    "https_port": 8491,
    "wsgi": "app:app",
    "requirements": [],
    "environment": SECRETS["environment"].value,
    "tls": "acme",
    "acme_email": "admin@example.com",
    "acme_terms_agreed": True,
    "acme_directory": f"https://{leaks.CLOSED}/directory",
    "acme_key_id": "kid",
    "acme_hmac": SECRETS["acme_hmac"].value,
    "acme_wait": 1,
}
GIT = {"source_type": "git", "git_known_hosts": ["[127.0.0.1]:9 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKJ0"]}


def failing(tmp_path: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """Return runs that fail, as changes of a good one, and what their errors say."""
    needy = small_app.write(tmp_path / "needy", "needy")
    (needy / "requirements.txt").write_text("nothing-has-this-name==1\n")
    torn = small_app.write(tmp_path / "torn", "torn")
    (torn / "app.py").write_text("import os\nraise RuntimeError(str(dict(os.environ)))\n")
    other = small_app.write(tmp_path / "other", "other")
    ssh = {**GIT, "source": "ssh://git@127.0.0.1:9/x", "git_key": SECRETS["git_key"].value}
    return {
        "a hook that tells all and fails": (
            {"environment": {**GOOD["environment"], "CODE": "3"}},
            "hook before_start of release",
        ),
        "an app that tells all and fails": ({"source": str(torn)}, "RuntimeError"),
        "no package": (
            {"source": str(needy), "requirements": ["requirements.txt"], "pip_args": ["--retries=0"]},
            "nothing-has-this-name",
        ),
        "no repository over https": ({**GIT, "source": SECRETS["source"].value}, "cannot be fetched"),
        "no repository by ssh": (ssh, "cannot be fetched"),
        "no repository by ssh from the host": ({**ssh, "git_on": "host"}, "cannot be fetched"),
        "a key of another certificate": ({"tls_certificate": issue(NAME, (NAME,)).pem}, "flask_apache_tls_key must"),
        "an environment that is a list": ({"environment": [*SECRETS["environment"].texts]}, "environment"),
        "an engine that is killed": (
            {"source": str(other), "hooks": [{"at": "before_start", "run": f"sleep {SLEEP}"}]},
            "SIGKILL",
        ),
    }


def book(runs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a playbook of runs of the role, each of which may fail."""
    tasks = []
    for name, variables in runs.items():
        declared = {f"flask_apache_{key}": value for key, value in variables.items()}
        role = {"ansible.builtin.include_role": {"name": "flask_apache"}, "vars": declared}
        failed = {"ansible.builtin.debug": {"msg": f"FAILED {name}"}}
        tasks.append({"name": name, "block": [role], "rescue": [failed]})
    return [{"hosts": GROUP, "become": True, "gather_facts": False, "tasks": tasks}]


def test_secrets_stay_in_their_places(places: list[Place], tmp_path: Path) -> None:
    """A check run, a first run, and runs that fail in all kinds of ways: all as verbose as can be."""
    hosts = [place.host for place in places]
    source = small_app.write(tmp_path / "source", "leaks")
    good = {**GOOD, "source": str(source)}
    runs = {"good": good, "by acme": {**OVER_ACME, "source": str(source)}}
    faults = failing(tmp_path)
    each(hosts, lambda host: host.run("touch /tmp/began"))
    with ThreadPoolExecutor() as executor:
        watched = [executor.submit(leaks.watch, host) for host in hosts]
        assert all(each(hosts, lambda host: wait_until(lambda: host.exists("/tmp/watched"), 30)))
        try:
            plays = [
                play(hosts, book(runs), None, *VERBOSE, "--check"),
                play(hosts, book(runs), None, *VERBOSE),
                play(hosts, book({name: {**good, **change} for name, (change, _) in faults.items()}), None, *VERBOSE),
            ]
        finally:
            each(hosts, lambda host: host.run("rm /tmp/watched"))
        processes = [future.result() for future in watched]
    expect_outcomes(plays, faults, len(hosts))
    for one in plays:
        assert leaks.found_in(one.output) == []
        assert len(one.output) > 20_000
    for host, seen in zip(hosts, processes, strict=True):
        print(f"{host.name}: {seen['rounds']} samples of all processes")
        assert seen["killed"] >= 1
        told = [
            (option, user, part, line)
            for option, user, part, line in seen["seen"]
            if part == "cmdline" or user not in OWN_ENVIRONMENTS.get(option, ())
        ]
        assert told == []
        assert "environment" in {option for option, _, _, _ in seen["seen"]}, "the hook has it, so the watch works"
    each(places, expect_own_places)


def expect_outcomes(plays: list[Play], faults: Mapping[str, tuple[dict[str, Any], str]], hosts: int) -> None:
    """Expect that each run did what it was for."""
    checked, first, failed = plays
    for one in (checked, first):
        assert "msg: FAILED" not in one.stdout, re.findall(r"(?s)\[ERROR\].{,900}", one.output)
    for name, (_, says) in faults.items():
        assert len(re.findall(rf"(?m)^\s+msg: FAILED {name}$", failed.stdout)) == hosts, name
        assert says in failed.stdout, (name, says)
    assert "****" in failed.stdout


def expect_own_places(place: Place) -> None:
    """Expect the canaries in the files that are theirs, which not everybody can read, and in no others."""
    found = leaks.find(place.host)
    assert found["files"] > 100
    wrong = [
        (option, path, is_public)
        for option, path, is_public in found["found"]
        if is_public or not any(fnmatch.fnmatchcase(path, own) for own in OWN_PLACES.get(option, ()))
    ]
    assert wrong == []
    assert {option for option, _, _ in found["found"]} == set(OWN_PLACES), "each is in its own place"
    for app in ("leaks", "leaks-acme"):
        told = place.host.run(["flask-apachectl", "--json", "--app", app, "history"]).stdout
        assert (
            leaks.found_in(told + json.dumps(place.host.run(f"flask-apachectl --app {app} doctor", check=False).stdout))
            == []
        )
