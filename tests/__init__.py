"""Tests of the role, the engine, the sample app and the packaging."""
