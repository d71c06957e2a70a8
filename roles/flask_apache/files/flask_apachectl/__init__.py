"""The engine: what runs on the host, and fetches sources on the control node."""
