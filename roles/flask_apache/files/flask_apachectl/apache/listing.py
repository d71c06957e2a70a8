"""Apache's own word on its configuration: its virtual hosts, in the order in which it asks them, and where it listens.

`apache2 -t -D DUMP_VHOSTS -D DUMP_CONFIG` prints both as Apache has understood them: included files, <IfModule> and
macros are resolved.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask_apachectl import paths
from flask_apachectl.errors import RefusedError
from flask_apachectl.host import report

PROGRAM = Path("/usr/sbin/apache2")
INFO = "LoadModule info_module /usr/lib/apache2/modules/mod_info.so"  # prints the directives
POOLS = ("127.0.0.1", "1")  # where no site is
ADDED = "-c/-C directives"  # where Apache says that a virtual host of the command line is defined
# As Debian's apache2ctl does; but the directories of a run may not be there before the first start.
START = f""". {paths.APACHE}/envvars
[ -d "$APACHE_RUN_DIR" ] || APACHE_RUN_DIR=/run
[ -d "$APACHE_LOCK_DIR" ] || APACHE_LOCK_DIR=/run
exec apache2 "$@" """
CHAIN = re.compile(r"(\S+):(\d+|\*)\s+(?:is a NameVirtualHost|(\S+) \((.*):(\d+)\))$")
NAMED = re.compile(r"\s+port (?:\d+|\*) namevhost (\S+) \((.*):(\d+)\)$")
ALIAS = re.compile(r"\s+(?:wild )?alias (\S+)$")
LISTEN = re.compile(r'\s*Listen\s+"?(?:(\S*):)?(\d+)"?(?:\s|$)', re.IGNORECASE)
ALL_ADDRESSES = ("", "*", "0.0.0.0", "[::]")  # noqa: S104 - how a directive writes them


@dataclass(frozen=True)
class VirtualHost:
    """A virtual host at one of its addresses; port 0 and address ``*`` stand for all. Names are in lower case."""

    address: str
    port: int
    names: tuple[str, ...]  # its server name, then its aliases
    file: str
    line: int

    def answers(self, name: str) -> bool:
        """Tell whether it is the one for a name, if none before it is."""
        return any(matches(pattern, name) for pattern in self.names)

    def __str__(self) -> str:
        """Name the place where it is defined."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Listen:
    """A directive Listen; no address stands for all."""

    address: str
    port: int
    file: str
    line: int


@dataclass(frozen=True)
class Listing:
    """What Apache has: ``main`` is the name of its main server, ``root`` that one's DocumentRoot."""

    hosts: tuple[VirtualHost, ...] = ()
    listens: tuple[Listen, ...] = ()
    main: str = ""
    root: str = ""


@dataclass
class _Reader:
    hosts: list[VirtualHost] = field(default_factory=list)
    single: list[str] = field(default_factory=list)  # addresses with one virtual host, whose aliases are not shown
    listens: list[Listen] = field(default_factory=list)
    main: str = ""
    root: str = ""
    address: tuple[str, int] = ("*", 0)
    file: str = ""
    line: int = 0

    def add(self, name: str, file: str, line: str) -> None:
        if file == ADDED:
            self.main = name if self.address == ("*", 2) else self.main
        else:
            self.hosts.append(VirtualHost(*self.address, (name.lower(),), file, int(line)))

    def read(self, text: str) -> None:
        """Read a line: first come the virtual hosts."""
        if self.file:
            self.read_directive(text)
        elif found := CHAIN.match(text):
            self.address = (found[1].replace("_default_", "*"), 0 if found[2] == "*" else int(found[2]))
            if found[3]:
                is_somebodys = found[4] != ADDED and (found[1], found[2]) != POOLS
                self.single += [f"{found[1]}:{found[2]}"] if is_somebodys else []
                self.add(found[3], found[4], found[5])
        elif found := NAMED.match(text):
            self.add(*found.groups())
        elif (found := ALIAS.match(text)) and self.hosts:
            last = self.hosts[-1]
            names = (*last.names, found[1].lower())
            self.hosts[-1] = VirtualHost(last.address, last.port, names, last.file, last.line)
        else:
            self.read_directive(text)

    def read_directive(self, text: str) -> None:
        """Read a line after the virtual hosts."""
        if found := re.match(r"\s*# In file: (.*)", text):
            self.file = found[1]
        elif found := re.match(r"\s*#\s*(\d+):$", text):
            self.line = int(found[1])
        elif found := LISTEN.match(text):
            address = "" if (found[1] or "") in ALL_ADDRESSES else found[1]
            self.listens.append(Listen(address, int(found[2]), self.file, self.line))
        elif found := re.match(r'Main DocumentRoot: "(.*)"', text):
            self.root = found[1]


def matches(pattern: str, name: str) -> bool:
    """Tell whether a name is that of a ServerAlias, in which * stands for any text and ? for a character."""
    wild = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(wild, name, re.IGNORECASE | re.DOTALL) is not None


def example(pattern: str) -> str:
    """Return a name that nobody has but that a pattern means; of a name, itself."""
    return pattern.replace("*", "any-name-of-flask-apache").replace("?", "x")


def chain(hosts: tuple[VirtualHost, ...], address: str, port: int) -> list[VirtualHost]:
    """Return the virtual hosts that a connection to an address and port may get, the default one first."""
    for each in ((address, port), (address, 0), ("*", port), ("*", 0)):
        found = [host for host in hosts if (host.address, host.port) == each]
        if found:
            return found
    return []


def winner(hosts: list[VirtualHost], name: str) -> VirtualHost | None:
    """Return the virtual host of a chain that answers for a name; None stands for the main server."""
    return next((host for host in hosts if host.answers(name)), hosts[0] if hosts else None)


def read(directory: str = "") -> Listing:
    """Return what Apache makes of the configuration on disk, or in another directory than its own.

    Raises RefusedError with what Apache says when it is not valid.
    """
    found = of_text(_dump(directory))
    if found.single:  # a second virtual host there makes Apache show the aliases of the first one
        found = of_text(_dump(directory, "-c", f"<VirtualHost {' '.join(found.single)}>", "-c", "</VirtualHost>"))
    return Listing(tuple(found.hosts), tuple(found.listens), found.main, found.root)


def of_json(value: dict[str, Any]) -> Listing:
    """Return a listing of the JSON of its ``asdict``."""
    hosts = tuple(VirtualHost(**{**each, "names": tuple(each["names"])}) for each in value["hosts"])
    return Listing(hosts, tuple(Listen(**each) for each in value["listens"]), value["main"], value["root"])


def of_text(text: str) -> _Reader:
    """Read what Apache prints."""
    reader = _Reader()
    for line in text.splitlines():
        reader.read(line)
    return reader


def _dump(directory: str, *more: str) -> str:
    """Return what Apache prints of its configuration. A virtual host without a name shows the main server's."""
    dumps = [word for name in ("VHOSTS", "CONFIG", "RUN_CFG") for word in ("-D", f"DUMP_{name}")]
    nameless = ("-c", "<VirtualHost *:2>", "-c", "</VirtualHost>")
    where = ("-d", directory) if directory else ()
    command = ["sh", "-c", START, "sh", "-t", *where, *dumps, "-C", INFO, *nameless, *more]
    done = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise RefusedError(report.tail(done.stderr or done.stdout, report.LOG_LINES))
    return done.stdout
