"""Decisions of the role that are taken on the control node, before the engine applies them on the host."""
