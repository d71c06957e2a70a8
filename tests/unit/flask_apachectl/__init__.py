"""Tests of the engine's package."""
