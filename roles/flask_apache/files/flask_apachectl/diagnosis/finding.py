"""What a finding says, and the kinds of findings that there are."""

from __future__ import annotations

import shlex
import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ERROR, WARNING = "error", "warning"
WIDTH = 8  # characters of the first column
RUN_THE_ROLE = "ansible-playbook site.yml"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong: its severity, why it matters, and the command that mends it; of the host without app."""

    severity: str
    wrong: str
    why: str
    fix: str
    app: str = ""

    @property
    def is_error(self) -> bool:
        """Whether visitors already notice it, or somebody could misuse it."""
        return self.severity == ERROR

    def record(self) -> dict[str, str]:
        """Return it as JSON has it."""
        return asdict(self)

    def lines(self, *, with_app: bool) -> str:
        """Return the three lines that a person reads: what is wrong, why it matters, what mends it."""
        named = f"{self.app}: " if self.app and with_app else ""
        rows = ((self.severity, named + self.wrong), ("  why", self.why), ("  mend", self.fix))
        return "\n".join(f"{head:<{WIDTH}} {' '.join(text.split())}" for head, text in rows)


@dataclass(frozen=True)
class Kind:
    """A kind of finding: its subject, what is found in general, how severe it is, and why it matters."""

    subject: str
    what: str
    severity: str
    why: str

    def found(self, wrong: str, fix: str, app: str = "") -> Finding:
        """Return a finding of this kind: what is wrong here, and the command that mends it."""
        return Finding(self.severity, wrong, self.why, fix, app)


def table(kinds: Iterable[Kind]) -> Iterator[str]:
    """Yield the lines of the documentation's tables, one for each subject."""
    subject = ""
    for kind in kinds:
        if kind.subject != subject:
            subject = kind.subject
            yield from ("", f"### {subject}", "", "| finding | severity | why it matters |", "|---|---|---|")
        yield f"| {kind.what} | {kind.severity} | {kind.why} |"


def command(*words: object) -> str:
    """Return a command as a person can paste it."""
    return shlex.join(str(word) for word in words)


def shortened(texts: Iterable[str], most: int = 3) -> str:
    """Return some texts as a sentence lists them, and how many more there are."""
    found = list(texts)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(textwrap.shorten(each, 200, placeholder="…") for each in found[:most]) + more
