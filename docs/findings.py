"""Write the tables of doctor's findings into docs/doctor.md, from the engine's modules `diagnosis`.

``python docs/findings.py`` rewrites what stands between the two markers.
"""

# ruff: noqa: INP001 - a program, and no package

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "roles/flask_apache/files"))

from flask_apachectl.diagnosis import everything, finding  # noqa: E402 - it is found only now

BEGIN, END = "<!-- findings: written by docs/findings.py -->", "<!-- end of findings -->"


def main() -> None:
    """Rewrite the tables."""
    page = DOCS / "doctor.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    tables = "\n".join(finding.table(everything.KINDS)).strip()
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
