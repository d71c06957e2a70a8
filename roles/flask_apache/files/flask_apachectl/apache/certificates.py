"""Certificates for TLS: those that the host makes itself, and what it has of those that somebody put there."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import shutil
import ssl
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask_apachectl.errors import RefusedError
from flask_apachectl.host import facts, report
from flask_apachectl.host.desired import File

CERTIFICATE, KEY = "certificate.pem", "key.pem"  # in the directory of a virtual host
BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)
MAKER = "flask-apachectl"  # the organization in the certificates that the host makes
LASTS_DAYS, RENEWED_DAYS = 3650, 30  # another one is made when so many days are left
LONGEST_SUBJECT = 64  # characters of a common name
REQUEST = """
[req]
prompt = no
distinguished_name = subject
x509_extensions = extensions
[subject]
O = {maker}
CN = {name}
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
subjectAltName = {names}
"""


def files(directory: Path, certificate: str, key: str) -> tuple[File, File]:
    """Return the files of a certificate with its chain, and of its key, in the directory of a virtual host."""
    return (
        File(directory / CERTIFICATE, certificate.encode()),
        File(directory / KEY, key.encode(), mode=0o600, secret=True),
    )


@lru_cache(maxsize=8)
def self_signed(directory: Path, names: tuple[str, ...]) -> tuple[File, File]:
    """Return a certificate that the host has made for these names, and its key: those in the directory while they last.

    Raises RefusedError when `openssl` cannot make them.
    """
    certificate, key = directory / CERTIFICATE, directory / KEY
    if _still_lasts(certificate, names) and problem_of(certificate, key) == "":
        return files(directory, certificate.read_text(), key.read_text())
    if not shutil.which("openssl"):  # a plan for a host that does not have it yet
        return files(directory, "", "")
    with tempfile.TemporaryDirectory(prefix="flask-apache-certificate.") as aside:
        made, made_key, request = (Path(aside, name) for name in (CERTIFICATE, KEY, "request"))
        name = next((each for each in names if len(each) <= LONGEST_SUBJECT), MAKER)
        request.write_text(REQUEST.format(maker=MAKER, name=name, names=", ".join(map(_general_name, names))))
        command = [
            *("openssl", "req", "-x509", "-config", str(request), "-days", str(LASTS_DAYS), "-sha256"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
            *("-out", str(made), "-keyout", str(made_key)),
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise RefusedError(f"openssl cannot make a certificate:\n{report.tail(done.stderr, report.LOG_LINES)}")
        return files(directory, made.read_text(), made_key.read_text())


def _general_name(name: str) -> str:
    """Return a name as a certificate has it."""
    with contextlib.suppress(ValueError):
        return f"IP:{ipaddress.ip_address(name)}"
    return f"DNS:{name}"


def _still_lasts(certificate: Path, names: tuple[str, ...]) -> bool:
    """Tell whether a certificate is one that the host has made for just these names, and is not about to expire."""
    seconds = str(RENEWED_DAYS * 86400)
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-checkend", seconds]
    done = (
        subprocess.run([*command, "-subject", "-ext", "subjectAltName"], check=False, capture_output=True, text=True)
        if certificate.is_file() and shutil.which("openssl")
        else None
    )
    if done is None or done.returncode:
        return False
    found = re.findall(r"(?:DNS|IP Address):([^,\s]+)", done.stdout)
    return re.search(rf"\bO ?= ?{MAKER}\b", done.stdout) is not None and sorted(found) == sorted(names)


def expires(certificate: Path) -> float | None:
    """Return when a certificate expires, in seconds since 1970, or None where there is no `openssl` to read it.

    Raises RefusedError when it cannot be read.
    """
    if not shutil.which("openssl"):
        return None
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-enddate"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(r"notAfter=(.+)", done.stdout)
    if done.returncode or not found:
        raise RefusedError(f"openssl cannot read the certificate {certificate}:\n{report.tail(done.stderr, 1)}")
    return float(ssl.cert_time_to_seconds(found[1]))


def problem_of(certificate: Path, key: Path) -> str:
    """Say why Apache could not use a key for a certificate; nothing when it can."""
    asked = []

    def password() -> str:
        asked.append(True)
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        mismatch = "it does not belong to the certificate" if error.reason == "KEY_VALUES_MISMATCH" else ""
        return "it has a passphrase" if asked else mismatch or f"OpenSSL says {error.reason}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or "it cannot be read").lower()
    return ""


def on_host(question: dict[str, Any]) -> dict[str, str]:
    """Return the certificates at the paths ``certificate`` and ``chain``, and what is wrong with the key at ``key``."""
    texts = [facts.read(Path(question[name])) if question[name] else "" for name in ("certificate", "chain")]
    certificate, chain = ("".join(BLOCK.findall(text)) for text in texts)  # never what else is there
    problem = problem_of(Path(question["certificate"]), Path(question["key"])) if certificate else ""
    return {"certificate": certificate, "chain": chain, "key_problem": problem}
