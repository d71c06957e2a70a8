"""Molecule's scenarios, run by pytest."""
