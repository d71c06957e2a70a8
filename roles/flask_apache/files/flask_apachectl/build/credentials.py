"""Credentials of package indexes, and how to keep them out of messages."""

from __future__ import annotations

import base64
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from flask_apachectl.host import report

if TYPE_CHECKING:
    from collections.abc import Iterable


def of_addresses(urls: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return host, user and password of the addresses that have them."""
    parts = [urllib.parse.urlsplit(url) for url in urls]
    return [
        (part.hostname or "", urllib.parse.unquote(part.username or ""), urllib.parse.unquote(part.password))
        for part in parts
        if part.password
    ]


def secret_forms(user: str, password: str) -> list[str]:
    """Return how a password may be written, in a message or in a cache."""
    both = f"{user}:{password}"
    alone = [password, urllib.parse.quote(password, safe="")] if len(password) >= report.TELLING else []
    return [base64.b64encode(both.encode()).decode(), both, *alone]


def hide_proxy(arguments: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return pip's arguments without a proxy, and the environment that names it: it may have a password.

    Every user of a host can read the arguments of all processes, but not their environment.
    """
    shown, environment = list[str](), dict[str, str]()
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option == "--proxy":
            environment["PIP_PROXY"] = value if equals else next(words, "")
        else:
            shown.append(word)
    return shown, environment


def access_trouble(url: str) -> str:
    """Say what is wrong with an index's credentials, which pip keeps to itself."""
    address = report.redact(url, []).replace("****@", "")
    for _, user, password in of_addresses([url]):
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        request = urllib.request.Request(address, headers={"Authorization": f"Basic {token}"})  # noqa: S310 - http only
        try:
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - http only
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                return f"{address} answers {error.code}: see the user and password in flask_apache_index_url"
        except OSError as error:
            return f"{address} cannot be reached: {error}"
    return ""
