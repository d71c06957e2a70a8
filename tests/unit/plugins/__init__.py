"""The role's action plugin and its module."""
