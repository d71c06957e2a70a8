"""Read what the role writes as the programs do that get it: systemd's units, and Apache's configuration."""

from __future__ import annotations

import re
import shlex

ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " "}
Directive = tuple[str, ...]  # its name and its arguments; a section's name begins with <, its end with </


def unit(text: str) -> list[tuple[str, str, str]]:
    """Return the settings of a unit: section, name and value. See systemd.syntax(7)."""
    section, found = "", []
    lines = re.sub(r"\\\n", " ", text).split("\n")
    for line in map(str.strip, lines):
        if line.startswith("["):
            assert line.endswith("]"), line
            section = line[1:-1]
        elif line and not line.startswith(("#", ";")):
            name, equals, value = line.partition("=")
            assert equals, f"systemd ignores {line!r}"
            assert section, f"{line!r} is in no section"
            found.append((section, name.strip(), value.strip()))
    return found


def arguments(value: str, instance: str | None) -> list[str]:
    """Return the arguments of ExecStart: quotes, escapes, specifiers, variables. See systemd.service(5)."""
    return [_without_variables(_without_specifiers(word, instance)) for word in _words(value)]


def _words(value: str) -> list[str]:
    words: list[str] = []
    position, word, quote = 0, None, ""
    while position < len(value):
        character = value[position]
        position += 1
        if character == "\\":
            escaped, position = _escape(value, position)
            word = (word or "") + escaped
        elif quote:
            if character == quote:
                quote = ""
            else:
                word = (word or "") + character
        elif character in "\"'":
            quote, word = character, word or ""
        elif character in " \t":
            words += [] if word is None else [word]
            word = None
        else:
            assert character != ";", "it separates commands"
            word = (word or "") + character
    assert not quote, f"no end of {quote} in {value!r}"
    return words + ([] if word is None else [word])


def _escape(value: str, position: int) -> tuple[str, int]:
    """Return the character that a backslash and what follows stand for, and where they end."""
    character = value[position : position + 1]
    assert character in (*ESCAPES, "\\", '"', "'"), f"no escape of systemd's: {value[position - 1 : position + 1]!r}"
    return ESCAPES.get(character, character), position + 1


def _without_specifiers(word: str, instance: str | None) -> str:
    def replaced(found: re.Match[str]) -> str:
        assert found[1] == "%" or (found[1] == "i" and instance is not None), f"a specifier: {found[0]!r}"
        return "%" if found[1] == "%" else str(instance)

    return re.sub(r"%(.?)", replaced, word, flags=re.DOTALL)


def _without_variables(word: str) -> str:
    def replaced(found: re.Match[str]) -> str:
        assert found[1] == "$", f"a variable: {found[0]!r}"
        return "$"

    return re.sub(r"\$(.?)", replaced, word, flags=re.DOTALL)


def command(value: str, instance: str | None) -> list[str]:
    """Return the command that the entry script runs for the value of ExecStart."""
    _python, entry, *words = arguments(value, instance)
    assert entry.endswith("/entry.wsgi")
    return shlex.split(words[1]) if words[0] == "-c" else words


def apache(text: str) -> list[Directive]:
    """Return the directives of a configuration with their arguments, as ap_getword_conf reads them."""
    found: list[Directive] = []
    opened: list[str] = []
    for line in re.sub(r"\\\n", "", text).split("\n"):
        stripped = line.strip(" \t\r")
        if not stripped or stripped.startswith("#"):
            continue
        if stripped.startswith("<"):
            assert stripped.endswith(">"), stripped
            words = _apache_words(stripped[:-1])
            if words[0].startswith("</"):
                assert opened, f"{stripped} ends nothing"
                assert words[0] == f"</{opened.pop()}", stripped
            else:
                opened.append(words[0][1:])
        else:
            words = _apache_words(stripped)
        found.append(tuple(words))
    assert not opened, f"without an end: {opened}"
    return found


def _apache_words(line: str) -> list[str]:
    words = []
    rest = line.lstrip()
    while rest:
        quote = rest[0] if rest[0] in "\"'" else ""
        body = rest[1:] if quote else rest
        end = 0
        while end < len(body) and (body[end] != quote if quote else not body[end].isspace()):
            is_escape = quote and body[end] == "\\" and body[end + 1 : end + 2] in ("\\", quote)
            end += 2 if is_escape else 1
        word = re.sub(rf"\\(\\|{quote or '(?!)'})", r"\1", body[:end])
        words.append(word)
        rest = body[end + (1 if quote else 0) :].lstrip()
    return words
