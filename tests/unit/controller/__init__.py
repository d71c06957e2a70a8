"""Tests of what is decided on the control node."""
