"""The controller: what is decided on the control node."""
