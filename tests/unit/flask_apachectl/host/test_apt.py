"""apt's locks: who holds one, and how long it is waited for."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flask_apachectl.errors import RefusedError
from flask_apachectl.host import apt, report

if TYPE_CHECKING:
    from pathlib import Path

HOLD = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"


def test_the_holder_is_named_and_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "lock"
    told: list[str] = []
    monkeypatch.setattr(apt, "LOCKS", (str(tmp_path / "none"), str(lock)))
    monkeypatch.setattr(report, "say", told.append)
    assert apt.wait() is False
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(RefusedError, match=f"in use by .* \\(pid {process.pid}\\), which holds .*/lock, for"):
            apt.wait(0.0)
        process.communicate(b"\n")
    assert re.fullmatch(rf"wait    for \S+ \(pid {process.pid}\), which holds {lock}", told[0])
    assert apt.held() == ""
    descriptor = os.open(lock, os.O_RDWR)
    fcntl.lockf(descriptor, fcntl.LOCK_EX)  # one's own lock is none
    assert apt.holder(str(lock)) is None
    os.close(descriptor)
