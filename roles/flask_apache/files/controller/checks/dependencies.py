"""What the app depends on: requirements files or a lock, package indexes, a wheelhouse."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from controller.checks import source, values
from flask_apachectl.build.locks import choose, lockfile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables

ADDRESS = "be an address such as https://host/path or https://user:password@host/path"


def check_files(own: Variables) -> Iterator[str]:
    """Report files that the source does not have, and a choice of files that is ambiguous."""
    directory = source.directory_of(own)
    if not directory:
        return
    for variable in ("requirements", "constraints"):
        for place, name in values.texts(own, variable):
            if not os.path.isfile(os.path.join(directory, name)):
                yield values.error(place, f"be a file in {values.shown(directory)}", name)
    names = None if own["requirements"] is None else [name for _, name in values.texts(own, "requirements")]
    try:
        choose.choose(Path(directory), names)
    except lockfile.DependencyError as error:
        reason = str(error)
        is_whole = reason.startswith("flask_apache_requirements must ")
        yield reason if is_whole else f"flask_apache_requirements must say what is to be installed: {reason}"
    except OSError as error:
        yield values.error("source", "be readable by the user that runs Ansible", own["source"], str(error.strerror))


def check_indexes(own: Variables) -> Iterator[str]:
    """Report package indexes that cannot be asked. Never shows an address: it may contain a password."""
    known: dict[str, tuple[str | None, str | None]] = {}
    is_index = isinstance(own["index_url"], str) and own["index_url"]
    first = [("index_url", own["index_url"])] if is_index else []
    for place, url in [*first, *values.texts(own, "extra_index_urls")]:
        try:
            parts = urlsplit(url) if re.fullmatch(r"https?://[^\s'\"\\]+", url, re.ASCII) else None
        except ValueError:  # such as https://[
            parts = None
        access = (parts.username, parts.password) if parts else (None, None)
        if not parts or not parts.hostname or "@" in parts.path:
            yield values.error(place, ADDRESS, url, "percent-encode special characters in the user and password")
        elif access != (None, None) and not all(access):
            yield values.error(place, "contain a user and a password, or neither of them", url)
        elif re.search(r"[\s'\"\\]", "".join(map(unquote, filter(None, access)))):
            must = "have a user and a password without spaces, quotes and backslashes"
            yield values.error(place, must, url)
        elif access[0] and known.setdefault(parts.hostname, access) != access:
            must = f"have the same user and password as the other addresses on {parts.hostname}"
            yield values.error(place, must, url)


def check_arguments(own: Variables) -> Iterator[str]:
    """Report credentials in arguments, which every user of a host can see. Those of a proxy go another way."""
    proxy = False
    for place, argument in values.texts(own, "pip_args"):
        proxy, is_value = argument == "--proxy", proxy or argument.startswith("--proxy=")
        if not is_value and re.search(r"https?://[^/\s]*@|(?<![\w/.@-])[\w.%+~-]+:[^\s/@]+@[\w\[]", argument):
            advice = (
                "every user of the host could see them: use flask_apache_index_url or flask_apache_extra_index_urls"
            )
            yield values.error(place, "not contain credentials", argument, advice)


def check_wheelhouse(own: Variables) -> Iterator[str]:
    """Report a directory that has no wheels, or that would not be all that is asked."""
    directory = own["wheelhouse"]
    if not directory or not isinstance(directory, str):
        return
    if not has_wheels(directory):
        must = "be the absolute path of a directory on the control node that contains wheels"
        yield values.error("wheelhouse", must, directory)
    elif own["index_url"] or own["extra_index_urls"]:
        advice = "the wheelhouse is used instead of an index: remove one of them"
        yield values.error("wheelhouse", "be empty with an index_url or extra_index_urls", directory, advice)


def has_wheels(directory: str) -> bool:
    """Tell whether an absolute path is a directory that contains wheels."""
    try:
        return os.path.isabs(directory) and any(Path(directory).glob("*.whl"))
    except (OSError, ValueError):
        return False
