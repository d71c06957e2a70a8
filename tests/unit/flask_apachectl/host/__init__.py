"""Tests of what every command needs of the host."""
