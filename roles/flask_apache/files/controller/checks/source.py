"""The source: where the app's code comes from, and how it is called."""

from __future__ import annotations

import ast
import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from controller.checks import patterns, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables

HTTPS = r"https://[^\s/?#-][^\s/?#]*/\S*"
SSH = r"ssh://([\w.-]+@)?(?P<host>\w[\w.-]*)(:\d+)?/\S+|[\w.-]+@(?P<short>\w[\w.-]*):(?!/?-)\S+"
REQUIREMENT = r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?(\[[\w.,-]+\])?==\w[\w.!+-]*"
WHEEL = r"(/.*\.whl)(\[[\w.,-]+\])?"
SIGNER = r"\S+ (\S+ )?(sk-)?(ssh|ecdsa)-[\w@.-]+ [A-Za-z0-9+/=]{16,}( .*)?"
PGP = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
WHERE = "for example in group_vars/flask_apache.yml beside the inventory, where Ansible looks for a host's variables"
CERTIFICATE = b"-----BEGIN CERTIFICATE-----"


def check_wsgi(own: Variables) -> Iterator[str]:
    """Report a factory call whose arguments are not literals."""
    expression = str(own["wsgi"]).partition(":")[2]
    if "(" not in expression:
        return
    try:
        call = ast.parse(expression, mode="eval").body
        is_call = isinstance(call, ast.Call) and bool(re.fullmatch(r"[\w.]+", ast.unparse(call.func)))
        if isinstance(call, ast.Call):
            for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
                ast.literal_eval(argument)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        is_call = False
    if not is_call:
        yield values.error("wsgi", "be module:factory() with literal arguments", own["wsgi"])


def check(own: Variables) -> Iterator[str]:
    """Report a source of another form than its type's, and what is missing on the control node."""
    checks = {"directory": check_directory, "git": check_git, "archive": check_archive, "package": check_package}
    if own["source"] == "":
        yield values.error("source", "be set", "", WHERE)
    elif isinstance(own["source"], str) and own["source_type"] in tuple(checks):
        yield from checks[own["source_type"]](own, own["source"])
    for place, name in values.texts(own, "ca_certificates"):
        if not is_certificate(name):
            yield values.error(place, "be the absolute path of a PEM certificate on the control node", name)


def directory_of(own: Variables) -> str:
    """Return the directory on the control node that contains the app, or nothing if it is not there."""
    if own["source_type"] != "directory" or not isinstance(own["source"], str):
        return ""
    directory = os.path.normpath(os.path.join(own["source"], str(own["source_directory"])))
    return directory if os.path.isabs(own["source"]) and os.path.isdir(directory) else ""


def check_directory(own: Variables, source: str) -> Iterator[str]:
    """Report a directory that is not there."""
    if not (os.path.isabs(source) and os.path.isdir(source)):
        yield values.error("source", "be the absolute path of a directory on the control node", source)
    elif not directory_of(own):
        yield values.error("source_directory", f"be a directory in {values.shown(source)}", own["source_directory"])


def check_git(own: Variables, source: str) -> Iterator[str]:
    """Report what git cannot fetch, or not safely. Never shows a key: it is a secret."""
    ssh = re.fullmatch(SSH, source)
    if not ssh and not re.fullmatch(HTTPS, source) and not os.path.isabs(source):
        must = "be a repository: https://..., ssh://..., git@host:path or an absolute path"
        yield values.error("source", must, source)
    elif os.path.isabs(source) and own["git_on"] != "host" and not os.path.isdir(source):
        yield values.error("source", "be the absolute path of a repository on the control node", source)
    if ssh and not own["git_known_hosts"]:
        server = ssh["host"] or ssh["short"]
        yield values.error(
            "git_known_hosts",
            f"contain a host key of {server}",
            own["git_known_hosts"],
            f"add the output of `ssh-keyscan {server}` after comparing its fingerprints with those that the server's "
            "operator publishes",
        )
    for place, signer in values.texts(own, "git_signers"):
        if PGP not in signer and not re.fullmatch(SIGNER, signer.strip()):
            must = "be a line of an allowed_signers file or an armored OpenPGP public key"
            yield values.error(place, must, signer)
    key = own["git_key"] if isinstance(own["git_key"], str) else ""
    with contextlib.suppress(OSError, ValueError):
        key = Path(key).read_text(encoding="utf-8") if os.path.isabs(key) else key
    if key and "PRIVATE KEY-----" not in key and not key.startswith("$ANSIBLE_VAULT;"):
        must = "be a private key, or the absolute path of a file on the control node that contains one"
        yield values.error("git_key", must, None)


def check_archive(own: Variables, source: str) -> Iterator[str]:
    """Report an archive that is not there, or that nothing proves to be the right one."""
    if not re.fullmatch(r"https?://\S+", source) and not (os.path.isabs(source) and os.path.isfile(source)):
        must = "be an archive: https://..., or the absolute path of a file on the control node"
        yield values.error("source", must, source)
    if own["archive_checksum"] == "":
        yield values.error("archive_checksum", patterns.PATTERNS["archive_checksum"][1], "")


def check_package(own: Variables, source: str) -> Iterator[str]:
    """Report what is no package, and what a package does not have."""
    wheel = re.fullmatch(WHEEL, source)
    if not wheel and not re.fullmatch(REQUIREMENT, source, re.ASCII):
        yield values.error("source", "be a package: name==version, or the absolute path of a wheel", source)
    elif wheel and not os.path.isfile(wheel[1]):
        yield values.error("source", "be the absolute path of a wheel on the control node", source)
    if own["source_directory"]:
        yield values.error("source_directory", "be empty for a package", own["source_directory"])
    if own["requirements"] not in (None, [], ["requirements.txt"]):
        advice = "use flask_apache_package_requirements"
        yield values.error("requirements", "be [] or null for a package", own["requirements"], advice)


def is_certificate(name: str) -> bool:
    """Tell whether a file can be read and contains a PEM certificate."""
    try:
        return CERTIFICATE in Path(name).read_bytes()
    except (OSError, ValueError):
        return False
