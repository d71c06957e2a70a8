"""Canaries in every secret that the role takes, and programs that look for them on a host while it works, and after."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.certificates import issue

if TYPE_CHECKING:
    from tests.support.hosts import Host

NAME, ACME_NAME = "leaks.example.com", "leaks-acme.example.com"
CLOSED = "127.0.0.1:9"  # nobody listens there
SLEEP = "4242"  # seconds of a hook, by which the engine is found that is to be killed
# Places of a value that are its own, as patterns of Python's fnmatch: others than these have no canary.
CONF, HOME = "/etc/flask-apache", "/srv/flask-apache"
OWN_PLACES = {
    "environment": (f"{CONF}/leak*/env", f"{HOME}/leak*/releases/*/env"),
    "tls_key": (f"{CONF}/vhosts/{NAME}-*/key.pem",),
    "acme_hmac": (f"{CONF}/vhosts/{ACME_NAME}-*/external-account.json", "/etc/apache2/md/*"),
}
# Who may have it in the environment of a process: the user for whom it is.
OWN_ENVIRONMENTS = {
    "environment": ("root", "leaks"),
    "index_url": ("root", "build_leaks"),
    "extra_index_urls": ("root", "build_leaks"),
}

# Reads canaries and what to kill from standard input. Samples all processes until /tmp/watched is removed; then prints
# the canaries that it has seen, each with the user and what of the process had it, how often it looked, and how many
# engines it killed.
WATCH = """
import json, os, pathlib, pwd, signal, sys, time
asked = json.load(sys.stdin)
canaries = {name: [text.encode() for text in texts] for name, texts in asked["canaries"].items()}
seen, looks, killed, rounds, own = set(), {}, 0, 0, str(os.getpid())
open("/tmp/watched", "w").close()

def name(uid):
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

def engine_above(process):
    while True:
        parent = pathlib.Path("/proc", (process / "stat").read_text().rpartition(")")[2].split()[1])
        if parent.name in ("0", "1"):
            return None
        if parent.stat().st_uid == 0 and b"/proc/self/fd" in (parent / "cmdline").read_bytes():
            return int(parent.name)
        process = parent

while os.path.exists("/tmp/watched"):
    rounds += 1
    time.sleep(0.02)
    numbers = [number for number in os.listdir("/proc") if number.isdigit() and number != own]
    looks = {number: looks.get(number, 0) + 1 for number in numbers}
    # What is new is looked at each time, as it may start another program in its place; the rest now and then.
    for process in [pathlib.Path("/proc", number) for number in numbers if looks[number] < 20 or rounds % 50 == 0]:
        for part in ("cmdline", "environ"):
            try:
                content, user = (process / part).read_bytes(), name(process.stat().st_uid)
            except OSError:
                continue
            for option, texts in canaries.items():
                if any(text in content for text in texts):
                    seen.add((option, user, part, content.decode(errors="replace")[:200] if part == "cmdline" else ""))
            if part == "cmdline" and content.rstrip(b"\\0").endswith(b"\\0" + asked["kill"].encode()):
                try:
                    engine = engine_above(process)
                    if engine:
                        os.kill(engine, signal.SIGKILL)
                        killed += 1
                except OSError:
                    pass
print(json.dumps({"seen": sorted(seen), "rounds": rounds, "killed": killed}))
"""
# Reads canaries from standard input; prints the files that have them and changed since /tmp/began; and the journal.
FIND = """
import json, os, stat, subprocess, sys
canaries = {name: [text.encode() for text in texts] for name, texts in json.load(sys.stdin).items()}

def is_public(path, status):
    while path != "/" and status.st_mode & (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else stat.S_IROTH):
        path = os.path.dirname(path)
        status = os.stat(path)
    return path == "/"

began, found, number = os.stat("/tmp/began").st_mtime, [], 0
for directory, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(directory, name) not in ("/proc", "/sys")]
    for path in (os.path.join(directory, name) for name in files):
        try:
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode) or status.st_ctime < began:
                continue
            content = open(path, "rb").read()
        except OSError:
            continue
        number += 1
        for option, texts in canaries.items():
            if any(text in content for text in texts):
                found.append((option, path, is_public(path, status)))
journal = subprocess.run(["journalctl", "--no-pager", "--output=export"], capture_output=True).stdout
for option, texts in canaries.items():
    if any(text in journal for text in texts):
        found.append((option, "journal", True))
print(json.dumps({"found": found, "files": number}))
"""


@dataclass(frozen=True)
class Secret:
    """The value of a secret option, and the texts by which it is recognised wherever it is."""

    value: Any
    texts: tuple[str, ...]


def secrets() -> dict[str, Secret]:
    """Return a value with a canary for each secret option, and of an address with credentials (``source``)."""
    words = {
        name: f"canary-{number}-Kx7"
        for number, name in enumerate(("token", "password", "index", "more", "source", "login"))
    }
    lines = f"{words['token']}-first\n{words['token']}-second"
    hmac = base64.urlsafe_b64encode(b"canary of the authority's account").decode()
    return {
        "environment": Secret(
            {
                "API_TOKEN": words["token"],
                "DATABASE_URL": f"postgresql://shop:{words['password']}@127.0.0.1/shop",
                "SIGNING_KEY": lines,
            },
            (words["token"], words["password"]),
        ),
        "index_url": Secret(f"https://user:{words['index']}@{CLOSED}/simple", (words["index"],)),
        "extra_index_urls": Secret([f"https://user:{words['more']}@127.0.0.2:9/more"], (words["more"],)),
        "git_key": of_key(deploy_key()),
        "tls_key": of_key(CERTIFICATE.key),
        "acme_hmac": Secret(hmac, (hmac,)),
        "basic_auth": Secret([{"users": {"ada": words["login"]}}], (words["login"],)),
        "source": Secret(f"https://user:{words['source']}@{CLOSED}/shop.git", (words["source"],)),
    }


def of_key(text: str) -> Secret:
    """Return a private key; each long line of it but the first, which may be the same for all keys, is a canary."""
    return Secret(text, tuple(line for line in text.splitlines()[2:-1] if len(line) > 20))


def deploy_key() -> str:
    """Return a new ssh key."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        return path.read_text()


CERTIFICATE = issue(NAME, (NAME,), rsa_bits=2048)
SECRETS = secrets()


def texts() -> dict[str, list[str]]:
    """Return what is looked for, also as base64 has it: Ansible and systemd may encode what they keep."""
    encoded = {
        name: [base64.b64encode(text.encode()).decode().rstrip("=") for text in each.texts]
        for name, each in SECRETS.items()
    }
    return {name: [*each.texts, *encoded[name]] for name, each in SECRETS.items()}


def found_in(output: str) -> list[str]:
    """Return the options whose secrets are in an output."""
    return [name for name, each in texts().items() if any(text in output for text in each)]


def find(host: Host) -> dict[str, Any]:
    """Look into each file that has changed since /tmp/began, and into the journal."""
    found: dict[str, Any] = json.loads(host.run(["python3", "-c", FIND], stdin=json.dumps(texts())).stdout)
    return found


def watch(host: Host) -> dict[str, Any]:
    """Sample the processes of a host until `stop_watching`."""
    asked = json.dumps({"canaries": texts(), "kill": SLEEP})
    found: dict[str, Any] = json.loads(host.run(["python3", "-c", WATCH], stdin=asked, timeout=900).stdout)
    return found
