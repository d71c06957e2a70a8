"""The pages that visitors get from Apache itself, in plain words; a user may replace each of them."""

from __future__ import annotations

from dataclasses import dataclass, field

DIRECTORY = "/usr/local/lib/flask-apache/pages"  # of those that belong to no app


@dataclass(frozen=True)
class Page:
    """What a page says."""

    title: str
    text: str


LATER = "Please try again in a few minutes."
# There is none for 401: with one, the logs do not name who has tried to log in.
PAGES = {
    "400": Page("Not understood", "Your browser sent something that this site cannot read."),
    "403": Page("Not allowed", "You may not see what is at this address."),
    "404": Page("Not found", "There is nothing at this address. Please check it for a typing error."),
    "413": Page("Too large", "What you sent is larger than this site accepts. Please send something smaller."),
    "414": Page("Address too long", "The address is longer than this site accepts. Please use a shorter one."),
    "500": Page("Something went wrong", f"It is a mistake of this site, not yours. {LATER}"),
    "501": Page("No WebSocket here", "This site speaks HTTP, not the WebSocket protocol."),
    "503": Page("Back soon", f"This site is not available for a moment. {LATER}"),
    "504": Page("No answer in time", f"This site is busy and did not answer in time. {LATER}"),
}
# {status: the page that it gets}
STATUSES = {status: status for status in PAGES} | {"408": "400", "411": "400", "417": "400", "431": "400", "502": "500"}


@dataclass(frozen=True)
class ErrorPages:
    """What the virtual host needs to know."""

    error_pages: dict[str, str] = field(default_factory=lambda: dict(sorted(STATUSES.items())))
    common_pages: str = DIRECTORY
