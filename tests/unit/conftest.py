"""Settings of the unit tests."""

from __future__ import annotations

from hypothesis import settings

# The same examples in every run, so that a change that breaks something fails at once, not a later one.
settings.register_profile("unit", derandomize=True, database=None, deadline=None, max_examples=100)
settings.load_profile("unit")
