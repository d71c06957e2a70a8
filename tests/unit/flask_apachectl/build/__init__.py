"""Tests of what builds a release."""
