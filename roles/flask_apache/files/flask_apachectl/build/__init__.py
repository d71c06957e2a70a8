"""Beside the live release: a source becomes a release."""
