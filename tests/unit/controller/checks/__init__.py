"""Tests of the checks: which values are accepted, and what the errors for others say."""
