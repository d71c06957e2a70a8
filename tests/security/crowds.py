"""Clients who keep a server waiting, and visitors beside them: all in one program that leaves the host its processors.

``python -m tests.security.crowds`` reads its orders, a JSON object, from standard input, and prints what came of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

from tests.support.commands import ROOT

DRIP_SECONDS = 3.0  # from one byte to the next
SMALL_BUFFER = 4096  # bytes that a slow reader takes at a time


def attack(ip: str, host: str, kind: str, path: str, *, at: tuple[str, int] | None = None) -> dict[str, Any]:
    """Let 1,000 clients keep a host waiting, and 40 visitors ask meanwhile.

    The clients ask ``at`` another name and port, if it is given, for the path. Returns how many were ``connected`` when
    the first visitor came, how many visitors were ``served``, and the ``slowest`` of these in seconds.
    """
    attacked, port = at or (host, 80)
    orders = {"ip": ip, "host": host, "attacked": attacked, "port": port, "kind": kind, "path": path, "clients": 1000}
    command = [sys.executable, "-m", "tests.security.crowds"]
    done = subprocess.run(
        command, input=json.dumps(orders), capture_output=True, text=True, cwd=ROOT, timeout=180, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Crowd:
    """Slow clients of one kind, and visitors."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self.orders = orders
        self.address = (orders["ip"], 80)
        self.attacked = (orders["ip"], orders["port"])
        self.connected = 0
        self.ended = asyncio.Event()

    async def run(self) -> dict[str, Any]:
        """Let the clients come within three seconds, and then the visitors, four a second."""
        loop = asyncio.get_running_loop()
        slow = [asyncio.create_task(self.client(number)) for number in range(self.orders["clients"])]
        deadline = loop.time() + 15  # seconds in which a busy host has started all processes
        while self.connected < len(slow) and loop.time() < deadline:  # noqa: ASYNC110 - they come and go
            await asyncio.sleep(0.1)
        connected = self.connected
        visitors = []
        for _ in range(40):
            visitors.append(asyncio.create_task(self.visitor(loop.time())))
            await asyncio.sleep(0.25)
        times = [each for each in await asyncio.gather(*visitors) if each is not None]
        still = self.connected
        self.ended.set()
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return {
            "connected": connected,
            "still": still,
            "served": len(times),
            "slowest": round(max(times, default=0), 2),
        }

    async def visitor(self, began: float) -> float | None:
        """Ask for the page within ten seconds; return how long it took, or nothing if there was no answer."""
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            answer = await asyncio.wait_for(self.page(), 10)
            return asyncio.get_running_loop().time() - began if answer.startswith(b"HTTP/1.1 200 ") else None
        return None

    async def page(self) -> bytes:
        """Ask for the page, and return the whole answer."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: {self.orders['host']}\r\nConnection: close\r\n\r\n".encode())
            return await reader.read()
        finally:
            writer.close()

    async def client(self, number: int) -> None:
        """Keep the server waiting, and come again when it has had enough."""
        await asyncio.sleep(3 * number / self.orders["clients"])
        while not self.ended.is_set():
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await self.once()
            await asyncio.sleep(0.5)

    async def once(self) -> None:
        """Make one connection, and keep it."""
        connection = socket.socket()
        connection.settimeout(0)
        if self.orders["kind"] == "read":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(connection, self.attacked)
            self.connected += 1
            try:
                await self.dawdle(connection)
            finally:
                self.connected -= 1
        finally:
            connection.close()

    async def dawdle(self, connection: socket.socket) -> None:
        """Send or read in drops, until the server closes the connection."""
        loop, kind = asyncio.get_running_loop(), self.orders["kind"]
        method, path, name = "POST" if kind == "body" else "GET", self.orders["path"], self.orders["attacked"]
        head = f"{method} {path} HTTP/1.1\r\nHost: {name}\r\n"
        if kind == "body":
            head += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n\r\na="
        elif kind == "read":
            head += "Connection: close\r\n\r\n"
        await loop.sock_sendall(connection, head.encode())
        while True:
            await asyncio.sleep(DRIP_SECONDS)
            if kind == "read":
                if not await loop.sock_recv(connection, 64):
                    return
            else:
                await loop.sock_sendall(connection, b"X-a: b\r\n" if kind == "header" else b"b")
                with contextlib.suppress(BlockingIOError):
                    if not connection.recv(65536):
                        return


if __name__ == "__main__":
    with contextlib.suppress(PermissionError):  # only root may
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    began = time.monotonic()
    result = asyncio.run(Crowd(json.load(sys.stdin)).run())
    print(json.dumps({**result, "seconds": round(time.monotonic() - began, 1)}))
