"""What else restarts or stops Apache: jobs of cron and systemd, logrotate, certbot, apt."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from flask_apachectl.diagnosis.finding import WARNING, Kind, command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_apachectl.diagnosis.finding import Finding

SUBJECT = "Other programs"
ROOT = Path("/")
PLACES = (
    "etc/crontab",
    "etc/cron.*/*",
    "var/spool/cron/crontabs/*",
    "etc/logrotate.conf",
    "etc/logrotate.d/*",
    "etc/letsencrypt/cli.ini",
    "etc/letsencrypt/renewal/*.conf",
    "etc/letsencrypt/renewal-hooks/*/*",
    "etc/apt/apt.conf.d/*",
    "etc/systemd/system/*.service",
    "etc/systemd/system/*.service.d/*.conf",
    "etc/networkd-dispatcher/*/*",
    "etc/ppp/ip-*.d/*",
)
OWN = re.compile(r"/etc/systemd/system/(apache2|flask-apache)")
MOST = 65536  # bytes of a file that is looked at
SCRIPTS = ("/usr/local/", "/opt/", "/root/", "/home/", "/srv/")  # where people have their own
UNTIL = r"[^;&|\n]*?"  # the end of a command
VERB = r"(?P<verb>(?:try-|cond)?restart|force-reload|stop)\b"
APACHES = r"\b(?:apache2ctl|apachectl|apache2(?=\s+-k))"  # programs of Apache itself
COMMANDS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\bsystemctl\b{UNTIL}\s{VERB}{UNTIL}\bapache2(?:\.service)?(?![\w@.-])",
        rf"(?:\bservice|\binvoke-rc\.d)\s{UNTIL}\bapache2\s+{VERB}",
        rf"/etc/init\.d/apache2\s+{VERB}",
        rf"{APACHES}\s+(?:-k\s*)?{VERB}",
        r"\b(?P<verb>pkill|killall)\b[^;&|\n]*\bapache2\b",
    )
)
RESTARTS = Kind(
    SUBJECT,
    "A job of cron or systemd, logrotate, certbot or apt restarts Apache",
    WARNING,
    "a restart ends all requests that are under way, on every site; a reload lets them finish",
)
STOPS = Kind(SUBJECT, "One of them stops Apache", WARNING, "visitors of all sites get no answer meanwhile")
KINDS = (RESTARTS, STOPS)


def of_host() -> Iterator[Finding]:
    """Look through the jobs of the host, and through the scripts of people's own that they call."""
    for path, number, line, verb in lines():
        said = f"{path}, line {number}: {line.strip()}"
        if verb in ("stop", "pkill", "killall"):
            yield STOPS.found(said, f"change line {number} of {path} to systemctl reload apache2")
        else:
            softly = "graceful" if re.search(rf"{APACHES}\s+(-k\s*)?{verb}", line) else "reload"
            yield RESTARTS.found(said, command("sed", "-i", f"{number}s/{verb}/{softly}/", path))


def lines() -> Iterator[tuple[Path, int, str, str]]:
    """Yield each line that restarts or stops Apache: its file, its number, its text and the word that does it."""
    todo = [path for place in PLACES for path in sorted(ROOT.glob(place))]
    seen: set[Path] = set()
    while todo:
        path = todo.pop(0)
        is_script = not any(path.match(f"/{place}") or path.match(place) for place in PLACES)
        shown = Path("/", path.relative_to(ROOT))
        if path in seen or OWN.match(str(shown)):
            continue
        seen.add(path)
        for number, line in enumerate(text(path).splitlines(), start=1):
            if line.lstrip().startswith(("#", ";", "//")):
                continue
            found = next((each for pattern in COMMANDS if (each := pattern.search(line))), None)
            if found:
                yield shown, number, line, found["verb"]
            elif not is_script:
                todo += scripts(line)


def scripts(line: str) -> list[Path]:
    """Return the scripts of people's own that a line names."""
    try:
        words = shlex.split(line.partition("=")[2] or line, comments=True)
    except ValueError:
        words = line.split()
    named = [word.lstrip("-@+!") for word in words]
    found = [ROOT / word.lstrip("/") for word in named if word.startswith(SCRIPTS)]
    return [path for path in found if path.is_file()]


def text(path: Path) -> str:
    """Return the text of a small file; nothing of a program."""
    try:
        content = path.read_bytes()[:MOST] if path.is_file() and path.stat().st_size <= MOST else b""
    except OSError:
        return ""
    return "" if b"\0" in content else content.decode(errors="replace")
