"""Headers that tell browsers to be careful: Apache adds each where the app has not set it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .values import Values

POLICY = "Content-Security-Policy"
STANDARD = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",  # what browsers do anyway
    "X-Frame-Options": "SAMEORIGIN",
}
STRICT = STANDARD | {
    POLICY: "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'; object-src 'none'",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
LEVELS = {"none": dict[str, str](), "standard": STANDARD, "strict": STRICT}
# Apache's own pages have their style inside; a user's may have more.
OF_PAGES = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; base-uri 'none'; form-action 'self'; object-src 'none'"
)


@dataclass(frozen=True)
class SecurityHeaders:
    """Headers by their names: of an app's answers, of Apache's own pages for it, and of pages that belong to no app."""

    security_headers: dict[str, str]
    page_headers: dict[str, str]
    common_headers: dict[str, str] = field(default_factory=lambda: dict(STANDARD))


def security_headers(values: Values) -> SecurityHeaders:
    """Return an app's headers."""
    found = LEVELS[values.text("security_headers")]
    return SecurityHeaders(dict(found), found | ({POLICY: OF_PAGES} if POLICY in found else {}))
