"""Tests of Apache's configuration and the running server."""
