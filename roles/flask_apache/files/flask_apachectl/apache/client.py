"""Ask Apache over HTTP, or over HTTPS where a virtual host wants that."""

from __future__ import annotations

import http.client
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST = 2**20  # bytes that are read of an answer
WANTS_TLS = 400  # what Apache answers to plain HTTP at such a virtual host, and to a malformed request


class Reply(NamedTuple):
    """An answer's status, headers and text; bytes that are not UTF-8 are replaced."""

    status: int
    headers: http.client.HTTPMessage
    text: str


class Plain(http.client.HTTPConnection):
    """A connection that may begin as one of a load balancer's: with the truth on where it comes from."""

    speaks_proxy = False

    def connect(self) -> None:
        """Connect to the address."""
        super().connect()
        if self.speaks_proxy:
            self.sock.sendall(proxy_header(self.sock))


class Secure(Plain):
    """A connection over TLS that names the host it asks for, and trusts any certificate: it ends on this machine."""

    name = ""
    shown = b""  # the certificate, in DER

    def connect(self) -> None:
        """Connect to the address, and begin TLS."""
        super().connect()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        wrapped = context.wrap_socket(self.sock, server_hostname=self.name)
        self.sock, self.shown = wrapped, wrapped.getpeercert(binary_form=True) or b""


def proxy_header(connection: socket.socket) -> bytes:
    """Return the first line of a connection in version 1 of the PROXY protocol, of its own addresses."""
    (source, source_port), (target, target_port) = connection.getsockname()[:2], connection.getpeername()[:2]
    family = "TCP6" if connection.family == socket.AF_INET6 else "TCP4"
    return f"PROXY {family} {source} {target} {source_port} {target_port}\r\n".encode("ascii")


def get(
    address: str,
    port: int,
    path: str,
    headers: Mapping[str, str],
    seconds: float,
    *,
    is_secure: bool = False,
    speaks_proxy: bool = False,
) -> Reply:
    """Ask for a path at an address, with a header Host; by HTTPS if ``is_secure``, or if the virtual host wants that.

    ``speaks_proxy`` tells that the port speaks the PROXY protocol.
    Raises OSError or http.client.HTTPException when there is no answer within so many seconds.
    """
    secure = Secure(address, port, timeout=seconds)
    secure.name, secure.speaks_proxy = headers["Host"], speaks_proxy
    if is_secure:
        return _ask(secure, path, headers)
    plain = Plain(address, port, timeout=seconds)
    plain.speaks_proxy = speaks_proxy
    reply = _ask(plain, path, headers)
    if reply.status != WANTS_TLS:
        return reply
    try:
        return _ask(secure, path, headers)
    except ssl.SSLError:
        return reply


def certificate(address: str, port: int, name: str, seconds: float, *, speaks_proxy: bool = False) -> bytes:
    """Return the certificate that an address shows to those who ask for a name, in DER. Raises OSError."""
    secure = Secure(address, port, timeout=seconds)
    secure.name, secure.speaks_proxy = name, speaks_proxy
    try:
        secure.connect()
        return secure.shown
    finally:
        secure.close()


def _ask(connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]) -> Reply:
    """Ask once, and close the connection."""
    try:
        connection.request("GET", path, headers={**headers, "User-Agent": "flask-apachectl", "Connection": "close"})
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read(MOST).decode(errors="replace"))
    finally:
        connection.close()
