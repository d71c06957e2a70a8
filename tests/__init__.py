"""Tests of the role and of what surrounds it."""
