"""Tests of what all commands use on the host."""
