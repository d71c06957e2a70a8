"""What is decided on the control node."""
