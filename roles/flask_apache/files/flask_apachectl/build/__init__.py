"""Build a release beside the live one."""
