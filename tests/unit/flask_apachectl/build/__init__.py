"""Tests of what is made beside the live release."""
