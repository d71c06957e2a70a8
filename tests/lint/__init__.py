"""Linters, formatters and type checks."""
