"""The app's environment: which variables can be set, and how large they may be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from controller.checks import values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables

LARGEST_STRING = 131072  # bytes: Linux's MAX_ARG_STRLEN, which counts a variable's name, "=" and a NUL byte
LARGEST_START = 2 * 2**20  # bytes: what Linux takes of arguments and environment, with a stack of 8 MiB
RESERVED = 128 * 2**10  # bytes of it for what the role adds
POINTER = 8  # bytes of each string's address

_LOADER = "the dynamic loader reads it only when a process starts, and the app's web processes are Apache's"
_OPENSSL = "OpenSSL reads it when Apache loads it, before the app's environment is known"
_PYTHON = "Python reads it only when it starts, and in web processes that is before the app's environment is known"
_COMMAND = "a hook, worker or timer can set it for its own command: `env {name}=... program`"
_PYTHON_NAMES = (
    r"PYTHON(OPTIMIZE|DEVMODE|HOME|VERBOSE|DEBUG|INSPECT|PROFILEIMPORTTIME|MALLOC|MALLOCSTATS|NODEBUGRANGES|SAFEPATH"
    r"|PLATLIBDIR|EXECUTABLE|DUMPREFS|DUMPREFSFILE|WARNDEFAULTENCODING|PERFSUPPORT)"
    r"|PYTHON_(GIL|JIT|CPU_COUNT|FROZEN_MODULES|PRESITE|TLBC|PERF_JIT_SUPPORT|CONTEXT_AWARE_WARNINGS"
    r"|THREAD_INHERIT_CONTEXT|DISABLE_REMOTE_DEBUG)"
)
# Variables that a web process cannot follow, as patterns: why, and the values that change nothing.
AT_START = (
    (r"LD_\w+|GLIBC_TUNABLES", _LOADER, ""),
    (r"OPENSSL_(CONF|CONF_INCLUDE|MODULES|ENGINES|ia32cap)", _OPENSSL, ""),
    ("PYTHONHASHSEED", _PYTHON, "random"),
    (_PYTHON_NAMES, _PYTHON, ""),
)
# What Python would end with an error for, or silently ignore.
FORMS = {
    r"PYTHONTRACEMALLOC|PYTHONINTMAXSTRDIGITS|MALLOC_[A-Z_]+": (r"\d{0,9}", "be a whole number"),
    r"LANG|LC_[A-Z]+": (r"(|C|POSIX|[\w@.-]+\.(?i:utf-?8)(@\w+)?)", "be a UTF-8 locale, such as de_DE.UTF-8"),
}


def check(own: Variables) -> Iterator[str]:
    """Report environment variables that cannot be set. Never shows a value: it may be a secret."""
    for name, value in own["environment"].items():
        yield from variable_errors(name, value)
    yield from size_errors(own)


def variable_errors(name: object, value: object) -> Iterator[str]:
    """Report what is wrong with one variable."""
    variable = "flask_apache_environment"
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w{0,254}", name, re.ASCII):
        must = "must have names of at most 255 letters, digits and underscores that do not begin with a digit"
        yield f"{variable} {must}, got {values.shown(name)}"
    elif name.startswith("FLASK_APACHE_"):
        yield f"{variable} must not have names that begin with FLASK_APACHE_, got {name!r}; the role sets those"
    elif not isinstance(value, (str, int, float)):
        yield f"{variable}.{name} must be a string or a number, got {kind_of(value)}"
    elif "\0" in str(value):
        yield f"{variable}.{name} must not contain NUL bytes; encode the value, for example as base64"
    elif re.search("[\ud800-\udfff]", str(value)):
        yield f"{variable}.{name} must be valid Unicode, got half of a surrogate pair; encode it as base64"
    elif length(f"{name}={value}") > LARGEST_STRING:
        size = length(f"{name}={value}")
        yield (
            f"{variable}.{name} must have at most {LARGEST_STRING:,} bytes with its name, got {size:,}: Linux starts "
            f"no program with more; put the value into a file, and its path into the variable"
        )
    else:
        yield from start_errors(name, str(value))


def start_errors(name: str, value: str) -> Iterator[str]:
    """Report a variable that works at the start of a process only, and a value that would not work at all."""
    place = f"flask_apache_environment.{name}"
    for pattern, reason, harmless in AT_START:
        if re.fullmatch(pattern, name) and value not in ("", harmless):
            yield f"{place} must not be set: {reason}; {_COMMAND.format(name=name)}"
    for pattern, (form, must) in FORMS.items():
        if re.fullmatch(pattern, name) and not re.fullmatch(form, value, re.ASCII):
            yield f"{place} must {must}, got {values.HIDDEN_VALUE}"


def kind_of(value: object) -> str:
    """Return what a value is, in YAML's words."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a mapping"
    return "null" if value is None else f"a {type(value).__name__}"


def length(text: str) -> int:
    """Return how many bytes Linux needs for a string that a program starts with."""
    return len(text.encode(errors="replace")) + 1


def size_errors(own: Variables) -> Iterator[str]:
    """Report what Linux would refuse to start a program with: "Argument list too long"."""
    environment = sum(length(f"{name}={value}") + POINTER for name, value in own["environment"].items())
    most = LARGEST_START - RESERVED
    if environment > most:
        yield (
            f"flask_apache_environment must have at most {most:,} bytes in all, got {environment:,}: Linux starts no "
            "program with more; put large values into files, and their paths into the variables"
        )
        return
    for variable, key in (("hooks", "run"), ("workers", "command"), ("timers", "command")):
        for place, item in values.mappings(own, variable):
            command = item.get(key)
            words = command if isinstance(command, list) else [command]
            sizes = [length(str(word)) for word in words]
            if environment + sum(sizes) + POINTER * len(sizes) > most:
                size = environment + sum(sizes) + POINTER * len(sizes)
                must = f"have at most {most:,} bytes together with flask_apache_environment"
                yield f"flask_apache_{place}.{key} must {must}, got {size:,}: put it into a file of the source"
