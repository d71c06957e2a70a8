"""Apache: its configuration and the running server."""
