"""Where programs of this host listen, as the kernel says. Reads only."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from flask_apachectl.host import facts

LISTENING = "0A"  # the state TCP_LISTEN in /proc/net/tcp
# In /proc/net/unix: the flag of a listener, and the states of a connection before and after it was accepted.
ACCEPTS, WAITS, ACCEPTED = "00010000", "02", "03"
ALL = ("0.0.0.0", "::")  # noqa: S104 - addresses of listeners


@dataclass(frozen=True)
class Socket:
    """A listener, and the program that has it. ``pids`` are all its processes that this user may look at."""

    address: str
    port: int
    program: str = "another program"
    pids: tuple[int, ...] = ()

    def is_of(self, pid: int | None) -> bool:
        """Tell whether a process has it."""
        return pid in self.pids

    def covers(self, address: str) -> bool:
        """Tell whether nobody else can listen at an address, on the same port."""
        return self.address == address or self.address in ALL or address in ALL

    def __str__(self) -> str:
        """Name the program."""
        return f"{self.program} (pid {self.pids[0]})" if self.pids else self.program


def listening() -> list[Socket]:
    """Return all listeners for TCP, each with its program."""
    found: dict[str, tuple[str, int]] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in facts.read(Path(table)).splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING:
                address, _, port = fields[1].rpartition(":")
                found[f"socket:[{fields[9]}]"] = (address_of(address), int(port, 16))
    holders: dict[str, list[int]] = {}
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            names = {os.readlink(entry.path) for entry in os.scandir(process / "fd")}
        except OSError:
            continue
        for name in names & found.keys():
            holders.setdefault(name, []).append(int(process.name))
    return [
        Socket(*place, _program(holders[name][0]), tuple(holders[name])) if name in holders else Socket(*place)
        for name, place in found.items()
    ]


def connections() -> dict[str, tuple[int, int]]:
    """Return how many connections each listening Unix socket has accepted and has open, and how many wait, by paths."""
    rows = [line.split(maxsplit=7) for line in facts.read(Path("/proc/net/unix")).splitlines()[1:]]
    named = [(row[7], row[3], row[5]) for row in rows if row[7:]]
    found = {path: (0, 0) for path, flags, _ in named if flags == ACCEPTS}
    for path, flags, state in named:
        if path in found and flags != ACCEPTS:
            accepted, waiting = found[path]
            found[path] = (accepted + (state == ACCEPTED), waiting + (state == WAITS))
    return found


def is_local(address: str) -> bool:
    """Tell whether an address is one of this host's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def has_ipv4_loopback() -> bool:
    """Tell whether this host speaks IPv4 with itself."""
    return is_local("127.0.0.1")


def address_of(text: str) -> str:
    """Return an address of the kernel's hexadecimal form: words of four bytes, in the machine's order."""
    words = [bytes.fromhex(text[start : start + 8]) for start in range(0, len(text), 8)]
    packed = b"".join(word[::-1] for word in words) if sys.byteorder == "little" else b"".join(words)
    found = ipaddress.ip_address(packed)
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def _program(pid: int) -> str:
    return facts.read(Path(f"/proc/{pid}/comm")).strip()
