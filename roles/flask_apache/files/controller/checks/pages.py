"""The user's own error pages."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from controller.checks import values
from controller.pages import PAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controller.checks.values import Variables

LARGEST = 2**20  # bytes


def check(own: Variables) -> Iterator[str]:
    """Report pages that are not there, or that Apache never shows."""
    for status, path in own["error_pages"].items():
        place = f"error_pages.{status}" if str(status).isalnum() else "error_pages"
        if str(status) not in PAGES:
            yield values.error("error_pages", f"have no keys other than {values.listed(PAGES, 'and')}", status)
        elif not isinstance(path, str) or not os.path.isabs(path):
            yield values.error(place, "be the absolute path of a file on the control node", path)
        else:
            yield from _content_errors(place, path)


def _content_errors(place: str, path: str) -> Iterator[str]:
    """Report a file that is no page."""
    try:
        content = Path(path).read_bytes()
        content.decode()
    except UnicodeDecodeError:
        yield values.error(place, "be a file in UTF-8", path)
    except (OSError, ValueError) as error:
        yield values.error(place, "be a file on the control node that can be read", path, str(error))
    else:
        if not content.strip() or len(content) > LARGEST:
            yield values.error(place, f"be a file of 1 to {LARGEST:,} bytes", path, f"it has {len(content):,}")
