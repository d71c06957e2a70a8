"""Settings of the unit tests."""

from __future__ import annotations

from hypothesis import settings

# The same examples in every run: whoever breaks something sees it at once, and nobody else later.
settings.register_profile("unit", derandomize=True, database=None, deadline=None, max_examples=100)
settings.load_profile("unit")
