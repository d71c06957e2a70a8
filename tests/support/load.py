"""Visitors: a program of its own that asks a host all the time and records every answer.

``python -m tests.support.load`` reads its orders, a JSON object, from the first line of standard input, asks until
standard input ends, lets the requests in flight end, and prints one JSON array a request. `visitors` does all that.

A request counts from the moment at which its turn came, not from the moment at which a client that was still waiting
for the last answer got around to it: so a stall is seen by all the requests that it delays. Visitors have machines of
their own: where it may, the program does not wait for a processor that the hosts are using.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import ssl
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.commands import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.hosts import Host

ANSWER_SECONDS = 60
# In a reload, mod_wsgi removes its socket, creates another one, and then gives that to Apache's user.
NO_SOCKET = r"^\[.*\((2\)No such file or directory|13\)Permission denied): .*Unable to connect to WSGI daemon process"
UPLOAD_BYTES = 20_000


class Client(NamedTuple):
    """A kind of visitor: how many of them, and how often each asks (seconds from one request to the next)."""

    kind: str
    clients: int
    every: float
    path: str = "/"
    keep_alive: bool = False
    upload_seconds: float = 0
    """Not 0: a POST whose body takes so long."""
    headers: tuple[tuple[str, str], ...] = ()


class Answer(NamedTuple):
    """What one request got. The times are `time.monotonic`'s, the same in all processes of this machine."""

    kind: str
    began: float
    ended: float
    status: int
    """0: there was no answer, and ``problem`` says why."""
    problem: str
    body: Any

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass
class Visitors:
    """A crowd that is asking. ``answers`` is filled when it has ended."""

    answers: list[Answer] = field(default_factory=list)

    def failed(self) -> list[Answer]:
        """Return what was not answered with 200, or not with JSON."""
        return [answer for answer in self.answers if answer.status != 200 or not isinstance(answer.body, dict)]

    def failed_beside_a_reload(self, host: Host) -> list[Answer]:
        """Return the same without the requests that a reload lost while mod_wsgi had no socket.

        Apache's error log has a line for each of them. More than two are too many for that moment: none is left out.
        """
        said = host.run(["grep", "-rhaE", NO_SOCKET, "/var/log"], check=False).stdout.splitlines()
        clock = time.time() - time.monotonic()
        gaps = {logged_at(line) - clock for line in said}  # a log and the link to it have the same lines
        failed = self.failed()
        excused = [each for each in failed if each.status == 503 and any(each.began <= at <= each.ended for at in gaps)]
        return [each for each in failed if each not in excused] if len(excused) <= min(2, len(gaps)) else failed


def logged_at(line: str) -> float:
    """Return the Unix time of a line of Apache's error log; the hosts' zone is UTC."""
    text = line[1 : line.index("]")]
    return datetime.strptime(text, "%a %b %d %H:%M:%S.%f %Y").replace(tzinfo=timezone.utc).timestamp()


@contextlib.contextmanager
def visitors(
    ip: str, host: str, clients: Iterable[Client], port: int = 80, *, https: bool = False
) -> Iterator[Visitors]:
    """Let clients ask a host for as long as the block runs. They trust any certificate."""
    orders = {"ip": ip, "port": port, "host": host, "https": https, "clients": list(clients)}
    with tempfile.TemporaryFile("w+") as records:
        command = [sys.executable, "-m", "tests.support.load"]
        program = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=records, text=True)
        crowd = Visitors()
        try:
            assert program.stdin is not None
            program.stdin.write(json.dumps(orders) + "\n")
            program.stdin.flush()
            yield crowd
            program.communicate(timeout=2 * ANSWER_SECONDS)
            assert program.returncode == 0, "the load generator broke"
        finally:
            program.kill()
            program.wait()
        records.seek(0)
        crowd.answers += [Answer(*json.loads(line)) for line in records]


def percentile(answers: Iterable[Answer], share: float) -> float:
    """Return the seconds that a share of the answers, such as 0.99, did not exceed."""
    ordered = sorted(answer.seconds for answer in answers)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


# --- The program -----------------------------------------------------------------------------------------------------


class Crowd:
    """Clients of one host, in one event loop."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self.address = (orders["ip"], orders["port"])
        self.host = orders["host"]
        self.secure: dict[str, Any] = {}
        if orders["https"]:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.secure = {"ssl": context, "server_hostname": self.host}
        self.clients = [Client(*each) for each in orders["clients"]]
        self.ended = asyncio.Event()

    async def run(self) -> None:
        """Ask until standard input ends."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        tasks = [
            asyncio.create_task(self.visit(client, number / client.clients))
            for client in self.clients
            for number in range(client.clients)
        ]
        await reader.read()
        self.ended.set()
        await asyncio.gather(*tasks)

    async def visit(self, client: Client, phase: float) -> None:
        """Be one client, whose turns come every so often."""
        turn = time.monotonic() + phase * client.every
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self.ended.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.ended.wait(), max(0, turn - time.monotonic()))
            if self.ended.is_set():
                break
            status, problem, body = 0, "", None
            try:
                if connection is None:
                    connection = await asyncio.open_connection(*self.address, **self.secure)
                status, text, closes = await asyncio.wait_for(self.ask(client, *connection), ANSWER_SECONDS)
                if closes or not client.keep_alive:
                    connection[1].close()
                    connection = None
                try:
                    body = json.loads(text)
                except ValueError:
                    problem = text.decode(errors="replace")[:300]
            except (OSError, EOFError, ValueError, IndexError, asyncio.TimeoutError) as error:
                problem = f"{type(error).__name__}: {error}"
                if connection is not None:
                    connection[1].close()
                    connection = None
            print(json.dumps([client.kind, turn, time.monotonic(), status, problem, body]))
            turn += client.every
        if connection is not None:
            connection[1].close()

    async def ask(
        self, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[int, bytes, bool]:
        """Send a request; return its answer's status and body, and whether the server closes the connection."""
        headers = {"Host": self.host, "Connection": "keep-alive" if client.keep_alive else "close"}
        if client.upload_seconds:
            headers["Content-Length"] = str(UPLOAD_BYTES)
        method = "POST" if client.upload_seconds else "GET"
        lines = [f"{name}: {value}" for name, value in (*headers.items(), *client.headers)]
        writer.write("\r\n".join([f"{method} {client.path} HTTP/1.1", *lines, "", ""]).encode())
        if client.upload_seconds:
            pieces = 20
            for _ in range(pieces):
                writer.write(b"x" * (UPLOAD_BYTES // pieces))
                await writer.drain()
                await asyncio.sleep(client.upload_seconds / pieces)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        answered = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        if "content-length" in answered:
            body = await reader.readexactly(int(answered["content-length"]))
        else:
            body = await reader.read()
        closes = answered.get("connection", "").lower() == "close" or "content-length" not in answered
        return int(head[0].split(" ", 2)[1]), body, closes


if __name__ == "__main__":
    with contextlib.suppress(PermissionError):  # only root may
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    asyncio.run(Crowd(json.loads(sys.stdin.readline())).run())
