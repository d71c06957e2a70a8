"""Tests of starting, probing and switching."""
