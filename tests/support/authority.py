"""An authority that issues certificates by ACME: Debian's pebble, on a host of its own."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.certificates import Issued, issue
from tests.support.releases import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.hosts import Host

NAME, PORT = "acme.example.net", 14000
DIRECTORY = f"https://{NAME}:{PORT}/dir"
KEY_ID, HMAC = "customer-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
CONFIGURATION = {
    "listenAddress": f"0.0.0.0:{PORT}",
    "managementListenAddress": "127.0.0.1:15000",
    "certificate": "/etc/pebble/own.pem",
    "privateKey": "/etc/pebble/own.key",
    "httpPort": 80,
    "tlsPort": 443,
    "ocspResponderURL": "",
}


@dataclass
class Authority:
    """Pebble on a host: it forgets everything when it is stopped."""

    host: Host
    root: Issued = field(default_factory=lambda: issue("the authority's own root"))

    def install(self) -> None:
        """Install pebble, and give it a certificate of its own."""
        own = issue(NAME, (NAME,), self.root)
        self.host.run("apt-get update -qq && apt-get install -qq --no-install-recommends pebble ca-certificates")
        self.host.write("/etc/pebble/own.pem", own.pem)
        self.host.write("/etc/pebble/own.key", own.key)

    def start(self, *, rejected_nonces: int = 0, wants_account: bool = False) -> None:
        """Start it: with a percentage of nonces that it rejects, perhaps for known customers only."""
        account = {"externalAccountBindingRequired": True, "externalAccountMACKeys": {KEY_ID: HMAC}}
        text = json.dumps({"pebble": {**CONFIGURATION, **(account if wants_account else {})}})
        self.host.write("/etc/pebble/config.json", text)
        settings = [f"--setenv=PEBBLE_WFE_NONCEREJECT={rejected_nonces}", "--setenv=PEBBLE_VA_NOSLEEP=1"]
        self.host.run(
            ["systemd-run", "--quiet", "--unit=pebble", *settings, "pebble", "-config", "/etc/pebble/config.json"]
        )
        assert wait_until(lambda: f":{PORT}" in self.host.run("ss -ltn").stdout, 10)

    def stop(self) -> None:
        """Stop it."""
        self.host.run("systemctl stop pebble", check=False)

    def serve(self, host: Host, names: Iterable[str]) -> None:
        """Let a host know the authority and trust it, and the authority know where the names are."""
        host.run(f"echo {self.host.ip} {NAME} >>/etc/hosts")
        host.write("/usr/local/share/ca-certificates/authority.crt", self.root.pem)
        host.run("update-ca-certificates --fresh >/dev/null")
        line = f"{host.ip} {' '.join(names)}"
        self.host.run(f"echo {shlex.quote(line)} >>/etc/hosts")

    def is_issuer(self, pem: str) -> bool:
        """Tell whether a certificate is the authority's."""
        done = self.host.run("openssl x509 -noout -issuer", stdin=pem)
        return re.search(r"Pebble Intermediate", done.stdout) is not None
